"""Where the demonstration is seen while it runs."""

from typing import Protocol

from robot_mbrl.contracts.frame import Record
from robot_mbrl.contracts.monitor_settings import UncertaintySettings
from robot_mbrl.data.log_header import LogHeader


class Screen(Protocol):
    """A terminal, or whatever stands in."""

    def stage(self, title: str) -> None:
        """A new part begins."""
        ...

    def tell(self, line: str) -> None:
        """Something happened."""
        ...

    def progress(self, what: str, done: int, total: int) -> None:
        """So much of something is done; all of it ends it."""
        ...

    def watch(self, header: LogHeader, thresholds: UncertaintySettings | None) -> None:
        """Frames of a flight that `header` describes will come, judged by `thresholds` of doubt where there are any."""
        ...

    def show(self, frame: Record) -> None:
        """The newest frame."""
        ...
