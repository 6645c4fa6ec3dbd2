"""What the demonstration does to the arm, with the time of each: the report sets it beside what the logs say."""

from pathlib import Path

from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.config import Settings


class Event(Settings):
    """One thing that was done.

    Attributes:
        stamp_ns: when [ns of CLOCK_MONOTONIC], as in the frames.
        kind: `stage` for the beginning of a part, `disturbance` for what shall make the monitor speak, `action` for
            anything else.
        text: what.
    """

    stamp_ns: int
    kind: str
    text: str


class Journal:
    """Writes events into a file, a line of JSON each, as they happen."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Begin the file at `path`; stamps are taken from `clock`."""
        self._path, self._clock = path, clock
        path.write_text("", encoding="utf-8")

    def note(self, kind: str, text: str) -> None:
        """Something is being done now."""
        event = Event(stamp_ns=self._clock.now_ns(), kind=kind, text=text)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(event.model_dump_json() + "\n")


def read_journal(path: Path) -> list[Event]:
    """All events of the file at `path`, in order."""
    return [Event.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
