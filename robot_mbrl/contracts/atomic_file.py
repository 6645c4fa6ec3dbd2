"""Files that are replaced as a whole: whoever reads one, or comes after a crash, finds the old or the new content."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The path of a draft beside `path` to write to: it takes the place of `path` unless the block raises.

    Raises:
        OSError: the draft was not written, or cannot be flushed or moved.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace `path`, in a folder that is made where it is missing, by a file of `content` (text as UTF-8).

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
