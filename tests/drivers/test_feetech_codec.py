"""Feetech packets: the manual's examples, and what must hold for any bytes in any chunks."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from robot_mbrl.benchmarks.reference_decoders import feetech_packets
from robot_mbrl.contracts.errors import PacketValueError
from robot_mbrl.contracts.types import HardwareError
from robot_mbrl.drivers.feetech import codec
from robot_mbrl.drivers.feetech.codec import Packet

GOLDEN: dict[str, dict[str, Any]] = {
    entry["name"]: entry
    for entry in yaml.safe_load((Path(__file__).parent / "golden" / "feetech.yaml").read_text(encoding="utf-8"))
}
LONGEST = 4 + 255

packets = st.builds(Packet, st.integers(0, 254), st.integers(0, 255), st.binary(max_size=codec.MAX_PARAMS))
# Bytes that headers are made of come often, so that false headers, runs of FF and short lengths do too.
noise = st.lists(st.sampled_from([0xFF, 0xFF, 0xFE, 0x00, 0x01, 0x02, 0x03, 0x20]), max_size=40).map(bytes)
quiet_noise = st.lists(st.integers(0, 254), max_size=40).map(bytes)
cuts = st.lists(st.integers(0, 4000), max_size=12)


def encoded(packet: Packet) -> bytes:
    return codec.encode(packet.id, packet.code, packet.params)


def fed(decoder: codec.Decoder, stream: bytes, places: list[int]) -> list[Packet]:
    """Feed `stream` cut at `places`; what comes out before any flush."""
    found: list[Packet] = []
    edges = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    for start, end in pairwise(edges):
        found += decoder.feed(stream[start:end])
        assert decoder.pending < LONGEST
    return found


def golden_bytes(name: str) -> bytes:
    return bytes.fromhex(GOLDEN[name]["bytes"])


@pytest.mark.parametrize("name", GOLDEN)
def test_published_packets_are_encoded_and_decoded_as_printed(name: str) -> None:
    entry = GOLDEN[name]
    packet = Packet(entry["id"], entry["code"], bytes.fromhex(entry.get("params", "")))
    assert encoded(packet) == golden_bytes(name)
    assert codec.scan(golden_bytes(name)) == ([packet], b"", 0, 0)


def test_instructions_are_the_published_bytes() -> None:
    move = bytes.fromhex("00 08 00 00 E8 03")
    assert codec.ping(1) == golden_bytes("ping")
    assert codec.status(1, 0) == golden_bytes("ping answer")
    assert codec.read(1, 0x38, 2) == golden_bytes("read")
    assert codec.status(1, 0, b"\x18\x05") == golden_bytes("read answer")
    assert codec.write(1, 0x2A, move) == golden_bytes("write")
    assert codec.action() == golden_bytes("action")
    assert codec.sync_write(0x2A, dict.fromkeys((1, 2, 3, 4), move)) == golden_bytes("sync write")
    assert codec.sync_read(0x38, 2, [1, 2]) == golden_bytes("sync read")
    assert codec.reg_write(1, 0x2A, b"\x00\x08") == golden_bytes("reg write")
    assert codec.restore(1) == golden_bytes("restore")
    assert codec.reboot(1) == golden_bytes("reboot")
    assert codec.status(5, codec.StatusBit.OVERLOAD) == golden_bytes("overloaded answer")


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


@given(st.lists(st.one_of(noise, packets.map(encoded), packets.map(lambda p: encoded(p)[:-1])), max_size=8), cuts)
def test_any_stream_in_any_chunks_gives_what_the_reference_decoder_finds(parts: list[bytes], places: list[int]) -> None:
    stream = b"".join(parts)
    whole, cut = codec.Decoder(), codec.Decoder()
    before_flush = whole.feed(stream)
    assert fed(cut, stream, places) == before_flush
    assert (cut.pending, cut.garbage_bytes, cut.broken) == (
        whole.pending,
        whole.garbage_bytes,
        whole.broken,
    )
    found = before_flush + whole.flush()
    assert found == feetech_packets(stream)
    assert whole.pending == 0
    assert whole.garbage_bytes + sum(codec.answer_size(len(packet.params)) for packet in found) == len(stream)


def test_a_false_header_does_not_swallow_the_packet_behind_it() -> None:
    good = codec.status(3, 0, b"\x12\x34")
    decoder = codec.Decoder()
    assert decoder.feed(b"\xff\xff\x01\x04\x02" + good) == [Packet(3, 0, b"\x12\x34")]
    assert (decoder.garbage_bytes, decoder.broken) == (5, 1)


def test_a_false_length_holds_a_packet_back_only_until_the_flush() -> None:
    good = codec.status(3, 0, b"\x12\x34")
    decoder = codec.Decoder()
    assert decoder.feed(b"\xff\xff\x01\xfa" + good) == []
    assert decoder.pending == 4 + len(good)
    assert decoder.flush() == [Packet(3, 0, b"\x12\x34")]
    assert (decoder.pending, decoder.garbage_bytes) == (0, 4)


def test_a_flush_looks_behind_every_false_header() -> None:
    good = codec.ping(7)
    decoder = codec.Decoder()
    assert decoder.feed(b"\xff\xff\x01\xfa\xff\xff\x02\xf0" + good + b"\xff\xff\x09") == []
    assert decoder.flush() == [Packet(7, codec.Instruction.PING, b"")]
    assert decoder.garbage_bytes == 8 + 3


@pytest.mark.parametrize("run", [1, 2, 3, 50])
def test_the_last_two_of_a_run_of_ff_are_the_header(run: int) -> None:
    decoder = codec.Decoder()
    assert decoder.feed(b"\xff" * run + codec.ping(1)) == [Packet(1, 1, b"")]
    assert (decoder.garbage_bytes, decoder.broken) == (run, 0)


@pytest.mark.parametrize("length", [0, 1])
def test_a_length_that_no_packet_has_is_garbage(length: int) -> None:
    decoder = codec.Decoder()
    assert decoder.feed(bytes((0xFF, 0xFF, 1, length)) + codec.ping(2)) == [Packet(2, 1, b"")]
    assert decoder.garbage_bytes == 4


def test_id_253_is_a_servo_and_254_is_all() -> None:
    assert codec.scan(codec.ping(253)).packets == [Packet(253, 1, b"")]
    assert codec.scan(codec.ping(codec.BROADCAST_ID)).packets == [Packet(254, 1, b"")]


def test_reset_drops_what_is_held_back() -> None:
    decoder = codec.Decoder()
    decoder.feed(codec.ping(1)[:4])
    decoder.reset()
    assert decoder.feed(codec.ping(1)[4:]) == []
    assert decoder.feed(codec.ping(2)) == [Packet(2, 1, b"")]
    assert decoder.garbage_bytes == 6


@pytest.mark.parametrize("status", range(256))
def test_status_bits_are_named(status: int) -> None:
    expected = {0: HardwareError.VOLTAGE, 1: HardwareError.ENCODER, 2: HardwareError.OVERHEAT}
    expected |= {3: HardwareError.OVERCURRENT, 5: HardwareError.OVERLOAD}
    named = HardwareError.NONE
    for bit, error in expected.items():
        named |= error if status >> bit & 1 else HardwareError.NONE
    assert codec.hardware_errors(status) == named


ids = st.lists(st.integers(0, 253), min_size=1, max_size=12, unique=True)


@given(st.integers(0, 255), st.integers(1, 15), ids, st.data())
def test_parsers_undo_the_sync_instructions(address: int, size: int, servo_ids: list[int], data: st.DataObject) -> None:
    (packet,) = codec.scan(codec.sync_read(address, size, servo_ids)).packets
    assert codec.parse_sync_read(packet.params) == (address, size, tuple(servo_ids))
    parts = {servo_id: data.draw(st.binary(min_size=size, max_size=size)) for servo_id in servo_ids}
    (packet,) = codec.scan(codec.sync_write(address, parts)).packets
    assert codec.parse_sync_write(packet.params) == (address, size, parts)
    assert list(codec.parse_sync_write(packet.params)[2]) == servo_ids


@given(st.integers(0, 253), st.integers(0, 255), st.binary(min_size=1, max_size=20))
def test_parsers_undo_read_and_write(servo_id: int, address: int, data: bytes) -> None:
    (packet,) = codec.scan(codec.read(servo_id, address, len(data))).packets
    assert codec.parse_read(packet.params) == (address, len(data))
    (packet,) = codec.scan(codec.write(servo_id, address, data)).packets
    assert codec.parse_write(packet.params) == (address, data)


@pytest.mark.parametrize(
    "call",
    [
        lambda: codec.ping(255),
        lambda: codec.ping(-1),
        lambda: codec.status(254, 0),
        lambda: codec.status(1, 256),
        lambda: codec.encode(1, 1, bytes(254)),
        lambda: codec.read(1, 256, 2),
        lambda: codec.read(1, 0, 0),
        lambda: codec.read(1, 0, 254),
        lambda: codec.write(1, 0, b""),
        lambda: codec.sync_read(0, 2, []),
        lambda: codec.sync_read(0, 2, [1, 1]),
        lambda: codec.sync_read(0, 2, [254]),
        lambda: codec.sync_write(0, {}),
        lambda: codec.sync_write(0, {1: b"ab", 2: b"abc"}),
        lambda: codec.sync_write(0, {1: b""}),
        lambda: codec.sync_write(0, {i: bytes(60) for i in range(1, 6)}),
        lambda: codec.parse_read(b"\x00"),
        lambda: codec.parse_read(b"\x00\x00"),
        lambda: codec.parse_write(b"\x00"),
        lambda: codec.parse_sync_read(b"\x38\x02"),
        lambda: codec.parse_sync_read(b"\x38\x00\x01"),
        lambda: codec.parse_sync_read(b"\x38\x02\xfe"),
        lambda: codec.parse_sync_write(b"\x2a\x02\x01\x00"),
        lambda: codec.parse_sync_write(b"\x2a\x02\x01\x00\x00\x02\x00"),
        lambda: codec.parse_sync_write(b"\x2a\x00\x01\x02"),
        lambda: codec.parse_sync_write(b"\x2a\x01\x01\x00\x01\x00"),
    ],
)
def test_values_without_a_place_in_a_packet_are_refused_in_one_line(call: Any) -> None:
    with pytest.raises(PacketValueError) as refusal:
        call()
    text = str(refusal.value)
    assert "\n" not in text
    assert "give" in text or "split" in text


def test_wire_sizes_are_those_of_the_bus_arithmetic() -> None:
    # Six servos, six bytes each: 14 out and 72 back; a sync write of six bytes each: 50.
    assert len(codec.sync_read(56, 6, range(1, 7))) == 14
    assert 6 * codec.answer_size(6) == 72
    assert len(codec.sync_write(42, dict.fromkeys(range(1, 7), bytes(6)))) == 50
