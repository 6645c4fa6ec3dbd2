"""Dynamixel Protocol 2.0: instructions and answers as bytes, and back. This module is what callers import.

Addresses and sizes are two bytes, little-endian. A sync packet names one address for all servos, a bulk packet one for
each. A fast read is answered by all servos together in one frame:

    FF FF FD 00 | FE | LEN_L LEN_H | 55 | ERR ID data CRC | ERR ID data CRC | ...

Each CRC covers everything from the header on, earlier CRCs included; the last is the frame's own.

Source: ROBOTIS e-Manual, "DYNAMIXEL Protocol 2.0", https://emanual.robotis.com/docs/en/dxl/protocol2/
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Final

from robot_mbrl.contracts.errors import PacketValueError
from robot_mbrl.contracts.types import HardwareError
from robot_mbrl.drivers.dynamixel.crc import crc16
from robot_mbrl.drivers.dynamixel.framing import (
    BROADCAST_ID,
    HEADER,
    HIGHEST_ID,
    MAX_PACKET_SIZE,
    PREFIX_SIZE,
    Decoder,
    Instruction,
    Packet,
    ResultCode,
    check_id,
    check_range,
    encode,
    scan,
    stuff,
    unstuff,
)

__all__ = [
    "BROADCAST_ID",
    "HIGHEST_ID",
    "MAX_PACKET_SIZE",
    "ClearOption",
    "Decoder",
    "Instruction",
    "Packet",
    "ResetMode",
    "ResultCode",
    "action",
    "answer_size",
    "bulk_read",
    "bulk_write",
    "clear",
    "crc16",
    "encode",
    "factory_reset",
    "fast_answer_size",
    "fast_bulk_read",
    "fast_status",
    "fast_sync_read",
    "hardware_errors",
    "parse_bulk_read",
    "parse_bulk_write",
    "parse_fast_status",
    "parse_read",
    "parse_sync_read",
    "parse_sync_write",
    "parse_write",
    "ping",
    "read",
    "reboot",
    "reg_write",
    "scan",
    "status",
    "stuff",
    "sync_read",
    "sync_write",
    "unstuff",
    "write",
]

_HARDWARE_ERROR: Final = {
    0x01: HardwareError.VOLTAGE,
    0x04: HardwareError.OVERHEAT,
    0x08: HardwareError.ENCODER,
    0x10: HardwareError.SHOCK,
    0x20: HardwareError.OVERLOAD,
}
_FAST_PART_OVERHEAD: Final = 4
"""Bytes that a servo adds to its data in the joint answer: ERR, ID and CRC."""


class ResetMode(IntEnum):
    """What a factory reset brings back."""

    ALL = 0xFF
    ALL_BUT_ID = 0x01
    ALL_BUT_ID_AND_BAUD = 0x02


class ClearOption(IntEnum):
    """What a clear instruction clears."""

    TURNS = 0x01


_CLEAR_KEY: Final = {ClearOption.TURNS: b"\x44\x58\x4c\x22"}
"""Fixed bytes that the servo wants to see behind the option."""


def hardware_errors(value: int) -> HardwareError:
    """The hardware errors in the register `hardware_error_status` (address 70); bits without a meaning are left out."""
    errors = HardwareError.NONE
    if value:
        for bit, error in _HARDWARE_ERROR.items():
            if value & bit:
                errors |= error
    return errors


def ping(packet_id: int) -> bytes:
    """Ask whether a servo is there; it answers with its model number (2 bytes) and firmware version (1 byte)."""
    return encode(packet_id, Instruction.PING)


def read(packet_id: int, address: int, size: int) -> bytes:
    """Read `size` bytes from `address` on."""
    return encode(packet_id, Instruction.READ, _span(address, size))


def write(packet_id: int, address: int, data: bytes) -> bytes:
    """Write `data` from `address` on."""
    return encode(packet_id, Instruction.WRITE, _address_and_data(address, data))


def reg_write(packet_id: int, address: int, data: bytes) -> bytes:
    """Write `data` from `address` on when `action` is called."""
    return encode(packet_id, Instruction.REG_WRITE, _address_and_data(address, data))


def action(packet_id: int = BROADCAST_ID) -> bytes:
    """Carry out the writes that `reg_write` registered."""
    return encode(packet_id, Instruction.ACTION)


def factory_reset(packet_id: int, mode: ResetMode = ResetMode.ALL_BUT_ID_AND_BAUD) -> bytes:
    """Bring the control table back to factory values."""
    return encode(packet_id, Instruction.FACTORY_RESET, bytes((mode,)))


def reboot(packet_id: int) -> bytes:
    """Restart a servo."""
    return encode(packet_id, Instruction.REBOOT)


def clear(packet_id: int, option: ClearOption = ClearOption.TURNS) -> bytes:
    """Bring the present position of a servo at rest back into one turn."""
    return encode(packet_id, Instruction.CLEAR, bytes((option,)) + _CLEAR_KEY[option])


def sync_read(address: int, size: int, ids: Iterable[int]) -> bytes:
    """Read the same registers of several servos, which answer one after the other in the order of `ids`."""
    return encode(BROADCAST_ID, Instruction.SYNC_READ, _span(address, size) + _unique_ids(ids))


def fast_sync_read(address: int, size: int, ids: Iterable[int]) -> bytes:
    """Read the same registers of several servos, which answer together in one frame."""
    return encode(BROADCAST_ID, Instruction.FAST_SYNC_READ, _span(address, size) + _unique_ids(ids))


def sync_write(address: int, data: Mapping[int, bytes]) -> bytes:
    """Write the same registers of several servos, which do not answer.

    Args:
        address: first register.
        data: what each ID gets; all of one length.
    """
    _unique_ids(data)
    sizes = {len(part) for part in data.values()}
    if len(sizes) != 1:
        raise PacketValueError(f"Dynamixel sync write of {sorted(sizes)} bytes: give every ID data of one length")
    parts = [bytes((servo_id,)) + part for servo_id, part in data.items()]
    return encode(BROADCAST_ID, Instruction.SYNC_WRITE, _span(address, sizes.pop()) + b"".join(parts))


def bulk_read(parts: Iterable[tuple[int, int, int]]) -> bytes:
    """Read different registers of several servos, each part (ID, address, size); they answer one after the other."""
    return encode(BROADCAST_ID, Instruction.BULK_READ, _bulk_spans(parts))


def fast_bulk_read(parts: Iterable[tuple[int, int, int]]) -> bytes:
    """Read different registers of several servos, each part (ID, address, size); they answer together in one frame."""
    return encode(BROADCAST_ID, Instruction.FAST_BULK_READ, _bulk_spans(parts))


def bulk_write(parts: Iterable[tuple[int, int, bytes]]) -> bytes:
    """Write different registers of several servos, each part (ID, address, data); they do not answer."""
    parts = tuple(parts)
    ids = _unique_ids(part[0] for part in parts)
    params = (
        bytes((servo_id,)) + _span(address, len(data)) + data
        for servo_id, (_, address, data) in zip(ids, parts, strict=True)
    )
    return encode(BROADCAST_ID, Instruction.BULK_WRITE, b"".join(params))


def status(packet_id: int, error: int, params: bytes = b"") -> bytes:
    """A servo's answer."""
    check_range("error byte", error, 0, 0xFF)
    return encode(packet_id, Instruction.STATUS, bytes((error,)) + params)


