"""`robot-mbrl demo` as a process, in a file's or in a window's sight."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.cli.deployment import command_line, session_processes, shared_memory
from tests.cli.program import PATIENCE, PROGRAM, environment

IN_A_WINDOW = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes standard input the controlling terminal of a session, then runs a command in its place."""


class Demo:
    """A demonstration that runs, in `folder`, with temporary files in `folder`/tmp; leaving its context kills it."""

    def __init__(self, folder: Path) -> None:
        """Start it."""
        self.folder, self.temporary = folder, folder / "tmp"
        self.temporary.mkdir()
        self.output = folder / "output.txt"
        self._environment = {
            **environment(folder),
            "TMPDIR": str(self.temporary),
            "PYTHONUNBUFFERED": "1",
            "TERM": "xterm",
        }
        self._command = [str(PROGRAM), "demo", "--fast", "--folder", str(folder / "demo")]
        self.process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.output.open("wb") as output:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )

    def await_word(self, word: str) -> None:
        """Wait until it has said `word`."""
        deadline = time.monotonic() + PATIENCE
        while word not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def said(self) -> str:
        """All of its output."""
        return self.output.read_text(encoding="utf-8")

    def kill(self) -> None:
        """Kill it and whatever it left, so that nothing of a failed test lives on."""
        self.process.kill()
        self.process.wait()
        for pid in session_processes(f"demo-{self.process.pid}"):
            os.kill(pid, signal.SIGKILL)

    def left_behind(self) -> list[str]:
        """Processes, shared memory and temporary files of it."""
        session = f"demo-{self.process.pid}"
        pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
        arms = [command_line(pid) for pid in pids if str(self.temporary) in command_line(pid)]
        children = [command_line(pid) for pid in session_processes(session)]
        return [*arms, *children, *shared_memory(session), *map(str, self.temporary.glob("robot-mbrl-demo-*"))]


class WindowedDemo(Demo):
    """One in a window of its own, which can be closed."""

    def _start(self) -> subprocess.Popen[bytes]:
        self._window, seat = pty.openpty()
        self._seen = b""
        try:
            return subprocess.Popen(
                [sys.executable, "-c", IN_A_WINDOW, *self._command],
                stdin=seat,
                stdout=seat,
                stderr=seat,
                env=self._environment,
                start_new_session=True,
            )
        finally:
            os.close(seat)

    def said(self) -> str:
        """All that was seen in the window."""
        try:
            while self._window >= 0 and select.select([self._window], (), (), 0.0)[0]:
                self._seen += os.read(self._window, 1 << 16)
        except OSError:
            # Nobody is left who could write.
            self.close_window()
        return self._seen.decode(errors="replace")

    def kill(self) -> None:
        """Kill it, and close the window."""
        super().kill()
        self.close_window()

    def close_window(self) -> None:
        """Close it, as a click or a dropped line does. Idempotent."""
        if self._window >= 0:
            os.close(self._window)
            self._window = -1
