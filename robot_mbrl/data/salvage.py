"""Makes a good file of a log that broke off or was damaged. The original is only read."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mcap.records import Channel, McapRecord, Message, Metadata, Schema
from mcap.writer import CompressionType, Writer

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.data.flight_log import FRAME_TOPIC, NOTE_TOPIC, PLAN_TOPIC
from robot_mbrl.data.frame_codec import FRAMES
from robot_mbrl.data.log_scan import LogScan
from robot_mbrl.data.mcap_file import CHUNK_SIZE
from robot_mbrl.data.reader import load_bytes
from robot_mbrl.data.story import lost_between

SALVAGE_METADATA: Final = "salvage"
"""Name of the metadata that says what a salvaged file was made from."""


@dataclass(frozen=True, slots=True)
class Salvage:
    """What was saved, and what not.

    Attributes:
        path: of the good file.
        was_complete: the original had been closed properly and nothing was wrong with it.
        frames: that were saved.
        plans: that were saved.
        notes: that were saved.
        chunks: of the original that could be trusted.
        unreadable: bytes of the original that could not be read.
        holes: frames missing between the first and the last that were saved.
    """

    path: Path
    was_complete: bool
    frames: int
    plans: int
    notes: int
    chunks: int
    unreadable: int
    holes: int


def salvaged_path(path: Path) -> Path:
    """Where `salvage` writes unless told otherwise: beside the original, under a name that no rotation deletes."""
    return path.with_name(f"salvaged-{path.name}")


def salvage(path: Path, target: Path) -> Salvage:
    """Write all that can be trusted of the log `path` to `target`, with an index.

    Raises:
        ConfigError: the log cannot be read or holds no message that can be trusted, or `target` exists or cannot be
            written.
    """
    scan = LogScan(load_bytes(path), str(path))
    records = list(scan)
    topics = {record.id: record.topic for record in records if isinstance(record, Channel)}
    messages = [record for record in records if isinstance(record, Message) and record.channel_id in topics]
    if not messages:
        raise ConfigError(f"{path}: no whole chunk in {path.stat().st_size} bytes: nothing can be saved")
    source = {"source": path.name, "unreadable_bytes": str(scan.unreadable), "was_complete": str(scan.complete)}
    try:
        with target.open("xb") as stream:
            # Any: some of the library's methods have no types.
            writer: Any = Writer(stream, chunk_size=CHUNK_SIZE, compression=CompressionType.LZ4)
            writer.start()
            writer.add_metadata(SALVAGE_METADATA, source)
            _copy(writer, records)
            writer.finish()
    except FileExistsError as error:
        raise ConfigError(f"{target}: exists: give another --output, or remove it") from error
    except OSError as error:
        target.unlink(missing_ok=True)
        raise ConfigError(f"{target}: {error.strerror}: give a path that can be written") from error
    saved = Counter(topics[message.channel_id] for message in messages)
    frames = [message.data for message in messages if topics[message.channel_id] == FRAME_TOPIC]
    return Salvage(
        path=target,
        was_complete=scan.complete,
        frames=saved[FRAME_TOPIC],
        plans=saved[PLAN_TOPIC],
        notes=saved[NOTE_TOPIC],
        chunks=scan.chunks,
        unreadable=scan.unreadable,
        holes=_holes(frames),
    )


def _copy(writer: Any, records: list[McapRecord]) -> None:
    """Give `writer` the `records`, under the numbers that it deals out."""
    schemas: dict[int, int] = {0: 0}
    channels: dict[int, int] = {}
    for record in _once(records):
        if isinstance(record, Metadata):
            writer.add_metadata(record.name, record.metadata)
        elif isinstance(record, Schema):
            schemas[record.id] = writer.register_schema(record.name, record.encoding, record.data)
        elif isinstance(record, Channel) and record.schema_id in schemas:
            channels[record.id] = writer.register_channel(
                record.topic, record.message_encoding, schemas[record.schema_id], record.metadata
            )
        elif isinstance(record, Message) and record.channel_id in channels:
            writer.add_message(
                channels[record.channel_id], record.log_time, record.data, record.publish_time, record.sequence
            )


def _once(records: list[McapRecord]) -> Iterator[McapRecord]:
    """`records` without schemas and channels that were there before: a file may repeat them in each chunk."""
    seen: set[tuple[type[McapRecord], int]] = set()
    for record in records:
        if isinstance(record, Schema | Channel):
            if (type(record), record.id) in seen:
                continue
            seen.add((type(record), record.id))
        yield record


def _holes(messages: list[bytes]) -> int:
    if not messages:
        return 0
    ends = FRAMES.decode([messages[0], messages[-1]])
    return lost_between(ends[0], ends[1], len(messages))
