"""Dynamixel Protocol 2.0 on the wire: the packet, its stuffing, and the decoder that finds packets in a stream.

    FF FF FD 00 | ID | LEN_L LEN_H | INST | params | CRC_L CRC_H                LEN = params + 3
    FF FF FD 00 | ID | LEN_L LEN_H | 55 | ERR | params | CRC_L CRC_H            an answer, LEN = params + 4

Inside INST..params the pattern FF FF FD is sent as FF FF FD FD; LEN and CRC count the stuffed bytes. The one frame
with ID FE in which servos answer a fast read together is not stuffed.

Source: ROBOTIS e-Manual, "DYNAMIXEL Protocol 2.0", https://emanual.robotis.com/docs/en/dxl/protocol2/
"""

from enum import IntEnum
from typing import Final, NamedTuple

from robot_mbrl.contracts.errors import PacketValueError
from robot_mbrl.drivers.dynamixel.crc import crc16
from robot_mbrl.drivers.stream_decoder import Scan, StreamDecoder

BROADCAST_ID: Final = 0xFE
HIGHEST_ID: Final = 0xFC
MAX_PACKET_SIZE: Final = 1024
"""Longest packet on the wire, stuffing included; DynamixelSDK's TXPACKET_MAX_LEN and RXPACKET_MAX_LEN."""
ALERT_BIT: Final = 0x80

HEADER: Final = b"\xff\xff\xfd\x00"
_PATTERN: Final = b"\xff\xff\xfd"
_STUFFED: Final = b"\xff\xff\xfd\xfd"
_HEADER_CRC: Final = crc16(HEADER)
PREFIX_SIZE: Final = 7
"""Bytes from the header to LEN, which LEN does not count."""
_LONGEST: Final = MAX_PACKET_SIZE - PREFIX_SIZE
_INST_STATUS: Final = 0x55


class Instruction(IntEnum):
    """What a host may ask of a servo, and the mark of an answer."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    FACTORY_RESET = 0x06
    REBOOT = 0x08
    CLEAR = 0x10
    STATUS = 0x55
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92
    BULK_WRITE = 0x93
    FAST_BULK_READ = 0x9A


class ResultCode(IntEnum):
    """Low seven bits of an answer's error byte."""

    OK = 0
    RESULT = 1
    INSTRUCTION = 2
    CRC = 3
    RANGE = 4
    LENGTH = 5
    LIMIT = 6
    ACCESS = 7


class Packet(NamedTuple):
    """One packet, unstuffed.

    Attributes:
        id: 0..252, or `BROADCAST_ID`: of an instruction to all, or of the joint answer to a fast read.
        instruction: `Instruction.STATUS` in an answer.
        error: the error byte of an answer, 0 in an instruction.
        params: what follows.
    """

    id: int
    instruction: int
    error: int
    params: bytes

    @property
    def alert(self) -> bool:
        """Whether the servo reports a hardware error, which its register 70 names."""
        return self.error & ALERT_BIT != 0

    @property
    def result(self) -> int:
        """How the instruction went, a `ResultCode`."""
        return self.error & ~ALERT_BIT


def stuff(body: bytes) -> bytes:
    """Make FF FF FD in INST..params distinguishable from a header."""
    return body.replace(_PATTERN, _STUFFED)


def unstuff(body: bytes) -> bytes:
    """Inverse of `stuff`."""
    return body.replace(_STUFFED, _PATTERN)


def frame(packet_id: int, body: bytes) -> bytes:
    """Put header, ID, length and CRC around a stuffed body.

    Raises:
        PacketValueError: the packet is longer than `MAX_PACKET_SIZE`.
    """
    length = len(body) + 2
    if length > _LONGEST:
        raise PacketValueError(
            f"Dynamixel packet for ID {packet_id} takes {length + PREFIX_SIZE} bytes on the wire, the most is "
            f"{MAX_PACKET_SIZE}: split it into several packets"
        )
    rest = bytes((packet_id, length & 0xFF, length >> 8)) + body
    return HEADER + rest + crc16(rest, _HEADER_CRC).to_bytes(2, "little")


