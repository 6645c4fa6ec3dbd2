"""Incident files: the seconds before and after a stop, in a small log of their own."""

from collections import deque
from pathlib import Path

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.data.flight_log import FlightLog, NoteLevel, OpenFile
from robot_mbrl.data.frame_codec import FrameArray, join_frames
from robot_mbrl.data.log_header import LogHeader


class History:
    """The frames of the last seconds."""

    def __init__(self, seconds: float) -> None:
        """Keep the frames of the last `seconds` [s]."""
        self._span_ns = to_ns(seconds)
        self._batches: deque[FrameArray] = deque()

    def append(self, frames: FrameArray) -> None:
        """Add `frames` (k,), which follow those that are here."""
        self._batches.append(frames)
        oldest_ns = int(frames["wake_ns"][-1]) - self._span_ns
        while self._batches[0]["wake_ns"][-1] < oldest_ns:
            self._batches.popleft()

    def until(self, frames: FrameArray) -> FrameArray:
        """The last seconds before the last of `frames` (k,), which follow those that are here, and these."""
        everything = join_frames([*self._batches, frames])
        recent: FrameArray = everything[everything["wake_ns"] >= int(everything["wake_ns"][-1]) - self._span_ns]
        return recent


class Incident:
    """One incident's file, which is open until the time after the stop is over.

    Attributes:
        log: the file.
    """

    def __init__(
        self, path: Path, header: LogHeader, before: FrameArray, after: float, text: str, open_file: OpenFile
    ) -> None:
        """Write what led to the stop, at once.

        Args:
            path: of the file.
            header: of the log.
            before: (k,) frames up to the stop; the last one shows it.
            after: how long to go on [s].
            text: what happened.
            open_file: makes the file.

        Raises:
            OSError: it cannot be written.
        """
        stop_ns = int(before["wake_ns"][-1])
        self._end_ns = stop_ns + to_ns(after)
        self.log = FlightLog(path, header, open_file)
        self.log.write(before)
        self.log.note(stop_ns, NoteLevel.ERROR, text)

    def write(self, frames: FrameArray) -> None:
        """Take those of `frames` (k,) that lie within the time."""
        self.log.write(frames[frames["wake_ns"] <= self._end_ns])

    def is_over(self, now_ns: int) -> bool:
        """Whether frames from `now_ns` [ns] on do not belong to it."""
        return now_ns > self._end_ns
