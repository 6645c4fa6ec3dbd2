"""An array that is a file: memory-mapped, so that it outlives a SIGKILL, with a bound on what of it stays resident."""

import math
import mmap
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError

FAULT_AROUND: Final = 1 << 16
"""Linux maps pages around a fault that it finds in memory: up to 64 KiB for each place that is touched [bytes]."""
_BLOCK: Final = 512
"""What `st_blocks` counts [bytes]."""


def array_bytes(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """Size of the file of a `MappedArray` [bytes]."""
    return math.prod(shape) * dtype.itemsize


def require_room(folder: Path, sizes: Mapping[str, int], further: int) -> None:
    """See to it that files have room in `folder` before any of them is made.

    Args:
        folder: exists.
        sizes: of each file, by name [bytes]; what is set aside for one already counts as there.
        further: bytes that other files there will take.

    Raises:
        ConfigError: the disk has less.
    """
    needed = further + sum(max(size - _set_aside(folder / name), 0) for name, size in sizes.items())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ConfigError(
            f"{folder}: needs {needed} bytes, the disk has {free}: give a smaller capacity, or a folder on another disk"
        )


class MappedArray:
    """A C-ordered array of `dtype` and `shape` in the file at `path`, zeros at first.

    What is written is in the kernel's hands at once: a process that is killed loses nothing, a computer that loses
    power loses what `flush` had not yet put on the disk. All of the file's room is set aside at opening: a full disk
    would answer a store into a hole of the file with a signal that ends the process, where no error can be caught.

    Attributes:
        array: the whole array.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], resident: int) -> None:
        """Open the file, or make it.

        Args:
            path: the file.
            dtype: of the elements.
            shape: of the array.
            resident: bytes of the file that may stay mapped into this process's memory.

        Raises:
            ConfigError: the file has another size than this array, or the disk has no room for it.
        """
        size = array_bytes(dtype, shape)
        with path.open("r+b" if path.exists() else "w+b") as file:
            found = os.fstat(file.fileno()).st_size
            if found not in {0, size}:
                raise ConfigError(f"{path}: {found} bytes, this array has {size}: give the settings it was made with")
            try:
                _set_room_aside(file, size)
            except BaseException:
                if not found:
                    path.unlink()
                raise
            self._map = mmap.mmap(file.fileno(), size)
        self.array: NDArray[Any] = np.ndarray(shape, dtype, self._map)
        self._map.madvise(mmap.MADV_RANDOM)
        self._resident, self._touched = resident, 0

    def touch(self, places: int, size: int) -> None:
        """Count an access to `places` runs of `size` bytes each; let go of all pages when they may be too many.

        The pages stay in the kernel's cache as long as it has room, which it takes back when others need it.
        """
        self._touched += places * (size + FAULT_AROUND)
        if self._touched > self._resident:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._touched = 0

    def flush(self) -> None:
        """Put what was written on the disk."""
        self._map.flush()


def _set_aside(path: Path) -> int:
    return path.stat().st_blocks * _BLOCK if path.exists() else 0


def _set_room_aside(file: IO[bytes], size: int) -> None:
    """Make `file` `size` bytes long, with no holes; what it holds stays."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        free = shutil.disk_usage(file.name).free
        raise ConfigError(
            f"{file.name}: {size} bytes cannot be set aside for it ({error.strerror}), {free} are free: give a smaller "
            "capacity, or a folder on another disk"
        ) from error
