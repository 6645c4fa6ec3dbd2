"""Files are replaced as a whole or not at all."""

from pathlib import Path

import pytest

from robot_mbrl.contracts.atomic_file import replacing, write_atomically


@pytest.mark.parametrize(("content", "expected"), [("grün\n", b"gr\xc3\xbcn\n"), (b"\x00\xff", b"\x00\xff")])
def test_the_new_content_takes_the_place_of_the_old(tmp_path: Path, content: str | bytes, expected: bytes) -> None:
    path = tmp_path / "missing" / "folder" / "file"
    write_atomically(path, b"old")
    write_atomically(path, content)
    assert path.read_bytes() == expected
    assert list(path.parent.iterdir()) == [path]


def test_the_old_content_is_there_until_all_of_the_new_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
        assert draft.parent == path.parent
    assert path.read_text() == "new"


def test_what_fails_half_way_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with replacing(path) as draft:
            draft.write_text("ne")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_draft_that_was_never_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "file"):
        pass
    assert not list(tmp_path.iterdir())
