"""An array that is a file: memory-mapped, so that it outlives a SIGKILL, with a bound on what of it stays resident."""

import mmap
import os
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError

FAULT_AROUND: Final = 1 << 16
"""Linux maps pages around a fault that it finds in memory: up to 64 KiB for each place that is touched [bytes]."""


class MappedArray:
    """A C-ordered array of `dtype` and `shape` in the file at `path`, zeros at first.

    What is written is in the kernel's hands at once: a process that is killed loses nothing, a computer that loses
    power loses what `flush` had not yet put on the disk. The file is sparse: only what was written takes room.

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
        size = int(np.prod(shape)) * dtype.itemsize
        with path.open("r+b" if path.exists() else "w+b") as file:
            found = os.fstat(file.fileno()).st_size
            if found not in {0, size}:
                raise ConfigError(f"{path}: {found} bytes, this array has {size}: give the settings it was made with")
            free = shutil.disk_usage(path.parent).free
            if not found and free < size:
                raise ConfigError(f"{path}: grows to {size} bytes, the disk has {free}: give a smaller capacity")
            file.truncate(size)
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
