"""Slow packet decoders, written straight from the manuals, to judge the drivers' fast ones by.

They look at a whole stream at once: where a complete and correct packet begins, it is taken; otherwise one byte is
skipped. They share no code with the drivers.
"""

FeetechPacket = tuple[int, int, bytes]
DynamixelPacket = tuple[int, int, int, bytes]


def feetech_packets(stream: bytes) -> list[FeetechPacket]:
    """ID, instruction or status, and parameters of every packet."""
    packets: list[FeetechPacket] = []
    start = 0
    while start < len(stream):
        end = _feetech_end(stream, start)
        if end:
            packets.append((stream[start + 2], stream[start + 4], stream[start + 5 : end - 1]))
        start = end or start + 1
    return packets


def dynamixel_packets(stream: bytes, longest: int) -> list[DynamixelPacket]:
    """ID, instruction, error byte (0 in an instruction) and parameters of every packet of at most `longest` bytes."""
    packets: list[DynamixelPacket] = []
    start = 0
    while start < len(stream):
        end = _dynamixel_end(stream, start, longest)
        if end:
            packets.append(_dynamixel_packet(stream[start + 4], stream[start + 7 : end - 2]))
        start = end or start + 1
    return packets


def crc16(data: bytes) -> int:
    """Dynamixel's CRC bit by bit: the remainder of data * x^16 by x^16 + x^15 + x^2 + 1."""
    remainder = 0
    for byte in data:
        for bit in range(7, -1, -1):
            carry = remainder >> 15 ^ byte >> bit & 1
            remainder = remainder << 1 & 0xFFFF ^ (0x8005 if carry else 0)
    return remainder


def _feetech_end(stream: bytes, start: int) -> int:
    """Where the packet that begins at `start` ends, 0 if none does."""
    if stream[start : start + 2] != b"\xff\xff" or len(stream) < start + 6:
        return 0
    packet_id, length = stream[start + 2], stream[start + 3]
    end = start + 4 + length
    if packet_id == 0xFF or length < 2 or end > len(stream):
        return 0
    checksum = ~sum(stream[start + 2 : end - 1]) & 0xFF
    return end if checksum == stream[end - 1] else 0


def _dynamixel_end(stream: bytes, start: int, longest: int) -> int:
    """Where the packet that begins at `start` ends, 0 if none does."""
    if stream[start : start + 4] != b"\xff\xff\xfd\x00" or len(stream) < start + 10:
        return 0
    packet_id, length = stream[start + 4], stream[start + 5] + 256 * stream[start + 6]
    end = start + 7 + length
    is_status = stream[start + 7] == 0x55
    if packet_id in {0xFD, 0xFF} or length < 3 + is_status or end > min(len(stream), start + longest):
        return 0
    return end if crc16(stream[start : end - 2]) == stream[end - 2] + 256 * stream[end - 1] else 0


def _dynamixel_packet(packet_id: int, body: bytes) -> DynamixelPacket:
    joint_answer = packet_id == 0xFE and body[0] == 0x55
    if not joint_answer:
        body = _without_stuffing(body)
    if body[0] == 0x55:
        return packet_id, body[0], body[1], body[2:]
    return packet_id, body[0], 0, body[1:]


def _without_stuffing(body: bytes) -> bytes:
    """Leave out each FD that follows FF FF FD."""
    kept = bytearray()
    since_pattern = bytearray()
    for byte in body:
        if byte == 0xFD and since_pattern[-3:] == b"\xff\xff\xfd":
            since_pattern.clear()
            continue
        kept.append(byte)
        since_pattern.append(byte)
    return bytes(kept)
