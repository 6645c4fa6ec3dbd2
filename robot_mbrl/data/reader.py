"""Reads a flight log, whole or cut off, into frames."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from mcap.records import Channel, Message, Metadata, Schema

from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import FRAME_DTYPE, PLAN_DTYPE
from robot_mbrl.data.flight_log import FRAME_TOPIC, NOTE_TOPIC, PLAN_TOPIC, NoteLevel
from robot_mbrl.data.frame_codec import FRAMES, PLANS, FrameArray, PlanArray
from robot_mbrl.data.log_header import METADATA_NAME, LogHeader
from robot_mbrl.data.log_scan import LogScan

_SCHEMAS: Final = (FRAMES.schema, PLANS.schema)


@dataclass(frozen=True, slots=True)
class Note:
    """A note of the recorder.

    Attributes:
        stamp_ns: what time it belongs to [ns of CLOCK_MONOTONIC].
        level: how grave it is.
        text: one line.
    """

    stamp_ns: int
    level: NoteLevel
    text: str


def no_plans() -> PlanArray:
    """An array of no plans, shape (0,)."""
    return np.empty(0, PLAN_DTYPE)


@dataclass(frozen=True, slots=True)
class FlightRecord:
    """What one log holds.

    Attributes:
        path: of the file.
        header: what the log says of itself.
        frames: (k,) of `FRAME_DTYPE`, as they were written.
        notes: in the order they were written.
        complete: whether the file was closed properly.
        unreadable: bytes that could not be read.
        plans: (p,) of `PLAN_DTYPE`, as they were made; none where the policy does not plan.
    """

    path: Path
    header: LogHeader
    frames: FrameArray
    notes: tuple[Note, ...]
    complete: bool
    unreadable: int
    plans: PlanArray = field(default_factory=no_plans)


def load_bytes(path: Path) -> bytes:
    """Content of the file `path`.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}): give the path of a flight log") from error


def read_log(path: Path) -> FlightRecord:
    """Read all that can be trusted of the log `path`.

    Raises:
        ConfigError: it cannot be read, is no flight log, broke off before its header was whole, or was written by a
            version with other frames or plans.
    """
    scan = LogScan(load_bytes(path), str(path))
    header: LogHeader | None = None
    topics: dict[int, str] = {}
    messages: dict[str, list[bytes]] = {FRAME_TOPIC: [], PLAN_TOPIC: [], NOTE_TOPIC: []}
    for record in scan:
        if isinstance(record, Message):
            messages.setdefault(topics.get(record.channel_id, ""), []).append(record.data)
        elif isinstance(record, Channel):
            topics[record.id] = record.topic
        elif isinstance(record, Metadata) and record.name == METADATA_NAME:
            header = LogHeader.from_metadata(record.metadata)
        elif isinstance(record, Schema) and record.encoding == "protobuf" and record.data not in _SCHEMAS:
            raise ConfigError(f"{path}: {record.name} has other fields here: read it with the version that wrote it")
    if header is None:
        raise ConfigError(f"{path}: no header of a flight log in it: give a log that `robot-mbrl deploy` wrote")
    frames, plans = FRAMES.decode(messages[FRAME_TOPIC]), PLANS.decode(messages[PLAN_TOPIC])
    notes = tuple(_note(data, header.clock_offset_ns) for data in messages[NOTE_TOPIC])
    return FlightRecord(path, header, frames, notes, scan.complete, scan.unreadable, plans)


def read_frames(path: Path) -> FrameArray:
    """The frames (k,) of the log `path`; errors as `read_log`."""
    return read_log(path).frames


def _note(data: bytes, clock_offset_ns: int) -> Note:
    note = json.loads(data)
    time_ns = note["timestamp"]["sec"] * NANOSECONDS + note["timestamp"]["nsec"]
    return Note(time_ns - clock_offset_ns, NoteLevel(note["level"]), note["message"])


def no_frames() -> FrameArray:
    """An array of no frames, shape (0,)."""
    return np.empty(0, FRAME_DTYPE)
