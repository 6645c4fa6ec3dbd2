"""A child process that must not outlive the one that started it."""

import ctypes
import os
import signal
from typing import Final

SUPERVISOR: Final = "ROBOT_MBRL_SUPERVISOR"
"""Environment variable in which a supervisor leaves its process ID for its children."""
_PR_SET_PDEATHSIG: Final = 1
"""linux/prctl.h; prctl(2) tells that the signal comes when the thread that started the process ends."""


def end_with_parent(number: signal.Signals) -> None:
    """Ask the kernel for the signal `number` when the parent ends, and send it at once if that has happened already.

    Raises:
        OSError: the kernel refuses.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl: {os.strerror(error)}")
    parent = os.environ.get(SUPERVISOR)
    if parent is not None and os.getppid() != int(parent):
        signal.raise_signal(number)
