"""Control tables and units: they hang together, and rows copied from the vendors' pages are as printed there."""

import math

import pytest

from robot_mbrl.contracts.errors import ConfigError, PacketValueError
from robot_mbrl.drivers.arms.definition import arm_names, load_arm
from robot_mbrl.drivers.control_tables import CONTROL_TABLES, control_table
from robot_mbrl.drivers.dynamixel import x_series
from robot_mbrl.drivers.dynamixel.x_series import XL330_M077, XL330_M288, XL430_W250
from robot_mbrl.drivers.feetech import sts3215
from robot_mbrl.drivers.feetech.sts3215 import STS3215
from robot_mbrl.drivers.registers import ControlTable, Encoding
from robot_mbrl.drivers.units import servo_units

TABLES = pytest.mark.parametrize("table", CONTROL_TABLES.values(), ids=CONTROL_TABLES)


@TABLES
def test_registers_rise_without_overlap_and_fill_the_table_s_size(table: ControlTable) -> None:
    free = 0
    for register in table:
        assert register.address >= free, register.name
        free = register.address + register.size
    assert free == table.size


@TABLES
def test_names_are_unique_snake_case(table: ControlTable) -> None:
    names = [register.name for register in table]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() and name.isidentifier() for name in names)


@TABLES
def test_defaults_and_ranges_fit_their_registers(table: ControlTable) -> None:
    for register in table:
        assert register.decode(register.encode(register.default)) == register.default, register.name
        if register.writable:
            assert register.minimum is not None, register.name
            assert register.maximum is not None, register.name
            assert register.lowest <= register.minimum <= register.default <= register.maximum <= register.highest


@TABLES
def test_eeprom_is_what_lies_below_its_end_but_for_feetech_s_factory_area(table: ControlTable) -> None:
    for register in table:
        in_factory_area = table.protocol == "feetech" and register.address >= 80
        assert register.eeprom == (register.address < table.eeprom_end or in_factory_area), register.name


@TABLES
def test_the_table_is_found_by_name_and_holds_its_model_number(table: ControlTable) -> None:
    assert control_table(table.servo) is table
    assert table["model_number"].default == table.model_number
    assert "id" in table
    assert "no_such_register" not in table


def test_the_codes_of_baud_rate_are_exactly_its_range() -> None:
    for table, rates in ((STS3215, sts3215.BAUD_RATES), (XL430_W250, x_series.BAUD_RATES)):
        assert [code for code in range(256) if table["baud_rate"].permits(code)] == sorted(rates)
    assert XL330_M288["baud_rate"].maximum == 6
    assert sts3215.BAUD_RATES[0] == x_series.BAUD_RATES[3] == 1_000_000


def test_unknown_servos_and_registers_are_refused_with_the_valid_names() -> None:
    with pytest.raises(ConfigError, match="unknown servo 'sts9999': give one of sts3215, xl330-m077"):
        control_table("sts9999")
    with pytest.raises(ConfigError, match="unknown servo 'sts9999': give one of sts3215, xl330-m077"):
        servo_units("sts9999")
    with pytest.raises(PacketValueError, match=r"sts3215 has no register 'speed': it has .*goal_velocity"):
        STS3215["speed"]


@pytest.mark.parametrize("name", arm_names())
def test_arms_write_only_what_their_servos_permit(name: str) -> None:
    for joint in load_arm(name).joints:
        for register, value in joint.registers.items():
            assert control_table(joint.servo)[register].writable
            assert control_table(joint.servo)[register].permits(value)


