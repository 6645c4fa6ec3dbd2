"""The demonstration on a terminal: lines that stay, and below them where the arm stands just now.

Everything is plain ASCII but what the lines themselves say, so that any terminal shows it. Where standard output is no
terminal, only the lines are printed.
"""

import math
import os
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Group
from rich.live import Live
from rich.text import Text

from robot_mbrl.cli.pilot_seat import status_line
from robot_mbrl.cli.terminal import console
from robot_mbrl.contracts.clock import NANOSECONDS, Clock, to_ns
from robot_mbrl.contracts.frame import Record
from robot_mbrl.contracts.monitor_settings import UncertaintySettings
from robot_mbrl.data.log_header import LogHeader
from robot_mbrl.learning.monitor_calibration import SCORES

REFRESH: Final = 0.1
"""Between two updates of what is below the lines [s]."""
LACKING: Final = "real time: no "
"""Part of the line with which a process tells what it was refused."""
BAR: Final = 40
"""Characters of a bar."""
SCRIPTED: Final = (
    "a script presses the keys that `robot-mbrl deploy` has, in place of a person; Ctrl-C ends the demonstration"
)


class TerminalScreen:
    """Implements `demo.screen.Screen`; a context manager.

    A terminal that is gone, with its window or its line, raises nothing: an arm that moves must be brought to its end.
    """

    def __init__(self, clock: Clock) -> None:
        """Print to standard output; times are told since now."""
        self._clock, self._start_ns = clock, clock.now_ns()
        self._console = console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._header: LogHeader | None = None
        self._thresholds: UncertaintySettings | None = None
        self._shown_ns = 0
        self._stages = 0
        self._lacking: set[str] = set()
        self._flown = False
        self._living = False

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._put(self._live.start)
            # One that went quiet at its first word has nothing to stop.
            self._living = not self._console.quiet
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._living:
            self._put(self._live.stop)

    def stage(self, title: str) -> None:
        """Print the title of a new part, numbered, with the time since the beginning."""
        self._stages += 1
        self._header = None
        self._below()
        self._print(Text(f"{self._stages}. {title} [{self._seconds():.0f} s]", style="bold"))

    def tell(self, line: str) -> None:
        """Print one line; what real time lacks here is told once, and not by every flight."""
        if LACKING in line:
            if line in self._lacking:
                return
            self._lacking.add(line)
        self._print(Text(f"   {line}"))

    def progress(self, what: str, done: int, total: int) -> None:
        """Show how much is done."""
        if done < total:
            self._refresh(Text(f"   {what} {bar(done / total)}", no_wrap=True, overflow="crop"))
        else:
            self._below()

    def watch(self, header: LogHeader, thresholds: UncertaintySettings | None) -> None:
        """Show frames of the flight that `header` describes from now on; before the first, tell whose keys count."""
        if not self._flown:
            self._flown = True
            self.tell(SCRIPTED)
        self._header, self._thresholds = header, thresholds

    def show(self, frame: Record) -> None:
        """Show state, verdict and doubt."""
        if self._header is not None and self._console.is_terminal:
            lines = [status_line(frame, self._header.check_names, self._header.arm.joint_names)]
            lines += doubt_lines(frame, self._thresholds)
            self._refresh(*(Text(f"   {line}", no_wrap=True, overflow="crop") for line in lines))

    def _seconds(self) -> float:
        return (self._clock.now_ns() - self._start_ns) / NANOSECONDS

    def _print(self, text: Text) -> None:
        self._put(lambda: self._console.print(text, soft_wrap=True))

    def _refresh(self, *below: Text) -> None:
        now_ns = self._clock.now_ns()
        if self._console.is_terminal and now_ns - self._shown_ns >= to_ns(REFRESH):
            self._shown_ns = now_ns
            self._below(*below)

    def _below(self, *lines: Text) -> None:
        if self._console.is_terminal:
            self._put(lambda: self._live.update(Group(*lines), refresh=True))

    def _put(self, write: Callable[[], None]) -> None:
        """Write to the terminal; one that is gone is quiet from then on."""
        try:
            write()
        except OSError:
            self._console.quiet = True
            # What it did not take is written once more when the program ends, which then must not fail.
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), self._console.file.fileno())


def doubt_lines(frame: Record, thresholds: UncertaintySettings | None) -> list[str]:
    """A bar for each score of doubt, full where it stops the arm; none without thresholds."""
    lines = []
    for name in SCORES if thresholds is not None else ():
        grades = getattr(thresholds, name)
        value = float(frame[name][0])
        if grades is None or grades.stop is None:
            continue
        told = "-" if math.isnan(value) else f"{value:.3g}"
        share = 0.0 if math.isnan(value) else value / grades.stop
        lines.append(f"{name:12s} {bar(share)} {told}, stops above {grades.stop:.3g}")
    return lines


def bar(share: float) -> str:
    """`share`, 0 to 1 and cut off beyond, as `[####....]`."""
    filled = round(BAR * min(max(share, 0.0), 1.0))
    return f"[{'#' * filled}{'.' * (BAR - filled)}]"
