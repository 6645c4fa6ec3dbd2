"""Control tables of three Dynamixel X servos: XL330-M077, XL330-M288 and XL430-W250.

Sources: ROBOTIS e-Manual, pages XL330-M077-T, XL330-M288-T and XL430-W250-T (addresses, access, initial values,
ranges); names after the `.model` files that DynamixelSDK 4.1.0 ships. Registers that other registers bound more tightly
at run time (goals by their limits) carry the widest range that those bounds can be set to. `secondary_id` is 255 from
the factory, which its published range 0..252 leaves out: from 253 on there is no secondary ID.
"""

from typing import Final

from robot_mbrl.drivers.registers import ControlTable, Encoding, Register

BAUD_RATES: Final = {
    0: 9_600,
    1: 57_600,
    2: 115_200,
    3: 1_000_000,
    4: 2_000_000,
    5: 3_000_000,
    6: 4_000_000,
    7: 4_500_000,
}
"""Bits per second of each code in `baud_rate`; 7 is for XL430 alone."""

CURRENT_MODE: Final = 0
VELOCITY_MODE: Final = 1
POSITION_MODE: Final = 3
EXTENDED_POSITION_MODE: Final = 4
CURRENT_BASED_POSITION_MODE: Final = 5
PWM_MODE: Final = 16

XL330_MODES: Final = frozenset(
    {CURRENT_MODE, VELOCITY_MODE, POSITION_MODE, EXTENDED_POSITION_MODE, CURRENT_BASED_POSITION_MODE, PWM_MODE}
)
"""What `operating_mode` may be on XL330."""
XL430_MODES: Final = frozenset({VELOCITY_MODE, POSITION_MODE, EXTENDED_POSITION_MODE, PWM_MODE})
"""What `operating_mode` may be on XL430, which does not measure current."""

EEPROM_END: Final = 64
_SIGNED: Final = Encoding.TWOS_COMPLEMENT
_PWM: Final = 885
_CURRENT: Final = 1750
_TURNS_256: Final = 1_048_575
_TURNS_255: Final = 1_044_479
_GAIN: Final = 16_383
_PROFILE: Final = 32_767


def _read_only(name: str, address: int, size: int, default: int = 0, *, signed: bool = False) -> Register:
    encoding = _SIGNED if signed else Encoding.UNSIGNED
    return Register(name, address, size, eeprom=address < EEPROM_END, default=default, encoding=encoding)


def _unsigned(name: str, address: int, size: int, default: int, low: int, high: int) -> Register:
    return Register(name, address, size, True, address < EEPROM_END, default, low, high)


def _signed(name: str, address: int, size: int, default: int, low: int, high: int) -> Register:
    return Register(name, address, size, True, address < EEPROM_END, default, low, high, _SIGNED)


def _indirect(first: int, count: int, addresses: int, data: int, last_address: int) -> tuple[Register, ...]:
    """A block of indirect addresses and the data they stand for, numbered from `first` on."""
    numbers = range(count)
    return (
        *(
            _unsigned(f"indirect_address_{first + i}", addresses + 2 * i, 2, data + i, EEPROM_END, last_address)
            for i in numbers
        ),
        *(_unsigned(f"indirect_data_{first + i}", data + i, 1, 0, 0, 255) for i in numbers),
    )


def _identity(model_number: int, firmware: int, highest_baud: int) -> tuple[Register, ...]:
    return (
        _read_only("model_number", 0, 2, model_number),
        _read_only("model_information", 2, 4),
        _read_only("firmware_version", 6, 1, firmware),
        _unsigned("id", 7, 1, 1, 0, 252),
        _unsigned("baud_rate", 8, 1, 1, 0, highest_baud),
        _unsigned("return_delay_time", 9, 1, 250, 0, 254),
        _unsigned("drive_mode", 10, 1, 0, 0, 13),
        _unsigned("operating_mode", 11, 1, POSITION_MODE, 0, PWM_MODE),
        _unsigned("secondary_id", 12, 1, 255, 0, 255),
    )


def _offsets() -> tuple[Register, ...]:
    return (
        _signed("homing_offset", 20, 4, 0, -_TURNS_255, _TURNS_255),
        _unsigned("moving_threshold", 24, 4, 10, 0, 1023),
    )


def _position_limits() -> tuple[Register, ...]:
    return (
        _unsigned("max_position_limit", 48, 4, 4095, 0, 4095),
        _unsigned("min_position_limit", 52, 4, 0, 0, 4095),
        _unsigned("startup_configuration", 60, 1, 0, 0, 3),
    )