# ROBOTIS e-Manual, control tables of XL330-M288-T, XL330-M077-T and XL430-W250-T:
# (name, address, size, writable, initial value, lowest, highest). None where the page prints a dash.
XL330_M288_ROWS = [
    ("id", 7, 1, True, 1, 0, 252),
    ("return_delay_time", 9, 1, True, 250, 0, 254),
    ("operating_mode", 11, 1, True, 3, 0, 16),
    ("homing_offset", 20, 4, True, 0, -1_044_479, 1_044_479),
    ("moving_threshold", 24, 4, True, 10, 0, 1023),
    ("temperature_limit", 31, 1, True, 70, 0, 100),
    ("max_voltage_limit", 32, 2, True, 70, 31, 70),
    ("min_voltage_limit", 34, 2, True, 35, 31, 70),
    ("pwm_limit", 36, 2, True, 885, 0, 885),
    ("current_limit", 38, 2, True, 1750, 0, 1750),
    ("velocity_limit", 44, 4, True, 445, 0, 2047),
    ("pwm_slope", 62, 1, True, 140, 1, 255),
    ("shutdown", 63, 1, True, 53, None, None),
    ("torque_enable", 64, 1, True, 0, 0, 1),
    ("hardware_error_status", 70, 1, False, 0, None, None),
    ("velocity_i_gain", 76, 2, True, 1600, 0, 16_383),
    ("position_p_gain", 84, 2, True, 400, 0, 16_383),
    ("profile_acceleration", 108, 4, True, 0, 0, 32_767),
    ("present_current", 126, 2, False, None, None, None),
    ("present_position", 132, 4, False, None, None, None),
    ("present_input_voltage", 144, 2, False, None, None, None),
    ("present_temperature", 146, 1, False, None, None, None),
    ("indirect_address_1", 168, 2, True, 208, 64, 227),
    ("indirect_address_20", 206, 2, True, 227, 64, 227),
    ("indirect_data_1", 208, 1, True, 0, 0, 255),
    ("indirect_data_20", 227, 1, True, 0, 0, 255),
]
XL330_M077_ROWS = [
    ("velocity_limit", 44, 4, True, 1620, 0, 2047),
    ("velocity_i_gain", 76, 2, True, 400, 0, 16_383),
    ("velocity_p_gain", 78, 2, True, 40, 0, 16_383),
    ("position_i_gain", 82, 2, True, 400, 0, 16_383),
]
XL430_W250_ROWS = [
    ("baud_rate", 8, 1, True, 1, 0, 7),
    ("temperature_limit", 31, 1, True, 72, 0, 100),
    ("max_voltage_limit", 32, 2, True, 140, 60, 140),
    ("min_voltage_limit", 34, 2, True, 60, 60, 140),
    ("velocity_limit", 44, 4, True, 265, 0, 1023),
    ("shutdown", 63, 1, True, 52, None, None),
    ("position_d_gain", 80, 2, True, 4000, 0, 16_383),
    ("position_p_gain", 84, 2, True, 640, 0, 16_383),
    ("present_load", 126, 2, False, None, None, None),
    ("indirect_address_28", 222, 2, True, 251, 64, 661),
    ("indirect_data_28", 251, 1, True, 0, 0, 255),
    ("indirect_address_29", 578, 2, True, 634, 64, 661),
    ("indirect_data_56", 661, 1, True, 0, 0, 255),
]
# Feetech, SMS/STS series memory table.
STS3215_ROWS = [
    ("id", 5, 1, True, 1, 0, 253),
    ("min_position_limit", 9, 2, True, 0, 0, None),
    ("max_position_limit", 11, 2, True, 4095, None, 4095),
    ("max_torque_limit", 16, 2, True, 1000, 0, 1000),
    ("homing_offset", 31, 2, True, 0, -2047, 2047),
    ("operating_mode", 33, 1, True, 0, 0, 3),
    ("protective_torque", 34, 1, True, 20, 0, 254),
    ("protection_time", 35, 1, True, 200, 0, 254),
    ("overload_torque", 36, 1, True, 80, 0, 254),
    ("acceleration", 41, 1, True, 0, 0, 254),
    ("goal_position", 42, 2, True, 0, -32_767, 32_767),
    ("goal_time", 44, 2, True, None, -1000, 1000),
    ("torque_limit", 48, 2, True, 1000, 0, 1000),
    ("lock", 55, 1, True, 1, 0, 1),
    ("present_position", 56, 2, False, None, None, None),
    ("present_velocity", 58, 2, False, None, None, None),
    ("present_load", 60, 2, False, None, None, None),
    ("present_voltage", 62, 1, False, None, None, None),
    ("present_temperature", 63, 1, False, None, None, None),
    ("status", 65, 1, False, 0, None, None),
    ("moving", 66, 1, False, 0, None, None),
    ("present_current", 69, 2, False, None, None, None),
    ("maximum_acceleration", 85, 1, True, None, None, None),
]
Row = tuple[str, int, int, bool, int | None, int | None, int | None]
PUBLISHED: list[tuple[ControlTable, Row]] = [
    *((XL330_M288, row) for row in XL330_M288_ROWS),
    *((XL330_M077, row) for row in XL330_M077_ROWS),
    *((XL430_W250, row) for row in XL430_W250_ROWS),
    *((STS3215, row) for row in STS3215_ROWS),
]


