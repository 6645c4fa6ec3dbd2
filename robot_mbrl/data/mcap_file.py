"""Builds an MCAP file out of blocks of messages of one length, a whole chunk at a time.

The library's writer makes each message by itself, about 5 µs each, which at 1 kHz is half of what recording may cost.
Messages of one length need no loop: a chunk of them, and its index, are NumPy arrays. All other records are the
library's own. Format: mcap.dev/spec.
"""

import importlib
import zlib
from typing import Any, Final

import numpy as np
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)
from numpy.typing import NDArray

from robot_mbrl.contracts.types import IntArray

MAGIC: Final = b"\x89MCAP0\r\n"
CHUNK_SIZE: Final = 16 * 1024
"""Bytes of messages before compression; a 1 MiB chunk would cost 2.6 ms at once and lose a second when cut off."""
COMPRESSION: Final = "lz4"

_SEQUENCE_MASK: Final = 2**32 - 1
"""MCAP's sequence numbers have 32 bits."""
_PREFIX: Final = 9
"""Bytes of opcode and length, which a record's length does not count."""
_CRC_SIZE: Final = 4
_ENTRY_DTYPE: Final = np.dtype([("time", "<u8"), ("offset", "<u8")])
_INDEX_DTYPE: Final = np.dtype([("opcode", "u1"), ("length", "<u8"), ("channel", "<u2"), ("size", "<u4")])

# Any: the package has no types.
_lz4: Any = importlib.import_module("lz4.frame")


def _row_dtype(size: int) -> "np.dtype[np.void]":
    """A message record whose data have `size` bytes."""
    times = [("log_time", "<u8"), ("publish_time", "<u8")]
    return np.dtype(
        [("opcode", "u1"), ("length", "<u8"), ("channel", "<u2"), ("sequence", "<u4"), *times, ("data", f"V{size}")]
    )


