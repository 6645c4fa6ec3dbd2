"""Control table of the Feetech STS3215 (model 777).

Sources, in the order in which they decide:
- Feetech, "SMS/STS series memory table", https://doc.feetech.cn (addresses, access, ranges, defaults).
- LeRobot `motors/feetech/tables.py` (names; the addresses 71 and 80 to 86, which the memory table gives no access for)
  and its SO-101 set-up, which states the factory gains P 32, I 0, D 32 and writes `maximum_acceleration`.
- A read-out of six servos of an SO-101 (`phase`, `unloading_condition`, `led_alarm_condition`, `minimum_startup_force`,
  the speed loop's gains, voltage limits of the 7.4 V type), for which the memory table gives no default.

Firmware 3.10 is the one that the SO-101's servos are shipped with.
"""

from typing import Final

from robot_mbrl.drivers.registers import ControlTable, Encoding, Register

BAUD_RATES: Final = {
    0: 1_000_000,
    1: 500_000,
    2: 250_000,
    3: 128_000,
    4: 115_200,
    5: 76_800,
    6: 57_600,
    7: 38_400,
}
"""Bits per second of each code in `baud_rate`; Feetech's SDK, `SMS_STS.h`."""

PHASE_FINE_SPEED: Final = 0x04
"""Bit of `phase`: speeds count single steps a second, not 50."""
PHASE_MULTI_TURN: Final = 0x10
"""Bit of `phase`: positions run on over several turns."""
TORQUE_OFF: Final = 0
TORQUE_ON: Final = 1
TORQUE_DAMPING: Final = 2
TORQUE_CENTRE: Final = 128
"""Written to `torque_enable`, makes the present position 2048 by way of `homing_offset`."""

_SIGNED: Final = Encoding.SIGN_MAGNITUDE


def _setting(
    name: str,
    address: int,
    size: int,
    default: int,
    low: int,
    high: int,
    encoding: Encoding = Encoding.UNSIGNED,
    bit: int = 0,
) -> Register:
    return Register(name, address, size, True, True, default, low, high, encoding, bit)


def _control(
    name: str,
    address: int,
    size: int,
    default: int,
    low: int,
    high: int,
    encoding: Encoding = Encoding.UNSIGNED,
    bit: int = 0,
) -> Register:
    return Register(name, address, size, True, False, default, low, high, encoding, bit)


def _feedback(name: str, address: int, size: int, sign_bit: int | None = None) -> Register:
    if sign_bit is None:
        return Register(name, address, size)
    return Register(name, address, size, encoding=_SIGNED, sign_bit=sign_bit)


def _factory(name: str, address: int, size: int, default: int) -> Register:
    return Register(name, address, size, eeprom=True, default=default)


_EEPROM: Final = (
    _factory("firmware_major_version", 0, 1, 3),
    _factory("firmware_minor_version", 1, 1, 10),
    _factory("endianness", 2, 1, 0),
    _factory("model_number", 3, 2, 777),
    _setting("id", 5, 1, 1, 0, 253),
    _setting("baud_rate", 6, 1, 0, 0, 7),
    _setting("return_delay_time", 7, 1, 0, 0, 254),
    _setting("response_status_level", 8, 1, 1, 0, 1),
    _setting("min_position_limit", 9, 2, 0, 0, 4095),
    _setting("max_position_limit", 11, 2, 4095, 0, 4095),
    _setting("max_temperature_limit", 13, 1, 70, 0, 100),
    _setting("max_voltage_limit", 14, 1, 80, 0, 254),
    _setting("min_voltage_limit", 15, 1, 40, 0, 254),
    _setting("max_torque_limit", 16, 2, 1000, 0, 1000),
    _setting("phase", 18, 1, 12, 0, 254),
    _setting("unloading_condition", 19, 1, 44, 0, 254),
    _setting("led_alarm_condition", 20, 1, 47, 0, 254),
    _setting("p_coefficient", 21, 1, 32, 0, 254),
    _setting("d_coefficient", 22, 1, 32, 0, 254),
    _setting("i_coefficient", 23, 1, 0, 0, 254),
    _setting("minimum_startup_force", 24, 2, 16, 0, 1000),
    _setting("cw_dead_zone", 26, 1, 1, 0, 32),
    _setting("ccw_dead_zone", 27, 1, 1, 0, 32),
    _setting("protection_current", 28, 2, 500, 0, 2047),
    _setting("angular_resolution", 30, 1, 1, 1, 128),
    _setting("homing_offset", 31, 2, 0, -2047, 2047, _SIGNED, 11),
    _setting("operating_mode", 33, 1, 0, 0, 3),
    _setting("protective_torque", 34, 1, 20, 0, 254),
    _setting("protection_time", 35, 1, 200, 0, 254),
    _setting("overload_torque", 36, 1, 80, 0, 254),
    _setting("speed_closed_loop_p", 37, 1, 10, 0, 254),
    _setting("overcurrent_protection_time", 38, 1, 200, 0, 254),
    _setting("velocity_closed_loop_i", 39, 1, 200, 0, 254),
)

_RAM: Final = (
    _control("torque_enable", 40, 1, TORQUE_OFF, TORQUE_OFF, TORQUE_CENTRE),
    _control("acceleration", 41, 1, 0, 0, 254),
    _control("goal_position", 42, 2, 0, -32767, 32767, _SIGNED, 15),
    _control("goal_time", 44, 2, 0, -1000, 1000, _SIGNED, 10),
    _control("goal_velocity", 46, 2, 0, -32767, 32767, _SIGNED, 15),
    _control("torque_limit", 48, 2, 1000, 0, 1000),
    _control("lock", 55, 1, 1, 0, 1),
    _feedback("present_position", 56, 2, 15),
    _feedback("present_velocity", 58, 2, 15),
    _feedback("present_load", 60, 2, 10),
    _feedback("present_voltage", 62, 1),
    _feedback("present_temperature", 63, 1),
    _feedback("registered_instruction", 64, 1),
    _feedback("status", 65, 1),
    _feedback("moving", 66, 1),
    _feedback("target_position", 67, 2, 15),
    _feedback("present_current", 69, 2, 15),
    _feedback("goal_position_2", 71, 2, 15),
)

_FACTORY: Final = (
    _factory("moving_velocity_threshold", 80, 1, 0),
    _factory("dts", 81, 1, 0),
    _factory("velocity_unit_factor", 82, 1, 0),
    _factory("hts", 83, 1, 0),
    _factory("maximum_velocity_limit", 84, 1, 0),
    _setting("maximum_acceleration", 85, 1, 254, 0, 254),
    _factory("acceleration_multiplier", 86, 1, 0),
)

STS3215: Final = ControlTable(
    servo="sts3215",
    protocol="feetech",
    model_number=777,
    size=87,
    registers=_EEPROM + _RAM + _FACTORY,
    eeprom_end=40,
)
"""The factory area from address 80 on is kept without power too, although it lies past `eeprom_end`."""