def _control(
    velocity_i: int, velocity_p: int, position_d: int, position_i: int, position_p: int
) -> tuple[Register, ...]:
    return (
        _unsigned("torque_enable", 64, 1, 0, 0, 1),
        _unsigned("led", 65, 1, 0, 0, 1),
        _unsigned("status_return_level", 68, 1, 2, 0, 2),
        _read_only("registered_instruction", 69, 1),
        _read_only("hardware_error_status", 70, 1),
        _unsigned("velocity_i_gain", 76, 2, velocity_i, 0, _GAIN),
        _unsigned("velocity_p_gain", 78, 2, velocity_p, 0, _GAIN),
        _unsigned("position_d_gain", 80, 2, position_d, 0, _GAIN),
        _unsigned("position_i_gain", 82, 2, position_i, 0, _GAIN),
        _unsigned("position_p_gain", 84, 2, position_p, 0, _GAIN),
        _unsigned("feedforward_2nd_gain", 88, 2, 0, 0, _GAIN),
        _unsigned("feedforward_1st_gain", 90, 2, 0, 0, _GAIN),
        _signed("bus_watchdog", 98, 1, 0, 0, 127),
        _signed("goal_pwm", 100, 2, _PWM, -_PWM, _PWM),
    )


def _motion(highest_velocity: int) -> tuple[Register, ...]:
    return (
        _signed("goal_velocity", 104, 4, 0, -highest_velocity, highest_velocity),
        _unsigned("profile_acceleration", 108, 4, 0, 0, _PROFILE),
        _unsigned("profile_velocity", 112, 4, 0, 0, _PROFILE),
        _signed("goal_position", 116, 4, 0, -_TURNS_256, _TURNS_256),
        _read_only("realtime_tick", 120, 2),
        _read_only("moving", 122, 1),
        _read_only("moving_status", 123, 1),
        _read_only("present_pwm", 124, 2, signed=True),
    )


def _feedback(effort: str) -> tuple[Register, ...]:
    return (
        _read_only(effort, 126, 2, signed=True),
        _read_only("present_velocity", 128, 4, signed=True),
        _read_only("present_position", 132, 4, signed=True),
        _read_only("velocity_trajectory", 136, 4, signed=True),
        _read_only("position_trajectory", 140, 4, signed=True),
        _read_only("present_input_voltage", 144, 2),
        _read_only("present_temperature", 146, 1),
        _read_only("backup_ready", 147, 1),
    )


def _xl330(servo: str, model_number: int, velocity_limit: int, gains: tuple[int, int, int, int, int]) -> ControlTable:
    highest_velocity = 2047
    registers = (
        *_identity(model_number, firmware=52, highest_baud=6),
        _unsigned("protocol_type", 13, 1, 2, 2, 22),
        *_offsets(),
        _unsigned("temperature_limit", 31, 1, 70, 0, 100),
        _unsigned("max_voltage_limit", 32, 2, 70, 31, 70),
        _unsigned("min_voltage_limit", 34, 2, 35, 31, 70),
        _unsigned("pwm_limit", 36, 2, _PWM, 0, _PWM),
        _unsigned("current_limit", 38, 2, _CURRENT, 0, _CURRENT),
        _unsigned("velocity_limit", 44, 4, velocity_limit, 0, highest_velocity),
        *_position_limits(),
        _unsigned("pwm_slope", 62, 1, 140, 1, 255),
        _unsigned("shutdown", 63, 1, 53, 0, 255),
        *_control(*gains),
        _signed("goal_current", 102, 2, _CURRENT, -_CURRENT, _CURRENT),
        *_motion(highest_velocity),
        *_feedback("present_current"),
        *_indirect(1, 20, addresses=168, data=208, last_address=227),
    )
    return ControlTable(servo, "dynamixel", model_number, 228, registers, EEPROM_END)


def _xl430() -> ControlTable:
    model_number, highest_velocity = 1060, 1023
    registers = (
        *_identity(model_number, firmware=46, highest_baud=7),
        _unsigned("protocol_type", 13, 1, 2, 1, 2),
        *_offsets(),
        _unsigned("temperature_limit", 31, 1, 72, 0, 100),
        _unsigned("max_voltage_limit", 32, 2, 140, 60, 140),
        _unsigned("min_voltage_limit", 34, 2, 60, 60, 140),
        _unsigned("pwm_limit", 36, 2, _PWM, 0, _PWM),
        _unsigned("velocity_limit", 44, 4, 265, 0, highest_velocity),
        *_position_limits(),
        _unsigned("shutdown", 63, 1, 52, 0, 255),
        *_control(1000, 100, 4000, 0, 640),
        *_motion(highest_velocity),
        *_feedback("present_load"),
        *_indirect(1, 28, addresses=168, data=224, last_address=661),
        *_indirect(29, 28, addresses=578, data=634, last_address=661),
    )
    return ControlTable("xl430-w250", "dynamixel", model_number, 662, registers, EEPROM_END)


XL330_M077: Final = _xl330("xl330-m077", 1190, velocity_limit=1620, gains=(400, 40, 0, 400, 400))
XL330_M288: Final = _xl330("xl330-m288", 1200, velocity_limit=445, gains=(1600, 180, 0, 0, 400))
"""Firmware 52; before it, indirect data began at address 224."""
XL430_W250: Final = _xl430()
