"""A screen that nobody looks at."""

from robot_mbrl.contracts.frame import Record
from robot_mbrl.contracts.monitor_settings import UncertaintySettings
from robot_mbrl.data.log_header import LogHeader


class SilentScreen:
    """Keeps the lines, forgets the rest."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def stage(self, title: str) -> None:
        self.lines.append(title)

    def tell(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, what: str, done: int, total: int) -> None:
        assert 0 <= done <= total, what

    def watch(self, header: LogHeader, thresholds: UncertaintySettings | None) -> None:
        """Nobody looks."""

    def show(self, frame: Record) -> None:
        """Nobody looks."""
