"""Finds packets in a stream of bytes, however it is cut. What a packet looks like is each protocol's own business."""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

PacketT = TypeVar("PacketT")


class Scan(NamedTuple, Generic[PacketT]):
    """What a buffer holds.

    Attributes:
        packets: in order of arrival.
        rest: unfinished tail, to be put before the next bytes.
        garbage: bytes that belong to no packet.
        broken: headers whose bytes were all there and whose checksum or CRC was wrong.
    """

    packets: list[PacketT]
    rest: bytes
    garbage: int
    broken: int


class StreamDecoder(Generic[PacketT]):
    """Incremental decoder: the same packets come out however the bytes are cut.

    Attributes:
        garbage_bytes: bytes so far that belonged to no packet.
        broken: headers so far whose checksum or CRC was wrong.
    """

    __slots__ = ("_rest", "_scan", "broken", "garbage_bytes")

    def __init__(self, scan: Callable[[bytes], Scan[PacketT]]) -> None:
        """Decode what `scan` finds."""
        self._scan = scan
        self._rest = b""
        self.garbage_bytes = 0
        self.broken = 0

    @property
    def pending(self) -> int:
        """Bytes held back as the beginning of a packet."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[PacketT]:
        """Take bytes and return the packets that they complete."""
        packets, self._rest, garbage, broken = self._scan(self._rest + data)
        self.garbage_bytes += garbage
        self.broken += broken
        return packets

    def flush(self) -> list[PacketT]:
        """Declare the packet that is held back dead and return what was hidden behind its header.

        A false header can promise a packet of the greatest length and so hold back a good one. Nothing is pending
        afterwards.
        """
        packets: list[PacketT] = []
        while self._rest:
            self._rest = self._rest[1:]
            self.garbage_bytes += 1
            packets += self.feed(b"")
        return packets

    def reset(self) -> None:
        """Forget the bytes held back; they count as garbage."""
        self.garbage_bytes += len(self._rest)
        self._rest = b""
