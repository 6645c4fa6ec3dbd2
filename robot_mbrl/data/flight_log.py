"""One flight log: an MCAP file of frames, plans, and notes in plain words, that is whole up to its last flush.

Frames travel on `/frame` and plans on `/plan` as protobuf (see `record_codec`), notes on `/log` as JSON of the schema
`foxglove.Log`, which Foxglove's log panel shows. Chunks are small: a file that ends in the middle of one loses no more
than it.
"""

import io
import json
import os
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.data.frame_codec import FRAMES, PLANS, FrameArray, PlanArray
from robot_mbrl.data.log_header import METADATA_NAME, LogHeader
from robot_mbrl.data.mcap_file import McapBuilder

FRAME_TOPIC: Final = "/frame"
PLAN_TOPIC: Final = "/plan"
NOTE_TOPIC: Final = "/log"

_LARGEST_TIME: Final = 2**62
_NUMBER: Final = {"type": "integer", "minimum": 0}
NOTE_SCHEMA: Final[dict[str, Any]] = {
    "title": "foxglove.Log",
    "type": "object",
    "properties": {
        "timestamp": {"type": "object", "title": "time", "properties": {"sec": _NUMBER, "nsec": _NUMBER}},
        "level": _NUMBER,
        "message": {"type": "string"},
        "name": {"type": "string"},
        "file": {"type": "string"},
        "line": _NUMBER,
    },
}
"""Foxglove's schema `foxglove.Log`."""

OpenFile = Callable[[Path], io.FileIO]
"""Makes a file that must not exist yet and opens it for writing, without a buffer."""


class NoteLevel(IntEnum):
    """How grave a note is; the numbers are Foxglove's."""

    INFO = 2
    WARNING = 3
    ERROR = 4


def create_file(path: Path) -> io.FileIO:
    """Make `path`, which must not exist, and open it for writing."""
    return io.FileIO(path, "xb")


class FlightLog:
    """Writes one log file.

    What is written waits in memory until `flush` hands it to the kernel, all or nothing: from then on it survives the
    death of this process, and after `sync` also the computer's.

    Attributes:
        path: of the file.
        unflushed: frames that wait in memory.
        flushed: frames that the kernel has.
    """

    def __init__(self, path: Path, header: LogHeader, open_file: OpenFile = create_file) -> None:
        """Make the file and write its header.

        Raises:
            OSError: it cannot be made, exists, or there is no room for it.
        """
        self.path = path
        self.unflushed = self.flushed = 0
        self._offset_ns = header.clock_offset_ns
        self._end = 0
        self._builder = McapBuilder(f"robot-mbrl {header.versions.get('robot-mbrl', '')}")
        self._builder.add_metadata(METADATA_NAME, header.to_metadata())
        self._frames, self._plans = (
            self._builder.add_channel(topic, "protobuf", (codec.name, "protobuf", codec.schema))
            for topic, codec in ((FRAME_TOPIC, FRAMES), (PLAN_TOPIC, PLANS))
        )
        note_schema = json.dumps(NOTE_SCHEMA).encode()
        self._notes = self._builder.add_channel(NOTE_TOPIC, "json", (NOTE_SCHEMA["title"], "jsonschema", note_schema))
        self._file = open_file(path)
        try:
            self.flush()
        except OSError:
            self.abandon()
            path.unlink()
            raise

    @property
    def size(self) -> int:
        """Bytes of the file, without what waits in memory."""
        return self._end

    def write(self, frames: FrameArray) -> None:
        """Take `frames` (k,), in the order of their ticks."""
        times = np.clip(frames["wake_ns"], 0, _LARGEST_TIME) + self._offset_ns
        self._builder.add_messages(self._frames, times, frames["tick"], FRAMES.encode(frames))
        self.unflushed += len(frames)

    def write_plans(self, plans: PlanArray) -> None:
        """Take `plans` (k,), in the order they were made; each has the time of the state that it was made from."""
        times = np.clip(plans["stamp_ns"], 0, _LARGEST_TIME) + self._offset_ns
        self._builder.add_messages(self._plans, times, plans["sequence"], PLANS.encode(plans))

    def note(self, stamp_ns: int, level: NoteLevel, text: str) -> None:
        """Take a note that belongs to the time `stamp_ns` [ns of CLOCK_MONOTONIC]."""
        time_ns = max(0, stamp_ns) + self._offset_ns
        seconds, nanoseconds = divmod(time_ns, NANOSECONDS)
        timestamp = {"sec": seconds, "nsec": nanoseconds}
        note = {"timestamp": timestamp, "level": int(level), "message": text, "name": "recorder", "file": "", "line": 0}
        data = np.array([json.dumps(note).encode()], np.bytes_)
        self._builder.add_messages(
            self._notes, np.array([time_ns]), np.zeros(1, np.int64), data.view(f"V{data.itemsize}")
        )

    def flush(self) -> None:
        """Hand all that was written to the kernel, or leave the file as it was.

        Raises:
            OSError: the file took not all of it. It ends where it ended before; what waited is lost, and all that is
                left to do with the file is to abandon it.
        """
        self._put(self._builder.take())
        self.flushed += self.unflushed
        self.unflushed = 0

    def sync(self) -> None:
        """Flush, and wait until the storage has it.

        Raises:
            OSError: as `flush`, or the storage failed.
        """
        self.flush()
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Write the index that makes the file quick to open, sync and close it.

        Raises:
            OSError: as `sync`; the file is closed and readable, without its index.
        """
        try:
            self.flush()
            self._builder.finish()
            self._put(self._builder.take())
            os.fdatasync(self._file.fileno())
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, without what waits in memory."""
        self._file.close()

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(self._end)
            raise
        self._end += len(data)