class McapBuilder:
    """Makes the bytes of one file, in order; `take` hands them out.

    Metadata, schemas and channels come before all messages, outside of chunks, so that no chunk needs another.
    """

    def __init__(self, library: str) -> None:
        """Begin a file; `library` is what it says of its writer."""
        # Any: some of the library's methods have no types.
        self._records: Any = RecordBuilder()
        self._taken = 0
        self._channels: list[Channel] = []
        self._schemas: list[Schema] = []
        self._chunks: list[ChunkIndex] = []
        self._metadata: list[MetadataIndex] = []
        self._counts: dict[int, int] = {}
        self._first_time, self._last_time = 2**64 - 1, 0
        self._records.write(MAGIC)
        Header(profile="", library=library).write(self._records)

    def take(self) -> bytes:
        """All bytes since the last call."""
        data: bytes = self._records.end()
        self._taken += len(data)
        return data

    def add_metadata(self, name: str, fields: dict[str, str]) -> None:
        """Write a metadata record."""
        start = self._position
        Metadata(name=name, metadata=fields).write(self._records)
        self._metadata.append(MetadataIndex(offset=start, length=self._position - start, name=name))

    def add_channel(self, topic: str, message_encoding: str, schema: tuple[str, str, bytes]) -> int:
        """Write a channel and its schema (name, encoding, data); returns the channel's number."""
        number = len(self._channels) + 1
        name, encoding, data = schema
        self._schemas.append(Schema(id=number, name=name, encoding=encoding, data=data))
        self._channels.append(
            Channel(id=number, topic=topic, message_encoding=message_encoding, schema_id=number, metadata={})
        )
        self._schemas[-1].write(self._records)
        self._channels[-1].write(self._records)
        self._counts[number] = 0
        return number

    def add_messages(self, channel: int, times: IntArray, sequence: IntArray, data: NDArray[np.void]) -> None:
        """Write messages of one channel in chunks of at most `CHUNK_SIZE`, or of one message where that is larger.

        Args:
            channel: its number.
            times: (k,) log and publish time [ns of the Unix epoch].
            sequence: (k,) of which the low 32 bits are kept.
            data: (k,) the messages.
        """
        rows = np.empty(len(data), _row_dtype(data.dtype.itemsize))
        rows["opcode"] = Opcode.MESSAGE
        rows["length"] = rows.dtype.itemsize - _PREFIX
        rows["channel"] = channel
        rows["sequence"] = sequence & _SEQUENCE_MASK
        rows["log_time"] = rows["publish_time"] = times
        rows["data"] = data.view(rows.dtype["data"])
        most = max(1, CHUNK_SIZE // rows.dtype.itemsize)
        for start in range(0, len(rows), most):
            self._add_chunk(channel, rows[start : start + most])

    def _add_chunk(self, channel: int, rows: NDArray[np.void]) -> None:
        raw = rows.tobytes()
        compressed: bytes = _lz4.compress(raw)
        first, last = int(rows["log_time"].min()), int(rows["log_time"].max())
        start = self._position
        Chunk(
            compression=COMPRESSION,
            data=compressed,
            message_start_time=first,
            message_end_time=last,
            uncompressed_crc=zlib.crc32(raw),
            uncompressed_size=len(raw),
        ).write(self._records)
        end = self._position
        self._records.write(_message_index(channel, rows))
        self._chunks.append(
            ChunkIndex(
                chunk_start_offset=start,
                chunk_length=end - start,
                compression=COMPRESSION,
                compressed_size=len(compressed),
                uncompressed_size=len(raw),
                message_start_time=first,
                message_end_time=last,
                message_index_offsets={channel: end},
                message_index_length=self._position - end,
            )
        )
        self._counts[channel] += len(rows)
        self._first_time, self._last_time = min(self._first_time, first), max(self._last_time, last)

    def finish(self) -> None:
        """Write the index and the end of the file."""
        DataEnd(data_section_crc=0).write(self._records)
        groups: list[tuple[Opcode, list[McapRecord]]] = [
            (Opcode.SCHEMA, [*self._schemas]),
            (Opcode.CHANNEL, [*self._channels]),
            (Opcode.STATISTICS, [self._statistics()]),
            (Opcode.CHUNK_INDEX, [*self._chunks]),
            (Opcode.METADATA_INDEX, [*self._metadata]),
        ]
        start = self._position
        summary: Any = RecordBuilder()
        offsets = []
        for opcode, records in groups:
            begin = summary.count
            for record in records:
                record.write(summary)
            offsets.append(SummaryOffset(opcode, start + begin, summary.count - begin))
        offsets_start = start + summary.count
        for offset in offsets:
            offset.write(summary)
        Footer(summary_start=start, summary_offset_start=offsets_start, summary_crc=0).write(summary)
        # The checksum, at the very end, is over everything before it.
        text: bytes = summary.end()[:-_CRC_SIZE]
        self._records.write(text + zlib.crc32(text).to_bytes(_CRC_SIZE, "little") + MAGIC)

    @property
    def _position(self) -> int:
        """Where the next record begins in the file."""
        return self._taken + int(self._records.count)

    def _statistics(self) -> Statistics:
        count = sum(self._counts.values())
        return Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts=self._counts,
            chunk_count=len(self._chunks),
            message_count=count,
            message_start_time=self._first_time if count else 0,
            message_end_time=self._last_time,
            metadata_count=len(self._metadata),
            schema_count=len(self._schemas),
        )


def _message_index(channel: int, rows: NDArray[np.void]) -> bytes:
    """A chunk's message index: when each message was, and where it begins in the chunk."""
    entries = np.empty(len(rows), _ENTRY_DTYPE)
    entries["time"] = rows["log_time"]
    entries["offset"] = np.arange(len(rows)) * rows.dtype.itemsize
    head = np.zeros(1, _INDEX_DTYPE)
    length = _INDEX_DTYPE.itemsize - _PREFIX + entries.nbytes
    head[0] = (Opcode.MESSAGE_INDEX, length, channel, entries.nbytes)
    return head.tobytes() + entries.tobytes()
