"""Memory that a process frees and soon needs again.

An update allocates the same large tensors every time. As it stands, glibc hands blocks of that size back to the
system and gets them as pages that must be filled with zeros first: of a Dreamer's update at size 1M, 16,000 page
faults, about 7 % of its time.
"""

import ctypes
from typing import Final

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""`M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of glibc's malloc.h."""

_LARGEST_BLOCK: Final = 32 * 2**20
"""The greatest mapping threshold that glibc takes [bytes]; larger blocks still come as fresh pages."""
_KEPT: Final = 2**31 - 1
"""How much free memory at the heap's end the process keeps [bytes]; the greatest that the call takes."""


def keep_freed_memory() -> bool:
    """Have this process keep what it frees, from now on; whether its C library could be told."""
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    if tell is None:
        return False
    return all(
        tell(option, limit) == 1 for option, limit in ((_MMAP_THRESHOLD, _LARGEST_BLOCK), (_TRIM_THRESHOLD, _KEPT))
    )
