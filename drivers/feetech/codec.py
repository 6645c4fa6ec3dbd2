"""Feetech STS/SMS packets: bytes in, bytes out.

    FF FF | ID | LEN | CODE | params | CHK      LEN = params + 2,  CHK = ~(ID + LEN + CODE + sum(params)) & 0xFF

CODE is the instruction on the way to a servo and the status byte in its answer. A packet with P bytes of params
takes P + 6 bytes on the wire. Numbers of two bytes are little-endian on STS; this module moves bytes only.

Source: Feetech, "Magnetic encoder SMS/STS servo protocol manual"; https://doc.feetech.cn
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

from robot_mbrl.contracts.errors import PacketValueError
from robot_mbrl.contracts.types import HardwareError
from robot_mbrl.drivers.stream_decoder import Scan, StreamDecoder

BROADCAST_ID: Final = 0xFE
HIGHEST_ID: Final = 0xFD
OVERHEAD: Final = 6
"""Bytes of a packet that are not parameters."""
MAX_PARAMS: Final = 253
"""Most parameters that a one-byte LEN can promise."""

_HEADER: Final = b"\xff\xff"
_PREFIX_SIZE: Final = 4
"""Bytes from the header to LEN, which LEN does not count."""


class Instruction(IntEnum):
    """What a host may ask of a servo."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    RESTORE = 0x06
    REBOOT = 0x08
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83


class StatusBit(IntFlag):
    """Bits of the status byte, the same as in the register `status` (address 65)."""

    VOLTAGE = 1
    ENCODER = 2
    OVERHEAT = 4
    OVERCURRENT = 8
    OVERLOAD = 32


_HARDWARE_ERROR: Final = {
    StatusBit.VOLTAGE: HardwareError.VOLTAGE,
    StatusBit.ENCODER: HardwareError.ENCODER,
    StatusBit.OVERHEAT: HardwareError.OVERHEAT,
    StatusBit.OVERCURRENT: HardwareError.OVERCURRENT,
    StatusBit.OVERLOAD: HardwareError.OVERLOAD,
}


def hardware_errors(status: int) -> HardwareError:
    """The hardware errors that a status byte reports; bits without a meaning are left out."""
    errors = HardwareError.NONE
    if status:
        for bit, error in _HARDWARE_ERROR.items():
            if status & bit:
                errors |= error
    return errors


class Packet(NamedTuple):
    """One packet.

    Attributes:
        id: 0..253, or `BROADCAST_ID`.
        code: the instruction, or the status byte in an answer.
        params: at most `MAX_PARAMS` bytes.
    """

    id: int
    code: int
    params: bytes


def encode(packet_id: int, code: int, params: bytes = b"") -> bytes:
    """The packet's bytes on the wire.

    Raises:
        PacketValueError: the ID, the code or the number of parameters has no place in a packet.
    """
    _check_id(packet_id, BROADCAST_ID)
    _check_byte("instruction or status", code)
    if len(params) > MAX_PARAMS:
        raise PacketValueError(
            f"Feetech packet for ID {packet_id}: {len(params)} parameter bytes do not fit, the most is {MAX_PARAMS}: "
            "split it into several packets"
        )
    body = bytes((packet_id, len(params) + 2, code)) + params
    return _HEADER + body + bytes((~sum(body) & 0xFF,))


def ping(packet_id: int) -> bytes:
    """Ask whether a servo is there."""
    return encode(packet_id, Instruction.PING)


def read(packet_id: int, address: int, size: int) -> bytes:
    """Read `size` bytes from `address` on."""
    _check_byte("address", address)
    _check_data_size(size)
    return encode(packet_id, Instruction.READ, bytes((address, size)))


def write(packet_id: int, address: int, data: bytes) -> bytes:
    """Write `data` from `address` on."""
    return encode(packet_id, Instruction.WRITE, _address_and_data(address, data))


def reg_write(packet_id: int, address: int, data: bytes) -> bytes:
    """Write `data` from `address` on when `action` is called."""
    return encode(packet_id, Instruction.REG_WRITE, _address_and_data(address, data))


def action(packet_id: int = BROADCAST_ID) -> bytes:
    """Carry out the writes that `reg_write` registered."""
    return encode(packet_id, Instruction.ACTION)


def restore(packet_id: int) -> bytes:
    """Bring the control table back to factory values."""
    return encode(packet_id, Instruction.RESTORE)


def reboot(packet_id: int) -> bytes:
    """Restart a servo."""
    return encode(packet_id, Instruction.REBOOT)


def sync_read(address: int, size: int, ids: Iterable[int]) -> bytes:
    """Read the same registers of several servos, which answer one after the other in the order of `ids`."""
    ids = tuple(ids)
    _check_byte("address", address)
    _check_data_size(size)
    _check_ids(ids)
    return encode(BROADCAST_ID, Instruction.SYNC_READ, bytes((address, size, *ids)))


