"""Walks through the records of an MCAP file that may have been cut off or damaged, as far as they can be trusted.

The library's readers want the index at the end of a file, or raise where it breaks off. Here a record is trusted when
it lies whole within the file, and a chunk when its checksum holds too; after damage the walk goes on at the next chunk
of which that is true.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Final

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, DataEnd, McapRecord, MessageIndex, Metadata, Schema
from mcap.stream_reader import breakup_chunk

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.data.mcap_file import MAGIC

_PREFIX: Final = struct.Struct("<BQ")
"""Opcode and length, before each record's content."""
_DAMAGE: Final = (McapError, ValueError, RuntimeError, OverflowError, MemoryError, struct.error)
"""What the library, LZ4 and a checksum raise over damaged content; some of it claims absurd sizes."""

_READERS: Final[Mapping[int, Callable[[ReadDataStream], McapRecord]]] = {
    Opcode.CHANNEL: Channel.read,
    Opcode.CHUNK: Chunk.read,
    Opcode.DATA_END: DataEnd.read,
    Opcode.MESSAGE_INDEX: MessageIndex.read,
    Opcode.METADATA: Metadata.read,
    Opcode.SCHEMA: Schema.read,
}


class LogScan:
    """The trustworthy records of a file, in order. Iterate once, then look at the attributes.

    Attributes:
        complete: the file was closed properly: it ends with its index.
        unreadable: bytes that belong to no trustworthy record.
        chunks: trustworthy chunks.
    """

    def __init__(self, data: bytes, name: str) -> None:
        """Walk through `data`, the content of the file `name`.

        Raises:
            ConfigError: it is not an MCAP file.
        """
        if not data.startswith(MAGIC):
            raise ConfigError(f"{name}: not an MCAP file: give the path of a flight log")
        self._data = data
        self.complete = False
        self.unreadable = 0
        self.chunks = 0

    def __iter__(self) -> Iterator[McapRecord]:
        """Metadata, schemas, channels and messages; chunks are opened, indexes left out."""
        position = len(MAGIC)
        while position < len(self._data):
            found = self._record_at(position)
            if found is None:
                following = self._next_chunk(position + 1)
                self.unreadable += following - position
                position = following
                continue
            opcode, records, position = found
            if opcode == Opcode.DATA_END:
                self.complete = self._data.endswith(MAGIC) and self.unreadable == 0
                return
            self.chunks += opcode == Opcode.CHUNK
            yield from records

    def _record_at(self, position: int) -> tuple[int, list[McapRecord], int] | None:
        """Opcode, content and end of the record at `position`, None if there is none to be trusted."""
        start = position + _PREFIX.size
        if start > len(self._data):
            return None
        opcode, length = _PREFIX.unpack_from(self._data, position)
        end = start + length
        if end > len(self._data) or not Opcode.HEADER <= opcode <= Opcode.DATA_END:
            return None
        try:
            return opcode, _parse(opcode, self._data[start:end]), end
        except _DAMAGE:
            return None

    def _next_chunk(self, position: int) -> int:
        """Where the next trustworthy chunk begins at or after `position`; the end of the file if there is none."""
        while True:
            position = self._data.find(bytes([Opcode.CHUNK]), position)
            if position < 0:
                return len(self._data)
            if self._record_at(position) is not None:
                return position
            position += 1


def _parse(opcode: int, content: bytes) -> list[McapRecord]:
    """What a record outside of chunks holds. Messages there have no checksum, and our logs have none there."""
    reader = _READERS.get(opcode)
    if reader is None:
        return []
    stream = ReadDataStream(BytesIO(content))
    record = reader(stream)
    # A damaged length could make a record swallow those after it.
    if stream.count != len(content):
        raise ValueError(f"{len(content) - stream.count} bytes too many")
    if isinstance(record, Chunk):
        return breakup_chunk(record, validate_crc=True)
    return [record] if isinstance(record, Channel | Metadata | Schema) else []
