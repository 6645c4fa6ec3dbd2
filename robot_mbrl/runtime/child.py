"""A child process of the supervisor: started as a module, heard by the lines it prints, ended by its process ID."""

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

from robot_mbrl.contracts.errors import ProcessFailed
from robot_mbrl.runtime.parent import SUPERVISOR

START_PATIENCE: Final = 60.0
"""How long a child may take to get ready [s]: imports alone take seconds on a small, busy computer."""
POLL: Final = 0.01


class Child:
    """One process.

    It is in a session of its own, so that Ctrl-C and the end of a terminal reach the supervisor alone, which ends its
    children in order. What it prints goes to files in memory: unlike a pipe, a file never fills up and holds up a
    process that must not wait, and unlike a disk, memory is not full just when there is something to be said about it.
    """

    def __init__(self, name: str, module: str, settings: str) -> None:
        """Describe `python -m module settings`; `name` is for messages."""
        self.name = name
        self._command = [sys.executable, "-m", module, settings]
        self._process: subprocess.Popen[bytes] | None = None
        self._out: int | None = None
        self._err: int | None = None
        self._read = 0
        self._partial = b""

    @property
    def pid(self) -> int:
        """Process ID; 0 when it was never started."""
        return 0 if self._process is None else self._process.pid

    @property
    def code(self) -> int | None:
        """Exit code, negative for a signal; None while it runs or when it was never started."""
        return None if self._process is None else self._process.poll()

    @property
    def alive(self) -> bool:
        """Whether it runs; a frozen one does."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it."""
        self._out, self._err = os.memfd_create(f"{self.name}-out"), os.memfd_create(f"{self.name}-err")
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=self._out,
            stderr=self._err,
            start_new_session=True,
            env={**os.environ, SUPERVISOR: str(os.getpid())},
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)

    def await_line(self, ready: str, meanwhile: Callable[[], None] = lambda: None) -> list[str]:
        """Wait until it has printed a line that begins with `ready`; returns what `lines` would.

        Args:
            ready: how the line begins.
            meanwhile: called again and again while waiting; what it raises ends the wait. It may call `lines`.

        Raises:
            ProcessFailed: it ended first, or took too long.
        """
        deadline = time.monotonic() + START_PATIENCE
        while not self._has_printed(ready):
            if not self.alive:
                raise ProcessFailed(f"the {self.name} process did not start: {self.last_words()}")
            if time.monotonic() > deadline:
                raise ProcessFailed(f"the {self.name} process was not ready within {START_PATIENCE} s: try again")
            meanwhile()
            time.sleep(POLL)
        return self.lines()

    def _has_printed(self, beginning: str) -> bool:
        if self._out is None:
            return False
        *lines, _ = os.pread(self._out, 1 << 20, 0).split(b"\n")
        return any(line.startswith(beginning.encode()) for line in lines)

    def lines(self) -> list[str]:
        """Whole lines that it has printed since the last call."""
        if self._out is None:
            return []
        data = os.pread(self._out, 1 << 20, self._read)
        self._read += len(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def last_words(self) -> str:
        """The last line of its standard error, or how it ended where it said nothing."""
        if self._err is not None:
            text = os.pread(self._err, 1 << 20, 0).decode(errors="replace").strip()
            if text:
                return text.splitlines()[-1].strip()
        code = self.code
        if code is None:
            return "it is still running"
        return f"it was ended by signal {-code}" if code < 0 else f"it ended with code {code} and said nothing"

    def tell(self, line: str) -> None:
        """Write a line to its standard input. A child that is gone, or hangs and reads no more, does not hear it."""
        if self._process is None or self._process.stdin is None or self._process.stdin.closed:
            return
        # Whole or not at all: the beginning of a line that is longer than a pipe takes at once.
        with contextlib.suppress(BrokenPipeError, BlockingIOError):
            os.write(self._process.stdin.fileno(), line.encode()[: select.PIPE_BUF - 1] + b"\n")

    def hang_up(self) -> None:
        """Close its standard input, as the supervisor's end would. Idempotent."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def wait(self, patience: float) -> bool:
        """Wait at most `patience` [s] for its end; returns whether it has ended."""
        if self._process is None:
            return True
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            return False
        return True

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self._process is not None:
            self._process.send_signal(number)

    def close(self) -> None:
        """Kill it if it still runs, and close its files. Idempotent."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self.hang_up()
        for file in (self._out, self._err):
            if file is not None:
                os.close(file)
        self._out = self._err = None
