"""The terminal of a run: one line that is kept up to date, and keys that count without Enter."""

import os
import select
import sys
import termios
import tty
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS, Clock, to_ns
from robot_mbrl.contracts.frame import ControlState, Record
from robot_mbrl.contracts.types import VerdictLevel

REFRESH: Final = 0.1
"""Between two updates of the line [s]."""
_ERASE: Final = "\r\x1b[2K"
"""Return to the line's beginning and erase it (ECMA-48)."""


class PilotSeat:
    """Shows a run and hears its keys; a context manager. Implements `runtime.noted_operator.Operator`.

    Only a terminal gets a status line, and only a terminal's input is read key by key: a pipe or file is left alone.
    A terminal that takes nothing, as it was paused or its line is down, never holds up the keys: what there is to be
    told waits until it does, or until the run is over.
    """

    def __init__(self, check_names: tuple[str, ...], joint_names: tuple[str, ...], clock: Clock) -> None:
        """Name the monitor's checks and the arm's joints."""
        self._checks, self._joints = check_names, joint_names
        self._clock = clock
        self._input = _keyboard()
        self._screen = sys.stdout.isatty()
        self._output = -1
        self._waiting = b""
        self._before: list[Any] | None = None
        self._shown_ns = 0
        self._line = ""

    @property
    def present(self) -> bool:
        """Whether a person can press keys here."""
        return self._input >= 0

    def __enter__(self) -> Self:
        if self._screen:
            self._output = _screen()
        if self._input >= 0:
            self._before = termios.tcgetattr(self._input)
            # Keys come at once and unseen, also those that were pressed before; Ctrl-C still makes a signal.
            tty.setcbreak(self._input, termios.TCSANOW)
            mode = termios.tcgetattr(self._input)
            # Ctrl-S is a key like all others: it must not pause the terminal of a moving arm.
            mode[tty.IFLAG] &= ~termios.IXON
            termios.tcsetattr(self._input, termios.TCSANOW, mode)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()
        if self._output >= 0:
            os.close(self._output)
            self._output = -1
        if self._before is not None:
            try:
                termios.tcsetattr(self._input, termios.TCSANOW, self._before)
            except termios.error:
                # The terminal was closed: there is nothing left to restore.
                self._input = -1
        # Now that no arm waits for its keys, a terminal may take its time.
        waiting, self._waiting = self._waiting, b""
        self._write(waiting.decode(errors="replace"))

    def tell(self, line: str) -> None:
        """Print one line above the status line."""
        self._clear()
        self._write(f"{line}\n")
        if self._line:
            self._write(self._line)

    def show(self, frame: Record) -> None:
        """Renew the status line, if it is time to."""
        now_ns = self._clock.now_ns()
        if not self._screen or now_ns - self._shown_ns < to_ns(REFRESH):
            return
        self._shown_ns = now_ns
        self._line = status_line(frame, self._checks, self._joints)
        try:
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
        except OSError:
            # The terminal is gone; who sits here learns of it by its signal.
            self._screen = False
            return
        if self._flush():
            self._write(_ERASE + self._line[: columns - 1])

    def pressed(self) -> str:
        """Keys since the last call."""
        keys = b""
        try:
            while self._input >= 0 and select.select([self._input], (), (), 0.0)[0]:
                data = os.read(self._input, 256)
                if not data:
                    self._input = -1
                keys += data
        except OSError:
            # The terminal is gone; SIGHUP ends the run.
            self._input = -1
        return keys.decode(errors="replace")

    def _clear(self) -> None:
        if self._screen and self._line:
            self._write(_ERASE)

    def _write(self, text: str) -> None:
        if self._output >= 0:
            self._waiting += text.encode(sys.stdout.encoding, errors="replace")
            self._flush()
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError:
            # A closed terminal must not keep the arm from being stopped.
            self._screen = False

    def _flush(self) -> bool:
        """Write what waits, as much of it as the terminal takes now; returns whether it may take more."""
        if self._output < 0:
            return bool(select.select((), [sys.stdout], (), 0.0)[1])
        try:
            while self._waiting:
                self._waiting = self._waiting[os.write(self._output, self._waiting) :]
        except BlockingIOError:
            return False
        except OSError:
            self._waiting, self._screen = b"", False
        return True


def _screen() -> int:
    """Standard output's terminal, opened anew so that writing to it never waits; -1 where that cannot be.

    A mode of the descriptor that is there would be one of the shell's too, and outlive this program.
    """
    try:
        # By this name also where the terminal has none here, as in a container.
        return os.open(f"/proc/self/fd/{sys.stdout.fileno()}", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return -1


def _keyboard() -> int:
    """Standard input where it is this program's terminal, else -1: who reads it from the background is frozen."""
    if sys.stdin is None or not sys.stdin.isatty():
        return -1
    descriptor = sys.stdin.fileno()
    try:
        return descriptor if os.tcgetpgrp(descriptor) == os.getpgrp() else -1
    except OSError:
        return -1


def status_line(frame: Record, check_names: tuple[str, ...], joint_names: tuple[str, ...]) -> str:
    """Where the arm stands: state, what the monitor says, speed scale, the policy's doubt, ticks missed, speed."""
    state = ControlState(int(frame["state"][0])).name.lower()
    level = VerdictLevel(int(frame["verdict"][0]))
    verdict = level.name.lower()
    if level is not VerdictLevel.PASS:
        check, joint = int(frame["reason"][0]), int(frame["reason_joint"][0])
        where = f" {joint_names[joint]}" if 0 <= joint < len(joint_names) else ""
        reason = check_names[check] if 0 <= check < len(check_names) else f"check {check}"
        verdict += f" ({reason}{where}: {frame['value'][0]:.3g} against {frame['limit'][0]:.3g})"
    disagreement = float(frame["disagreement"][0])
    doubt = "-" if np.isnan(disagreement) else f"{disagreement:.3g}"
    speed = np.abs(frame["velocity"][0, : len(joint_names)])
    fastest = 0.0 if np.isnan(speed).all() else float(np.nanmax(speed))
    late = (int(frame["wake_ns"][0]) - int(frame["deadline_ns"][0])) / NANOSECONDS
    return (
        f"{state:8s} {verdict}  speed scale {float(frame['speed_scale'][0]):.2f}  disagreement {doubt}  "
        f"fastest joint {fastest:.2f} rad/s  late {late * 1e6:.0f} us  missed {int(frame['missed_ticks'][0])}"
    )
