"""Dynamixel packets: the e-Manual's examples, the field's fault, and what must hold for any bytes in any chunks."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from robot_mbrl.benchmarks import reference_decoders
from robot_mbrl.benchmarks.reference_decoders import dynamixel_packets
from robot_mbrl.contracts.errors import PacketValueError
from robot_mbrl.contracts.types import HardwareError
from robot_mbrl.drivers.dynamixel import codec
from robot_mbrl.drivers.dynamixel.codec import Instruction, Packet

GOLDEN: dict[str, dict[str, Any]] = {
    entry["name"]: entry
    for entry in yaml.safe_load((Path(__file__).parent / "golden" / "dynamixel.yaml").read_text(encoding="utf-8"))
}
# e-Manual, Fast Sync Read: IDs 3, 7, 4 answer with their position. Fast Bulk Read: position, PWM, temperature.
FAST_SYNC_ANSWER = bytes.fromhex(
    "FF FF FD 00 FE 19 00 55 00 03 A6 00 00 00 84 08 00 07 1F 08 00 00 16 CA 00 04 FF 03 00 00 D1 9E"
)
FAST_SYNC_PARTS = [(0, 3, b"\xa6\0\0\0"), (0, 7, b"\x1f\x08\0\0"), (0, 4, b"\xff\x03\0\0")]
FAST_BULK_ANSWER = bytes.fromhex("FF FF FD 00 FE 14 00 55 00 03 A6 00 00 00 67 A4 00 07 A5 01 24 74 00 04 1F D9 C1")
FAST_BULK_PARTS = [(0, 3, b"\xa6\0\0\0"), (0, 7, b"\xa5\x01"), (0, 4, b"\x1f")]

# Data in which the pattern that needs stuffing is common.
awkward = st.lists(st.sampled_from([b"\xff", b"\xff\xff", b"\xff\xff\xfd", b"\xfd", b"\x00", b"\x55", b"\x12"]))
contents = st.one_of(st.binary(max_size=300), awkward.map(b"".join))
servo_ids = st.integers(0, 252)
instructions = st.builds(
    Packet,
    st.one_of(servo_ids, st.just(codec.BROADCAST_ID)),
    st.integers(0, 255).filter(lambda code: code != Instruction.STATUS),
    st.just(0),
    contents,
)
answers = st.builds(Packet, servo_ids, st.just(int(Instruction.STATUS)), st.integers(0, 255), contents)
packets = st.one_of(instructions, answers)
noise = st.lists(st.sampled_from([0xFF, 0xFF, 0xFD, 0xFD, 0x00, 0x00, 0x01, 0x03, 0x55, 0xFE]), max_size=40).map(bytes)
quiet_noise = st.lists(st.integers(0, 254), max_size=40).map(bytes)
cuts = st.lists(st.integers(0, 4000), max_size=12)


def encoded(packet: Packet) -> bytes:
    if packet.instruction == Instruction.STATUS:
        return codec.status(packet.id, packet.error, packet.params)
    return codec.encode(packet.id, packet.instruction, packet.params)


def fed(decoder: codec.Decoder, stream: bytes, places: list[int]) -> list[Packet]:
    """Feed `stream` cut at `places`; what comes out before any flush."""
    found: list[Packet] = []
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    for start, end in pairwise(edges):
        found += decoder.feed(stream[start:end])
        assert decoder.pending < codec.MAX_PACKET_SIZE
    return found


def golden_bytes(name: str) -> bytes:
    return bytes.fromhex(GOLDEN[name]["bytes"])


def only_packet(wire: bytes) -> Packet:
    (packet,) = codec.scan(wire).packets
    return packet


@pytest.mark.parametrize("name", GOLDEN)
def test_published_packets_are_encoded_and_decoded_as_printed(name: str) -> None:
    entry = GOLDEN[name]
    params = bytes.fromhex(entry.get("params", ""))
    packet = Packet(entry["id"], entry["instruction"], entry.get("error", 0), params)
    assert encoded(packet) == golden_bytes(name)
    assert codec.scan(golden_bytes(name)) == ([packet], b"", 0, 0)


def test_instructions_are_the_published_bytes() -> None:
    assert codec.ping(1) == golden_bytes("ping")
    assert codec.ping(codec.BROADCAST_ID) == golden_bytes("ping to all")
    assert codec.read(1, 132, 4) == golden_bytes("read")
    assert codec.write(1, 116, (512).to_bytes(4, "little")) == golden_bytes("write")
    assert codec.reg_write(1, 104, (200).to_bytes(4, "little")) == golden_bytes("reg write")
    assert codec.action(1) == golden_bytes("action")
    assert codec.factory_reset(1, codec.ResetMode.ALL_BUT_ID) == golden_bytes("factory reset")
    assert codec.reboot(1) == golden_bytes("reboot")
    assert codec.clear(1) == golden_bytes("clear")
    assert codec.sync_read(132, 4, [1, 2]) == golden_bytes("sync read")
    assert codec.sync_write(116, {1: b"\x96\0\0\0", 2: b"\xaa\0\0\0"}) == golden_bytes("sync write")
    assert codec.bulk_read([(1, 144, 2), (2, 146, 1)]) == golden_bytes("bulk read")
    assert codec.bulk_write([(1, 32, b"\xa0\0"), (2, 31, b"\x50")]) == golden_bytes("bulk write")
    assert codec.fast_sync_read(132, 4, [3, 7, 4]) == golden_bytes("fast sync read")
    assert codec.write(1, 596, b"\xff\xff\xfd\0") == golden_bytes("stuffed write")
    assert codec.status(2, 0, b"\x06\x04\x26") == golden_bytes("second ping answer")
    # The fast bulk read differs from the bulk read in its instruction and CRC alone.
    fast = codec.fast_bulk_read([(1, 144, 2), (2, 146, 1)])
    assert fast[7:-2] == b"\x9a" + golden_bytes("bulk read")[8:-2]
    assert only_packet(fast).instruction == Instruction.FAST_BULK_READ


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_the_crc_is_the_polynomial_remainder_and_goes_on_from_a_prefix(prefix: bytes, rest: bytes) -> None:
    assert codec.crc16(prefix + rest) == reference_decoders.crc16(prefix + rest)
    assert codec.crc16(rest, codec.crc16(prefix)) == codec.crc16(prefix + rest)


@given(awkward.map(b"".join))
def test_stuffing_leaves_no_header_and_is_undone(body: bytes) -> None:
    stuffed = codec.stuff(body)
    assert b"\xff\xff\xfd\x00" not in stuffed
    assert len(stuffed) == len(body) + body.count(b"\xff\xff\xfd")
    assert codec.unstuff(stuffed) == body


def test_the_field_fault_of_current_minus_one_before_velocity_fd_decodes() -> None:
    # XL330 sync read of 126..135: current -1, velocity -3 (FD FF FF FF), position 2048.
    answer = golden_bytes("stuffed sync read answer")
    neighbour = codec.status(2, 0, b"\0\0\0\0\0\0\0\x08\0\0")
    first, second = codec.Decoder().feed(answer + neighbour)
    assert first == Packet(1, Instruction.STATUS, 0, b"\xff\xff" + b"\xfd\xff\xff\xff" + b"\x00\x08\x00\x00")
    assert second.id == 2


@given(packets, cuts)
def test_a_packet_survives_the_wire_in_any_chunks(packet: Packet, places: list[int]) -> None:
    decoder = codec.Decoder()
    assert fed(decoder, encoded(packet), places) == [packet]
    assert (decoder.pending, decoder.garbage_bytes, decoder.broken) == (0, 0, 0)


@given(st.lists(st.tuples(quiet_noise, packets), max_size=6), quiet_noise, cuts)
def test_noise_without_headers_costs_no_packet(
    parts: list[tuple[bytes, Packet]], tail: bytes, places: list[int]
) -> None:
    decoder = codec.Decoder()
    stream = b"".join(garbage + encoded(packet) for garbage, packet in parts) + tail
    assert fed(decoder, stream, places) == [packet for _, packet in parts]
    assert decoder.garbage_bytes == sum(len(garbage) for garbage, _ in parts) + len(tail)


fast_parts = st.lists(
    st.tuples(st.integers(0, 255), servo_ids, awkward.map(b"".join)),
    min_size=1,
    max_size=6,
    unique_by=lambda part: part[1],
)
pieces = st.one_of(
    noise, packets.map(encoded), packets.map(lambda p: encoded(p)[:-1]), fast_parts.map(codec.fast_status)
)


@given(st.lists(pieces, max_size=8), cuts)
def test_any_stream_in_any_chunks_gives_what_the_reference_decoder_finds(parts: list[bytes], places: list[int]) -> None:
    stream = b"".join(parts)
    whole, cut = codec.Decoder(), codec.Decoder()
    before_flush = whole.feed(stream)
    assert fed(cut, stream, places) == before_flush
    assert (cut.pending, cut.garbage_bytes, cut.broken) == (whole.pending, whole.garbage_bytes, whole.broken)
    assert before_flush + whole.flush() == dynamixel_packets(stream, codec.MAX_PACKET_SIZE)
    assert whole.pending == 0


@given(st.lists(packets, max_size=4), cuts)
def test_every_byte_is_a_packet_s_garbage_or_pending(sent: list[Packet], places: list[int]) -> None:
    stream = b"\xff\xff\xfd\x00\x01\x03".join(encoded(packet) for packet in sent) + b"\xff\xff"
    decoder = codec.Decoder()
    found = fed(decoder, stream, places)
    assert sum(len(encoded(packet)) for packet in found) + decoder.garbage_bytes + decoder.pending == len(stream)


def test_a_false_header_does_not_swallow_the_packet_behind_it() -> None:
    good = codec.status(3, 0, b"\x12\x34")
    decoder = codec.Decoder()
    assert decoder.feed(b"\xff\xff\xfd\x00\x01\x07\x00\x55" + good) == [Packet(3, 0x55, 0, b"\x12\x34")]
    assert (decoder.garbage_bytes, decoder.broken) == (8, 1)


def test_a_false_length_holds_a_packet_back_only_until_the_flush() -> None:
    good = codec.status(3, 0, b"\x12\x34")
    decoder = codec.Decoder()
    assert decoder.feed(b"\xff\xff\xfd\x00\x01\xe8\x03" + good) == []
    assert decoder.pending == 7 + len(good)
    assert decoder.flush() == [Packet(3, 0x55, 0, b"\x12\x34")]
    assert (decoder.pending, decoder.garbage_bytes) == (0, 7)


@pytest.mark.parametrize("length", [0, 2, codec.MAX_PACKET_SIZE - 6, 0xFFFF])
def test_a_length_that_no_packet_has_is_garbage_at_once(length: int) -> None:
    decoder = codec.Decoder()
    false_header = b"\xff\xff\xfd\x00\x01" + length.to_bytes(2, "little")
    assert decoder.feed(false_header + codec.ping(2)) == [Packet(2, 1, 0, b"")]
    assert decoder.garbage_bytes == 7


@pytest.mark.parametrize("packet_id", [0xFD, 0xFF])
def test_an_id_that_no_packet_has_is_garbage_at_once(packet_id: int) -> None:
    decoder = codec.Decoder()
    assert decoder.feed(b"\xff\xff\xfd\x00" + bytes((packet_id, 3, 0)) + codec.ping(2)) == [Packet(2, 1, 0, b"")]


def test_a_status_packet_without_an_error_byte_is_garbage() -> None:
    body = b"\xff\xff\xfd\x00\x01\x03\x00\x55"
    decoder = codec.Decoder()
    assert decoder.feed(body + codec.crc16(body).to_bytes(2, "little")) == []
    assert (decoder.garbage_bytes, decoder.broken) == (10, 0)


@pytest.mark.parametrize("run", [1, 2, 3, 50])
def test_a_run_of_ff_before_the_header_is_skipped(run: int) -> None:
    decoder = codec.Decoder()
    assert decoder.feed(b"\xff" * run + codec.ping(1)) == [Packet(1, 1, 0, b"")]
    assert decoder.garbage_bytes == run


def test_the_longest_packet_passes_and_one_byte_more_is_refused() -> None:
    longest = codec.encode(1, 3, bytes(codec.MAX_PACKET_SIZE - 10))
    assert len(longest) == codec.MAX_PACKET_SIZE
    assert len(only_packet(longest).params) == codec.MAX_PACKET_SIZE - 10
    with pytest.raises(PacketValueError, match="1025 bytes on the wire, the most is 1024"):
        codec.encode(1, 3, bytes(codec.MAX_PACKET_SIZE - 9))


def test_reset_drops_what_is_held_back() -> None:
    decoder = codec.Decoder()
    decoder.feed(codec.ping(1)[:6])
    decoder.reset()
    assert decoder.feed(codec.ping(1)[6:] + codec.ping(2)) == [Packet(2, 1, 0, b"")]
    assert decoder.garbage_bytes == 10


@pytest.mark.parametrize(
    ("wire", "parts", "sizes"),
    [(FAST_SYNC_ANSWER, FAST_SYNC_PARTS, 4), (FAST_BULK_ANSWER, FAST_BULK_PARTS, [4, 2, 1])],
)
def test_joint_answers_are_the_published_bytes(wire: bytes, parts: list[tuple[int, int, bytes]], sizes: Any) -> None:
    assert codec.fast_status(parts) == wire
    assert codec.parse_fast_status(only_packet(wire), sizes) == parts
    assert codec.fast_answer_size(3, 4) == len(FAST_SYNC_ANSWER)


@given(fast_parts, cuts)
def test_joint_answers_survive_the_wire_unstuffed(parts: list[tuple[int, int, bytes]], places: list[int]) -> None:
    wire = codec.fast_status(parts)
    assert len(wire) == 8 + sum(4 + len(data) for _, _, data in parts)
    (packet,) = fed(codec.Decoder(), wire, places)
    assert codec.parse_fast_status(packet, [len(data) for _, _, data in parts]) == parts


def test_a_wrong_crc_inside_a_joint_answer_is_found() -> None:
    # The second servo heard the first one's CRC wrongly and went on from there: the frame's own CRC is right.
    body = FAST_SYNC_ANSWER[:14] + b"\x85" + FAST_SYNC_ANSWER[15:-2]
    packet = only_packet(body + codec.crc16(body).to_bytes(2, "little"))
    with pytest.raises(PacketValueError, match="the CRC of ID 3 is 85 08 and must be 84 08"):
        codec.parse_fast_status(packet, 4)


def test_an_answer_s_error_byte_is_a_result_and_an_alert() -> None:
    packet = only_packet(codec.status(1, 0x80 | codec.ResultCode.ACCESS))
    assert packet.alert
    assert packet.result == codec.ResultCode.ACCESS
    assert not only_packet(codec.status(1, codec.ResultCode.LIMIT)).alert


@pytest.mark.parametrize("value", range(256))
def test_bits_of_register_70_are_named(value: int) -> None:
    expected = {0: HardwareError.VOLTAGE, 2: HardwareError.OVERHEAT, 3: HardwareError.ENCODER}
    expected |= {4: HardwareError.SHOCK, 5: HardwareError.OVERLOAD}
    named = HardwareError.NONE
    for bit, error in expected.items():
        named |= error if value >> bit & 1 else HardwareError.NONE
    assert codec.hardware_errors(value) == named


addresses = st.integers(0, 0xFFFF)
some_ids = st.lists(servo_ids, min_size=1, max_size=12, unique=True)


@given(addresses, st.integers(1, 20), some_ids, st.data())
def test_parsers_undo_the_sync_instructions(address: int, size: int, ids: list[int], data: st.DataObject) -> None:
    for build in (codec.sync_read, codec.fast_sync_read):
        assert codec.parse_sync_read(only_packet(build(address, size, ids)).params) == (address, size, tuple(ids))
    parts = {servo_id: data.draw(st.binary(min_size=size, max_size=size)) for servo_id in ids}
    assert codec.parse_sync_write(only_packet(codec.sync_write(address, parts)).params) == (address, size, parts)


@given(
    st.lists(
        st.tuples(servo_ids, addresses, st.binary(min_size=1, max_size=12)),
        min_size=1,
        max_size=8,
        unique_by=lambda part: part[0],
    )
)
def test_parsers_undo_the_bulk_instructions(parts: list[tuple[int, int, bytes]]) -> None:
    assert codec.parse_bulk_write(only_packet(codec.bulk_write(parts)).params) == parts
    spans = [(servo_id, address, len(data)) for servo_id, address, data in parts]
    for build in (codec.bulk_read, codec.fast_bulk_read):
        assert codec.parse_bulk_read(only_packet(build(spans)).params) == spans


@given(servo_ids, addresses, st.binary(min_size=1, max_size=20))
def test_parsers_undo_read_and_write(servo_id: int, address: int, data: bytes) -> None:
    assert codec.parse_read(only_packet(codec.read(servo_id, address, len(data))).params) == (address, len(data))
    assert codec.parse_write(only_packet(codec.write(servo_id, address, data)).params) == (address, data)


@pytest.mark.parametrize(
    "call",
    [
        lambda: codec.ping(253),
        lambda: codec.ping(255),
        lambda: codec.ping(-1),
        lambda: codec.encode(1, 256),
        lambda: codec.encode(1, Instruction.STATUS),
        lambda: codec.status(254, 0),
        lambda: codec.status(1, 256),
        lambda: codec.read(1, -1, 2),
        lambda: codec.read(1, 0x10000, 2),
        lambda: codec.read(1, 0, 0),
        lambda: codec.write(1, 0, b""),
        lambda: codec.write(1, 0, bytes(1100)),
        lambda: codec.sync_read(0, 2, []),
        lambda: codec.sync_read(0, 2, [1, 1]),
        lambda: codec.sync_read(0, 2, [254]),
        lambda: codec.sync_write(0, {}),
        lambda: codec.sync_write(0, {1: b"ab", 2: b"abc"}),
        lambda: codec.sync_write(0, {1: b""}),
        lambda: codec.bulk_read([]),
        lambda: codec.bulk_read([(1, 0, 1), (1, 2, 1)]),
        lambda: codec.bulk_write([(1, 0, b"")]),
        lambda: codec.fast_status([]),
        lambda: codec.fast_status([(0, 1, bytes(1100))]),
        lambda: codec.fast_status([(256, 1, b"")]),
        lambda: codec.parse_fast_status(Packet(1, 0x55, 0, b""), 4),
        lambda: codec.parse_fast_status(only_packet(FAST_SYNC_ANSWER), 3),
        lambda: codec.parse_fast_status(only_packet(FAST_SYNC_ANSWER), 0),
        lambda: codec.parse_fast_status(only_packet(FAST_SYNC_ANSWER), -4),
        lambda: codec.parse_fast_status(only_packet(FAST_SYNC_ANSWER), []),
        lambda: codec.parse_fast_status(only_packet(FAST_SYNC_ANSWER), [4, 4]),
        lambda: codec.parse_fast_status(only_packet(FAST_SYNC_ANSWER), [16, -4, 0]),
        lambda: codec.parse_read(b"\x84\x00\x04"),
        lambda: codec.parse_read(b"\x84\x00\x00\x00"),
        lambda: codec.parse_write(b"\x74\x00"),
        lambda: codec.parse_sync_read(b"\x84\x00\x04\x00"),
        lambda: codec.parse_sync_read(b"\x84\x00\x04\x00\xfd"),
        lambda: codec.parse_sync_write(b"\x84\x00\x04\x00"),
        lambda: codec.parse_sync_write(b"\x84\x00\x04\x00\x01\x00\x00\x00"),
        lambda: codec.parse_bulk_read(b""),
        lambda: codec.parse_bulk_read(b"\x01\x84\x00\x04"),
        lambda: codec.parse_bulk_write(b""),
        lambda: codec.parse_bulk_write(b"\x01\x84\x00"),
        lambda: codec.parse_bulk_write(b"\x01\x84\x00\x04\x00\x00"),
    ],
)
def test_values_without_a_place_in_a_packet_are_refused_in_one_line(call: Any) -> None:
    with pytest.raises(PacketValueError) as refusal:
        call()
    text = str(refusal.value)
    assert "\n" not in text
    assert "give" in text or "split" in text


def test_wire_sizes_are_those_of_the_bus_arithmetic() -> None:
    # Six servos, ten bytes each: 20 out and 126 back, or 92 in one frame; a sync write of four bytes each: 44.
    assert len(codec.sync_read(126, 10, range(1, 7))) == 20
    assert 6 * codec.answer_size(10) == 126
    assert codec.fast_answer_size(6, 10) == 92
    assert len(codec.sync_write(116, dict.fromkeys(range(1, 7), bytes(4)))) == 44
