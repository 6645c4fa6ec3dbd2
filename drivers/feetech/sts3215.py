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

_EEPROM_END: Final = 40
_FACTORY_AREA: Final = 80


def _row(
    name: str,
    address: int,
    size: int,
    default: int = 0,
    low: int | None = None,
    high: int | None = None,
    *,
    sign: int = 0,
) -> Register:
    """A row of the table: writable where it has a range, sign-magnitude where it has a sign bit."""
    return Register(
        name,
        address,
        size,
        writable=high is not None,
        eeprom=not _EEPROM_END <= address < _FACTORY_AREA,
        default=default,
        minimum=low,
        maximum=high,
        encoding=Encoding.SIGN_MAGNITUDE if sign else Encoding.UNSIGNED,
        sign_bit=sign,
    )


_EEPROM: Final = (
    _row("firmware_major_version", 0, 1, 3),
    _row("firmware_minor_version", 1, 1, 10),
    _row("endianness", 2, 1, 0),
    _row("model_number", 3, 2, 777),
    _row("id", 5, 1, 1, 0, 253),
    _row("baud_rate", 6, 1, 0, 0, 7),
    _row("return_delay_time", 7, 1, 0, 0, 254),
    _row("response_status_level", 8, 1, 1, 0, 1),
    _row("min_position_limit", 9, 2, 0, 0, 4095),
    _row("max_position_limit", 11, 2, 4095, 0, 4095),
    _row("max_temperature_limit", 13, 1, 70, 0, 100),
    _row("max_voltage_limit", 14, 1, 80, 0, 254),
    _row("min_voltage_limit", 15, 1, 40, 0, 254),
    _row("max_torque_limit", 16, 2, 1000, 0, 1000),
    _row("phase", 18, 1, 12, 0, 254),
    _row("unloading_condition", 19, 1, 44, 0, 254),
    _row("led_alarm_condition", 20, 1, 47, 0, 254),
    _row("p_coefficient", 21, 1, 32, 0, 254),
    _row("d_coefficient", 22, 1, 32, 0, 254),
    _row("i_coefficient", 23, 1, 0, 0, 254),
    _row("minimum_startup_force", 24, 2, 16, 0, 1000),
    _row("cw_dead_zone", 26, 1, 1, 0, 32),
    _row("ccw_dead_zone", 27, 1, 1, 0, 32),
    _row("protection_current", 28, 2, 500, 0, 2047),
    _row("angular_resolution", 30, 1, 1, 1, 128),
    _row("homing_offset", 31, 2, 0, -2047, 2047, sign=11),
    _row("operating_mode", 33, 1, 0, 0, 3),
    _row("protective_torque", 34, 1, 20, 0, 254),
    _row("protection_time", 35, 1, 200, 0, 254),
    _row("overload_torque", 36, 1, 80, 0, 254),
    _row("speed_closed_loop_p", 37, 1, 10, 0, 254),
    _row("overcurrent_protection_time", 38, 1, 200, 0, 254),
    _row("velocity_closed_loop_i", 39, 1, 200, 0, 254),
)

_RAM: Final = (
    _row("torque_enable", 40, 1, TORQUE_OFF, TORQUE_OFF, TORQUE_CENTRE),
    _row("acceleration", 41, 1, 0, 0, 254),
    _row("goal_position", 42, 2, 0, -32767, 32767, sign=15),
    _row("goal_time", 44, 2, 0, -1000, 1000, sign=10),
    _row("goal_velocity", 46, 2, 0, -32767, 32767, sign=15),
    _row("torque_limit", 48, 2, 1000, 0, 1000),
    _row("lock", 55, 1, 1, 0, 1),
    _row("present_position", 56, 2, sign=15),
    _row("present_velocity", 58, 2, sign=15),
    _row("present_load", 60, 2, sign=10),
    _row("present_voltage", 62, 1),
    _row("present_temperature", 63, 1),
    _row("registered_instruction", 64, 1),
    _row("status", 65, 1),
    _row("moving", 66, 1),
    _row("target_position", 67, 2, sign=15),
    _row("present_current", 69, 2, sign=15),
    _row("goal_position_2", 71, 2, sign=15),
)

_FACTORY: Final = (
    _row("moving_velocity_threshold", 80, 1, 0),
    _row("dts", 81, 1, 0),
    _row("velocity_unit_factor", 82, 1, 0),
    _row("hts", 83, 1, 0),
    _row("maximum_velocity_limit", 84, 1, 0),
    _row("maximum_acceleration", 85, 1, 254, 0, 254),
    _row("acceleration_multiplier", 86, 1, 0),
)

STS3215: Final = ControlTable(
    servo="sts3215",
    protocol="feetech",
    model_number=777,
    size=87,
    registers=_EEPROM + _RAM + _FACTORY,
    eeprom_end=_EEPROM_END,
)
"""The factory area from address 80 on is kept without power too, although it lies past `eeprom_end`."""