def sync_write(address: int, data: Mapping[int, bytes]) -> bytes:
    """Write the same registers of several servos, which do not answer.

    Args:
        address: first register.
        data: what each ID gets; all of one length.
    """
    _check_byte("address", address)
    _check_ids(tuple(data))
    sizes = {len(part) for part in data.values()}
    if len(sizes) != 1:
        raise PacketValueError(f"Feetech sync write of {sorted(sizes)} bytes: give every ID data of one length")
    size = sizes.pop()
    _check_data_size(size)
    parts = [bytes((servo_id,)) + part for servo_id, part in data.items()]
    return encode(BROADCAST_ID, Instruction.SYNC_WRITE, bytes((address, size)) + b"".join(parts))


def status(packet_id: int, code: int, params: bytes = b"") -> bytes:
    """A servo's answer, with its status byte as `code`."""
    _check_id(packet_id, HIGHEST_ID)
    return encode(packet_id, code, params)


def answer_size(params_size: int) -> int:
    """Bytes on the wire of an answer that carries `params_size` bytes."""
    return OVERHEAD + params_size


def parse_read(params: bytes) -> tuple[int, int]:
    """Address and size of a read instruction."""
    if len(params) != 2:
        raise PacketValueError(f"Feetech read with {len(params)} parameter bytes: give 2, address and size")
    _check_data_size(params[1])
    return params[0], params[1]


def parse_write(params: bytes) -> tuple[int, bytes]:
    """Address and data of a write or registered write."""
    if len(params) < 2:
        raise PacketValueError(f"Feetech write with {len(params)} parameter bytes: give the address and the data")
    return params[0], params[1:]


def parse_sync_read(params: bytes) -> tuple[int, int, tuple[int, ...]]:
    """Address, size and IDs of a sync read."""
    if len(params) < 3:
        raise PacketValueError(f"Feetech sync read with {len(params)} parameter bytes: give address, size and IDs")
    ids = tuple(params[2:])
    _check_data_size(params[1])
    _check_ids(ids)
    return params[0], params[1], ids


def parse_sync_write(params: bytes) -> tuple[int, int, dict[int, bytes]]:
    """Address, size, and the data of each ID of a sync write."""
    if len(params) < 4 or params[1] == 0 or (len(params) - 2) % (params[1] + 1):
        raise PacketValueError(
            f"Feetech sync write with {len(params)} parameter bytes: give address, size, and for each servo its ID "
            "and size bytes"
        )
    size = params[1]
    starts = range(2, len(params), size + 1)
    _check_ids(tuple(params[start] for start in starts))
    return params[0], size, {params[start]: params[start + 1 : start + 1 + size] for start in starts}


def scan(buffer: bytes) -> Scan[Packet]:
    """Find the packets in `buffer`.

    After a wrong checksum the search goes on one byte past the failed header, so that a false header in garbage
    never takes a good packet with it. A header is followed by an ID that is not 0xFF (in a run of 0xFF the last two
    are the header) and by a LEN of at least 2, hence `rest` is never longer than 258 bytes.
    """
    packets: list[Packet] = []
    size = len(buffer)
    position = taken = errors = 0
    while True:
        start = buffer.find(_HEADER, position)
        if start < 0:
            start = size - 1 if position < size and buffer[-1] == _HEADER[0] else size
            break
        body = start + _PREFIX_SIZE
        if body > size:
            break
        position = start + 1
        packet_id = buffer[start + 2]
        length = buffer[start + 3]
        if packet_id <= BROADCAST_ID and length >= 2:
            end = body + length
            if end > size:
                break
            if sum(buffer[start + 2 : end]) & 0xFF == 0xFF:
                packets.append(Packet(packet_id, buffer[body], buffer[body + 1 : end - 1]))
                taken += end - start
                position = end
            else:
                errors += 1
    return Scan(packets, buffer[start:], start - taken, errors)


class Decoder(StreamDecoder[Packet]):
    """Finds these packets in a stream."""

    def __init__(self) -> None:
        """Nothing is held back yet."""
        super().__init__(scan)


def _address_and_data(address: int, data: bytes) -> bytes:
    _check_byte("address", address)
    if not data:
        raise PacketValueError(f"Feetech write to address {address} with 0 bytes of data: give at least 1")
    return bytes((address,)) + data


def _check_byte(thing: str, value: int) -> None:
    if not 0 <= value <= 0xFF:
        raise PacketValueError(f"Feetech {thing} = {value} does not fit a byte: give 0..255")


def _check_data_size(size: int) -> None:
    if not 1 <= size <= MAX_PARAMS:
        raise PacketValueError(f"Feetech data size = {size} does not fit an answer: give 1..{MAX_PARAMS}")


def _check_id(packet_id: int, highest: int) -> None:
    if not 0 <= packet_id <= highest:
        raise PacketValueError(
            f"Feetech ID {packet_id} is not one: give 0..{HIGHEST_ID}"
            + (f", or {BROADCAST_ID} for all servos" if highest == BROADCAST_ID else "")
        )


def _check_ids(ids: tuple[int, ...]) -> None:
    if not ids:
        raise PacketValueError("Feetech sync packet for 0 servos: give at least 1 ID")
    for servo_id in ids:
        _check_id(servo_id, HIGHEST_ID)
    if len(set(ids)) != len(ids):
        raise PacketValueError(f"Feetech sync packet for IDs {list(ids)}: give each ID once")
