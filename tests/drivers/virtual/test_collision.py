"""Bits of two answers on one line."""

from robot_mbrl.drivers.feetech import codec
from robot_mbrl.drivers.virtual.collision import collide


def test_without_skew_the_bytes_are_anded() -> None:
    assert collide(b"\xff\x0f", b"\xf3\xff", skew_bits=0) == b"\xf3\x0f"


def test_equal_answers_without_skew_look_like_one() -> None:
    packet = codec.status(1, 0)
    assert collide(packet, packet, skew_bits=0) == packet


def test_a_skew_of_one_bit_by_hand() -> None:
    # First: start 0, eight ones, stop. Second, one bit later: start 0 lies on the first's lowest data bit.
    assert collide(b"\xff", b"\xff", skew_bits=1) == b"\xfe"


def test_two_equal_answers_with_the_usual_skew_are_not_readable() -> None:
    packet = codec.status(1, 0, b"\x00\x08")
    garbled = collide(packet, packet)
    assert garbled != packet
    assert codec.Decoder().feed(garbled) == []
