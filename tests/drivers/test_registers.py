"""Registers: encode and decode undo each other over whole ranges, in each of the three encodings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_mbrl.contracts.errors import PacketValueError
from robot_mbrl.drivers.control_tables import CONTROL_TABLES
from robot_mbrl.drivers.registers import Encoding, Register

UNSIGNED_8 = Register("u8", 0, 1)
UNSIGNED_16 = Register("u16", 0, 2)
TWOS_8 = Register("s8", 0, 1, encoding=Encoding.TWOS_COMPLEMENT)
TWOS_16 = Register("s16", 0, 2, encoding=Encoding.TWOS_COMPLEMENT)
SIGN_10 = Register("load", 0, 2, encoding=Encoding.SIGN_MAGNITUDE, sign_bit=10)
SIGN_11 = Register("offset", 0, 2, encoding=Encoding.SIGN_MAGNITUDE, sign_bit=11)
SIGN_15 = Register("position", 0, 2, encoding=Encoding.SIGN_MAGNITUDE, sign_bit=15)
SMALL = [UNSIGNED_8, UNSIGNED_16, TWOS_8, TWOS_16, SIGN_10, SIGN_11, SIGN_15]
EVERY_REGISTER = [register for table in CONTROL_TABLES.values() for register in table]


@pytest.mark.parametrize("register", SMALL, ids=lambda register: register.name)
def test_decode_undoes_encode_over_the_whole_range(register: Register) -> None:
    for value in range(register.lowest, register.highest + 1):
        data = register.encode(value)
        assert len(data) == register.size
        assert register.decode(data) == value


@given(st.sampled_from(EVERY_REGISTER), st.data())
def test_decode_undoes_encode_for_every_register(register: Register, data: st.DataObject) -> None:
    value = data.draw(st.integers(register.lowest, register.highest))
    assert register.decode(register.encode(value)) == value


@given(st.sampled_from(EVERY_REGISTER), st.data())
def test_any_bytes_decode_to_a_value_that_the_encoding_holds(register: Register, data: st.DataObject) -> None:
    raw = data.draw(st.binary(min_size=register.size, max_size=register.size))
    assert register.lowest <= register.decode(raw) <= register.highest


@pytest.mark.parametrize(
    ("register", "value", "wire"),
    [
        (UNSIGNED_16, 0x1234, "34 12"),
        (TWOS_16, -1, "FF FF"),
        (TWOS_16, -32768, "00 80"),
        (TWOS_8, -1, "FF"),
        (SIGN_15, -1, "01 80"),
        (SIGN_15, -32767, "FF FF"),
        (SIGN_11, -1, "01 08"),
        (SIGN_11, -2047, "FF 0F"),
        (SIGN_11, 2047, "FF 07"),
        (SIGN_10, -1000, "E8 07"),
    ],
)
def test_bytes_worked_out_by_hand(register: Register, value: int, wire: str) -> None:
    assert register.encode(value) == bytes.fromhex(wire)
    assert register.decode(bytes.fromhex(wire)) == value


def test_minus_zero_of_sign_magnitude_is_zero() -> None:
    assert SIGN_15.decode(b"\x00\x80") == 0
    assert SIGN_11.decode(b"\x00\x08") == 0


@pytest.mark.parametrize("register", SMALL, ids=lambda register: register.name)
def test_values_past_the_range_and_wrong_sizes_are_refused(register: Register) -> None:
    for value in (register.lowest - 1, register.highest + 1):
        with pytest.raises(PacketValueError, match=f"{register.name} = {value} does not fit"):
            register.encode(value)
    with pytest.raises(PacketValueError, match=register.name):
        register.decode(bytes(register.size + 1))


def test_permits_is_the_published_range_or_the_encoding_s() -> None:
    bounded = Register("bounded", 0, 1, minimum=3, maximum=7)
    assert [value for value in range(256) if bounded.permits(value)] == [3, 4, 5, 6, 7]
    assert TWOS_8.permits(-128)
    assert not TWOS_8.permits(-129)
    assert not UNSIGNED_8.permits(256)