@pytest.mark.parametrize(("table", "row"), PUBLISHED, ids=[f"{table.servo}-{row[0]}" for table, row in PUBLISHED])
def test_rows_are_as_published(table: ControlTable, row: Row) -> None:
    name, address, size, writable, default, low, high = row
    register = table[name]
    assert (register.address, register.size, register.writable) == (address, size, writable)
    assert default is None or register.default == default
    assert low is None or register.minimum == low
    assert high is None or register.maximum == high


def test_xl330_has_current_where_xl430_has_load() -> None:
    assert "present_load" not in XL330_M288
    assert not {"present_current", "goal_current", "current_limit"} & {register.name for register in XL430_W250}
    only_with_current = {x_series.CURRENT_MODE, x_series.CURRENT_BASED_POSITION_MODE}
    assert only_with_current == x_series.XL330_MODES - x_series.XL430_MODES


def test_feetech_signs_are_bits_and_dynamixel_s_are_complements() -> None:
    signs = {register.name: register.sign_bit for register in STS3215 if register.encoding is Encoding.SIGN_MAGNITUDE}
    assert signs["homing_offset"] == 11
    assert signs["present_load"] == signs["goal_time"] == 10
    assert signs["present_position"] == signs["goal_position"] == signs["present_velocity"] == 15
    assert XL330_M288["present_velocity"].decode(b"\xfd\xff\xff\xff") == -3
    assert XL330_M288["bus_watchdog"].decode(b"\xff") == -1
    assert not XL330_M288["bus_watchdog"].permits(-1)


def test_units_are_the_published_ones() -> None:
    rpm = math.tau / 60
    sts = servo_units("sts3215")
    assert sts.position * 4096 == pytest.approx(math.tau)
    assert sts.velocity == pytest.approx(0.0146 * rpm, rel=5e-3)
    assert math.degrees(sts.acceleration) == pytest.approx(8.7, rel=0.02)
    assert (sts.load, sts.current, sts.voltage, sts.temperature) == (0.001, 0.0065, 0.1, 1.0)
    assert servo_units("sts3215", phase=0).velocity == pytest.approx(0.732 * rpm, rel=1e-3)
    assert servo_units("sts3215", phase=sts3215.PHASE_FINE_SPEED) == sts
    for servo in ("xl330-m077", "xl330-m288", "xl430-w250"):
        units = servo_units(servo)
        # The `.model` files of DynamixelSDK 4.1.0 print 0.0239691227 rad/s, which is 0.2288881 rpm.
        assert units.velocity == pytest.approx(0.0239691227, rel=1e-3)
        assert units.acceleration == pytest.approx(214.577 * math.tau / 3600)
        assert units.voltage == 0.1
    assert servo_units("xl330-m288").current == 1e-3
    assert servo_units("xl430-w250").current is None


@TABLES
def test_the_load_register_exists_and_its_unit_makes_the_servo_s_maximum_one(table: ControlTable) -> None:
    units = servo_units(table.servo)
    largest = 1000 if units.load_register == "present_load" else table["current_limit"].maximum
    assert units.load_register in table
    assert largest is not None
    assert units.load * largest == pytest.approx(1.0)
