"""The signals that end a run: Ctrl-C, the request to end, and a closed terminal."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Final

SIGNALLED: Final = 128
"""Added to a signal's number for an exit code, as shells do."""
ENDING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Note the signals that end a run, instead of dying of them.

    Yields:
        Numbers of those that came so far, the oldest first. It is complete when the context has been left: a signal
        that comes later does what it did before.
    """
    caught: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        caught.append(number)

    with ExitStack() as stack:
        for number in ENDING_SIGNALS:
            stack.callback(signal.signal, number, signal.signal(number, note))
        # A supervisor that is put to sleep by Ctrl-Z would leave a moving arm without anybody to watch it.
        stack.callback(signal.signal, signal.SIGTSTP, signal.signal(signal.SIGTSTP, signal.SIG_IGN))
        yield caught
