"""One flight log: an MCAP file of frames, and of notes in plain words, that is whole up to its last flush.

Frames travel on `/frame` as protobuf (see `frame_codec`), notes on `/log` as JSON of the schema `foxglove.Log`, which
Foxglove's log panel shows. Chunks are small: a file that ends in the middle of one loses no more than it.
"""

import io
import json
import os
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
from mcap.writer import CompressionType, Writer

from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.data.frame_codec import MESSAGE_NAME, SCHEMA, FrameArray, encode_frames
from robot_mbrl.data.log_header import METADATA_NAME, LogHeader

FRAME_TOPIC: Final = "/frame"
NOTE_TOPIC: Final = "/log"

CHUNK_SIZE: Final = 16 * 1024
"""Bytes of messages before compression; a 1 MiB chunk would cost 2.6 ms at once and lose a second when cut off."""

_LARGEST_TIME: Final = 2**62
_SEQUENCE_MASK: Final = 2**32 - 1
"""MCAP's sequence numbers have 32 bits."""

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


class _Staging(io.BytesIO):
    """What the MCAP writer has written since the last flush; it sees positions in the whole file."""

    def __init__(self) -> None:
        super().__init__()
        self._taken = 0

    def tell(self) -> int:
        """Position in the file [bytes]."""
        return self._taken + super().tell()

    def take(self) -> bytes:
        """Everything that is here, which is then no longer here."""
        data = self.getvalue()
        self._taken += len(data)
        self.seek(0)
        self.truncate()
        return data


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
        self._staging = _Staging()
        self._end = 0
        # Any: some of the library's methods have no types.
        self._writer: Any = Writer(self._staging, chunk_size=CHUNK_SIZE, compression=CompressionType.LZ4)
        self._writer.start(profile="", library=f"robot-mbrl {header.versions.get('robot-mbrl', '')}")
        self._writer.add_metadata(METADATA_NAME, header.to_metadata())
        self._frame_channel = self._writer.register_channel(
            FRAME_TOPIC, "protobuf", self._writer.register_schema(MESSAGE_NAME, "protobuf", SCHEMA)
        )
        self._note_channel = self._writer.register_channel(
            NOTE_TOPIC,
            "json",
            self._writer.register_schema(NOTE_SCHEMA["title"], "jsonschema", json.dumps(NOTE_SCHEMA).encode()),
        )
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
        rows = zip(encode_frames(frames), times.tolist(), frames["tick"].tolist(), strict=True)
        for message, time_ns, tick in rows:
            self._writer.add_message(self._frame_channel, time_ns, message, time_ns, tick & _SEQUENCE_MASK)
        self.unflushed += len(frames)

    def note(self, stamp_ns: int, level: NoteLevel, text: str) -> None:
        """Take a note that belongs to the time `stamp_ns` [ns of CLOCK_MONOTONIC]."""
        time_ns = max(0, stamp_ns) + self._offset_ns
        seconds, nanoseconds = divmod(time_ns, NANOSECONDS)
        timestamp = {"sec": seconds, "nsec": nanoseconds}
        note = {"timestamp": timestamp, "level": int(level), "message": text, "name": "recorder", "file": "", "line": 0}
        self._writer.add_message(self._note_channel, time_ns, json.dumps(note).encode(), time_ns)

    def flush(self) -> None:
        """Hand all that was written to the kernel, or leave the file as it was.

        Raises:
            OSError: the file took not all of it. It ends where it ended before; what waited is lost, and all that is
                left to do with the file is to abandon it.
        """
        self._writer.flush()
        self._put(self._staging.take())
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
            self._writer.finish()
            self._put(self._staging.take())
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