def encode(packet_id: int, instruction: int, params: bytes = b"") -> bytes:
    """The packet's bytes on the wire; for `Instruction.STATUS` the first of `params` is the error byte.

    Raises:
        PacketValueError: the ID, the instruction or the number of parameters has no place in a packet.
    """
    is_status = instruction == _INST_STATUS
    check_id(packet_id, HIGHEST_ID if is_status else BROADCAST_ID)
    check_range("instruction", instruction, 0, 0xFF)
    if is_status and not params:
        raise PacketValueError(
            f"Dynamixel status packet of ID {packet_id} has no error byte: give it as first parameter"
        )
    return frame(packet_id, stuff(bytes((instruction,)) + params))


def scan(buffer: bytes) -> Scan[Packet]:
    """Find the packets in `buffer`.

    After a wrong CRC the search goes on one byte past the failed header, so that a false header in garbage never
    takes a good packet with it. A header whose ID or length no packet can have is garbage, hence `rest` is shorter
    than `MAX_PACKET_SIZE`.
    """
    packets: list[Packet] = []
    size = len(buffer)
    position = taken = errors = 0
    while True:
        start = buffer.find(HEADER, position)
        if start < 0:
            start = _partial_header(buffer, position)
            break
        body = start + PREFIX_SIZE
        if body > size:
            break
        position = start + 1
        packet_id = buffer[start + 4]
        length = buffer[start + 5] | buffer[start + 6] << 8
        if 3 <= length <= _LONGEST and (packet_id <= HIGHEST_ID or packet_id == BROADCAST_ID):
            end = body + length
            if end > size:
                break
            if crc16(buffer[start + 4 : end - 2], _HEADER_CRC) != buffer[end - 2] | buffer[end - 1] << 8:
                errors += 1
            elif packet := _unpack(packet_id, buffer[body : end - 2]):
                packets.append(packet)
                taken += end - start
                position = end
    return Scan(packets, buffer[start:], start - taken, errors)


class Decoder(StreamDecoder[Packet]):
    """Finds these packets in a stream."""

    def __init__(self) -> None:
        """Nothing is held back yet."""
        super().__init__(scan)


def check_id(packet_id: int, highest: int) -> None:
    """Refuse an ID that no packet can have; `highest` is `HIGHEST_ID` or `BROADCAST_ID`."""
    if not 0 <= packet_id <= HIGHEST_ID and not packet_id == highest == BROADCAST_ID:
        raise PacketValueError(
            f"Dynamixel ID {packet_id} is not one: give 0..{HIGHEST_ID}"
            + (f", or {BROADCAST_ID} for all servos" if highest == BROADCAST_ID else "")
        )


def check_range(thing: str, value: int, low: int, high: int) -> None:
    """Refuse a value that its field cannot hold."""
    if not low <= value <= high:
        raise PacketValueError(f"Dynamixel {thing} = {value} does not fit its field: give {low}..{high}")


def _partial_header(buffer: bytes, position: int) -> int:
    """Where the longest beginning of a header at the buffer's end starts; the buffer's size if there is none."""
    for count in (3, 2, 1):
        if len(buffer) - position >= count and buffer.endswith(HEADER[:count]):
            return len(buffer) - count
    return len(buffer)


def _unpack(packet_id: int, body: bytes) -> Packet | None:
    """The packet of INST..params, or None for an answer without an error byte."""
    instruction = body[0]
    if instruction != _INST_STATUS:
        return Packet(packet_id, instruction, 0, unstuff(body)[1:])
    if len(body) < 2:
        return None
    if packet_id != BROADCAST_ID:
        body = unstuff(body)
    return Packet(packet_id, instruction, body[1], body[2:])
