"""Arrays that are files: room that is there before it is needed, and pages that are let go of."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.mapped_array import MappedArray, require_room
from tests.learning.replays import resident

BYTES = np.dtype(np.uint8)
SIZE = 32 << 20
RESIDENT = 4 << 20
STEP = 1 << 16
LOOK = 13 * STEP
"""Between looks at what is resident: each reads about all of the process's memory [bytes]."""


@pytest.mark.parametrize("writes", [True, False])
def test_what_stays_resident_is_bounded(tmp_path: Path, writes: bool) -> None:
    path, most = tmp_path / "array", 0
    path.write_bytes(bytes(SIZE))
    mapped = MappedArray(path, BYTES, (SIZE,), RESIDENT)
    for start in range(0, SIZE, STEP):
        if writes:
            mapped.array[start : start + STEP] = 7
        else:
            assert not mapped.array[start : start + STEP].any()
        mapped.touch(1, STEP)
        if start % LOOK == 0:
            most = max(most, resident(path))
    assert 0 < most <= RESIDENT
    assert (mapped.array[-STEP:] == (7 if writes else 0)).all(), "what was let go of is in the file"


def test_without_being_told_of_accesses_it_would_not_be(tmp_path: Path) -> None:
    """Else the test above would pass whatever `touch` does."""
    mapped = MappedArray(tmp_path / "array", BYTES, (SIZE,), RESIDENT)
    mapped.array[:] = 7
    assert resident(tmp_path / "array") == SIZE


def test_all_of_the_room_is_set_aside_and_what_was_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "array"
    with path.open("wb") as file:
        file.write(b"here")
        file.truncate(SIZE)
    assert path.stat().st_blocks * 512 < SIZE, "a file with a hole, as earlier versions made them"
    mapped = MappedArray(path, BYTES, (SIZE,), RESIDENT)
    assert path.stat().st_blocks * 512 >= SIZE
    assert bytes(mapped.array[:5]) == b"here\0"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EOPNOTSUPP])
def test_room_that_cannot_be_set_aside_is_one_line_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(_file: int, _start: int, _size: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(ConfigError, match=rf"{SIZE} bytes cannot be set aside for it \({os.strerror(code)}\), \d+ are"):
        MappedArray(tmp_path / "array", BYTES, (SIZE,), RESIDENT)
    assert not list(tmp_path.iterdir())


def test_files_are_summed_and_what_is_there_already_needs_no_room(tmp_path: Path) -> None:
    stat = os.statvfs(tmp_path)
    free = stat.f_bavail * stat.f_frsize
    most = 3 * free // 4
    require_room(tmp_path, {"one": most}, 0)
    with pytest.raises(ConfigError, match=rf"needs {2 * most} bytes, the disk has \d+: give a smaller capacity"):
        require_room(tmp_path, {"one": most, "other": most}, 0)
    with pytest.raises(ConfigError, match=rf"needs {2 * most + 5} bytes"):
        require_room(tmp_path, {"one": most}, most + 5)
    MappedArray(tmp_path / "there", BYTES, (SIZE,), RESIDENT)
    with pytest.raises(ConfigError, match=rf"needs {2 * most} bytes"):
        require_room(tmp_path, {"there": SIZE, "one": 2 * most}, 0)
