"""Walks through the records of an MCAP file that may have been cut off or damaged, as far as they can be trusted.

The library's readers want the index at the end of a file, or raise where it breaks off. Here a record is trusted when
it lies whole within the file, and a chunk when its checksum holds too; after damage the walk goes on at the next chunk
of which that is true.
"""

import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Final

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, McapRecord, Message, Metadata, Schema
from mcap.stream_reader import breakup_chunk

from robot_mbrl.contracts.errors import ConfigError

MAGIC: Final = b"\x89MCAP0\r\n"
_PREFIX: Final = struct.Struct("<BQ")
"""Opcode and length, before each record's content."""
_DAMAGE: Final = (McapError, ValueError, RuntimeError, struct.error)
"""What the library, LZ4 and a checksum raise over damaged content."""


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
    stream = ReadDataStream(BytesIO(content))
    if opcode == Opcode.CHUNK:
        return breakup_chunk(Chunk.read(stream), validate_crc=True)
    if opcode == Opcode.METADATA:
        return [Metadata.read(stream)]
    if opcode == Opcode.SCHEMA:
        return [Schema.read(stream)]
    if opcode == Opcode.CHANNEL:
        return [Channel.read(stream)]
    if opcode == Opcode.MESSAGE:
        return [Message.read(stream, len(content))]
    return []
