"""The person at the terminal, or a script on standard input, as an `Operator`."""

import os
import select
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table

from robot_mbrl.commissioning.operator import Reading
from robot_mbrl.contracts.errors import ConfigError

PIPED_WIDTH: Final = 120
"""Columns of a table that goes to a file or a pipe."""
SAMPLE_PERIOD: Final = 0.02
"""How long to wait for the Enter key between two readings [s]."""
STANDARD_INPUT: Final = 0
_READ_SIZE: Final = 4096


def console() -> Console:
    """Standard output: styled on a terminal, plain text of a fixed width elsewhere."""
    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


class Lines:
    """Lines of a file descriptor, without waiting for more than is wanted.

    Python's own buffered input would take lines away from `select`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""
        self._ended = False

    def next(self, timeout: float | None = None) -> str | None:
        """The next line; None when none came within `timeout` [s].

        Raises:
            EOFError: the input has ended.
        """
        while b"\n" not in self._buffer and not self._ended:
            ready, _, _ = select.select([self._descriptor], [], [], timeout)
            if not ready:
                return None
            data = os.read(self._descriptor, _READ_SIZE)
            self._ended = not data
            self._buffer += data
        if not self._buffer:
            raise EOFError
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")


class Terminal:
    """Asks on standard output and reads answers, one a line, from standard input. Implements `Operator`."""

    def __init__(self) -> None:
        self._console = console()
        self._lines = Lines(STANDARD_INPUT)

    def tell(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False, soft_wrap=True)

    def confirm(self, question: str) -> bool:
        """Ask for `y`; everything else is a no."""
        return self._answer(f"{question} [y/N] ").strip().lower() in {"y", "yes"}

    def wait(self, request: str) -> None:
        """Ask for something and wait for Enter."""
        self._answer(f"{request}, then press Enter. ")

    def hold_middle(self, sample: Callable[[], Reading]) -> None:
        """Show positions until Enter."""
        self._watch("Hold EVERY joint in the middle of its range, and press Enter while it is there.", sample)

    def sweep(self, joint: str, sample: Callable[[], Reading]) -> None:
        """Show the range of one joint until Enter."""
        self._watch(f"{joint}: move it from stop to stop, then press Enter.", sample)

    def _answer(self, prompt: str) -> str:
        self._console.print(prompt, end="", markup=False, soft_wrap=True)
        sys.stdout.flush()
        return self._next(prompt, None) or ""

    def _next(self, prompt: str, timeout: float | None) -> str | None:
        try:
            return self._lines.next(timeout)
        except EOFError:
            raise ConfigError(f"standard input ended at {prompt.strip()!r}: answer it, or run on a terminal") from None

    def _watch(self, request: str, sample: Callable[[], Reading]) -> None:
        self.tell(request)
        sys.stdout.flush()
        live = Live(console=self._console, auto_refresh=False, transient=True)
        with live if self._console.is_terminal else nullcontext():
            while self._next(request, SAMPLE_PERIOD) is None:
                reading = sample()
                if self._console.is_terminal:
                    live.update(_range_table(reading), refresh=True)


def _range_table(reading: Reading) -> Table:
    table = Table("joint", "lowest", "now", "highest")
    for row in reading:
        table.add_row(*row)
    return table