def answer_size(params_size: int) -> int:
    """Bytes on the wire of an answer that carries `params_size` bytes, when none of them needs stuffing."""
    return PREFIX_SIZE + 4 + params_size


def fast_status(parts: Sequence[tuple[int, int, bytes]]) -> bytes:
    """The joint answer to a fast read, each part (error byte, ID, data)."""
    _unique_ids(part[1] for part in parts)
    length = 1 + sum(_FAST_PART_OVERHEAD + len(data) for _, _, data in parts)
    check_range("joint answer's length", PREFIX_SIZE + length, 0, MAX_PACKET_SIZE)
    joint = _fast_prefix(length)
    crc = crc16(joint)
    for error, servo_id, data in parts:
        check_range("error byte", error, 0, 0xFF)
        part = bytes((error, servo_id)) + data
        tail = crc16(part, crc).to_bytes(2, "little")
        crc = crc16(part + tail, crc)
        joint += part + tail
    return joint


def fast_answer_size(count: int, size: int) -> int:
    """Bytes on the wire of the joint answer of `count` servos that each give `size` bytes."""
    return PREFIX_SIZE + 1 + count * (_FAST_PART_OVERHEAD + size)


def parse_fast_status(packet: Packet, sizes: int | Sequence[int]) -> list[tuple[int, int, bytes]]:
    """Take a joint answer apart into (error byte, ID, data), in the order of the request.

    Args:
        packet: as the decoder gave it, its own CRC checked and taken off.
        sizes: bytes of data of each servo, or one number for all.

    Raises:
        PacketValueError: not a joint answer, of another length than `sizes` says, an ID that no servo has, or a
            servo's CRC is wrong: it had heard its predecessors differently from the host.
    """
    if packet.id != BROADCAST_ID or packet.instruction != Instruction.STATUS:
        raise PacketValueError(
            f"packet with ID {packet.id} and instruction {packet.instruction:#04x} is no joint answer: "
            f"give one with ID {BROADCAST_ID} and instruction 0x55"
        )
    body = bytes((packet.error,)) + packet.params
    length = len(body) + 3
    if isinstance(sizes, int):
        sizes = (sizes,) * ((length - 1) // (_FAST_PART_OVERHEAD + sizes) if sizes > 0 else 0)
    expected = 1 + sum(_FAST_PART_OVERHEAD + size for size in sizes)
    if length != expected or not sizes or min(sizes) < 0:
        raise PacketValueError(
            f"joint answer of LEN {length} does not hold {len(sizes)} parts with {list(sizes)} bytes of data: "
            "give the sizes that were asked for"
        )
    parts: list[tuple[int, int, bytes]] = []
    crc = crc16(_fast_prefix(length))
    start = 0
    for size in sizes:
        error, servo_id = body[start], body[start + 1]
        check_id(servo_id, HIGHEST_ID)
        parts.append((error, servo_id, body[start + 2 : start + 2 + size]))
        end = start + 2 + size
        crc = crc16(body[start:end], crc)
        tail = body[end : end + 2]
        if tail and tail != crc.to_bytes(2, "little"):
            raise PacketValueError(
                f"joint answer: the CRC of ID {servo_id} is {tail.hex(' ')} and must be "
                f"{crc.to_bytes(2, 'little').hex(' ')}: ask again"
            )
        crc = crc16(tail, crc)
        start = end + 2
    return parts


def parse_read(params: bytes) -> tuple[int, int]:
    """Address and size of a read instruction."""
    if len(params) != 4:
        raise PacketValueError(f"Dynamixel read with {len(params)} parameter bytes: give 4, address and size")
    return _parse_span(params)


def parse_write(params: bytes) -> tuple[int, bytes]:
    """Address and data of a write or registered write."""
    if len(params) < 3:
        raise PacketValueError(f"Dynamixel write with {len(params)} parameter bytes: give the address and the data")
    return params[0] | params[1] << 8, params[2:]


def parse_sync_read(params: bytes) -> tuple[int, int, tuple[int, ...]]:
    """Address, size and IDs of a sync read or fast sync read."""
    if len(params) < 5:
        raise PacketValueError(f"Dynamixel sync read with {len(params)} parameter bytes: give address, size and IDs")
    address, size = _parse_span(params)
    return address, size, tuple(_unique_ids(params[4:]))


def parse_sync_write(params: bytes) -> tuple[int, int, dict[int, bytes]]:
    """Address, size, and the data of each ID of a sync write."""
    address, size = _parse_span(params)
    if len(params) == 4 or (len(params) - 4) % (size + 1):
        raise PacketValueError(
            f"Dynamixel sync write with {len(params)} parameter bytes: give address, size, and for each servo its ID "
            f"and {size} bytes"
        )
    starts = range(4, len(params), size + 1)
    _unique_ids(params[start] for start in starts)
    return address, size, {params[start]: params[start + 1 : start + 1 + size] for start in starts}


def parse_bulk_read(params: bytes) -> list[tuple[int, int, int]]:
    """ID, address and size of each part of a bulk read or fast bulk read."""
    if not params or len(params) % 5:
        raise PacketValueError(f"Dynamixel bulk read with {len(params)} parameter bytes: give 5 for each servo")
    ids = _unique_ids(params[::5])
    return [(servo_id, *_parse_span(params[5 * i + 1 : 5 * i + 5])) for i, servo_id in enumerate(ids)]


def parse_bulk_write(params: bytes) -> list[tuple[int, int, bytes]]:
    """ID, address and data of each part of a bulk write."""
    parts: list[tuple[int, int, bytes]] = []
    start = 0
    while start < len(params):
        address, size = _parse_span(params[start + 1 : start + 5])
        data = params[start + 5 : start + 5 + size]
        if len(data) != size:
            raise PacketValueError(
                f"Dynamixel bulk write: ID {params[start]} has {len(data)} bytes of data where {size} are announced: "
                "give them all"
            )
        parts.append((params[start], address, data))
        start += 5 + size
    _unique_ids(part[0] for part in parts)
    return parts


def _fast_prefix(length: int) -> bytes:
    return HEADER + bytes((BROADCAST_ID, length & 0xFF, length >> 8, Instruction.STATUS))


def _span(address: int, size: int) -> bytes:
    check_range("address", address, 0, 0xFFFF)
    check_range("data size", size, 1, 0xFFFF)
    return bytes((address & 0xFF, address >> 8, size & 0xFF, size >> 8))


def _parse_span(params: bytes) -> tuple[int, int]:
    if len(params) < 4:
        raise PacketValueError(f"Dynamixel address and size take 4 bytes: {len(params)} are there, give all")
    size = params[2] | params[3] << 8
    check_range("data size", size, 1, 0xFFFF)
    return params[0] | params[1] << 8, size


def _address_and_data(address: int, data: bytes) -> bytes:
    return _span(address, len(data))[:2] + data


def _unique_ids(ids: Iterable[int]) -> bytes:
    ids = tuple(ids)
    if not ids:
        raise PacketValueError("Dynamixel packet for 0 servos: give at least 1 ID")
    for servo_id in ids:
        check_id(servo_id, HIGHEST_ID)
    if len(set(ids)) != len(ids):
        raise PacketValueError(f"Dynamixel packet for IDs {list(ids)}: give each ID once")
    return bytes(ids)


def _bulk_spans(parts: Iterable[tuple[int, int, int]]) -> bytes:
    parts = tuple(parts)
    ids = _unique_ids(part[0] for part in parts)
    spans = (_span(address, size) for _, address, size in parts)
    return b"".join(bytes((servo_id,)) + span for servo_id, span in zip(ids, spans, strict=True))
