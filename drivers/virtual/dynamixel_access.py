"""What an X-series servo lets a host write, and the result code when it does not.

Source: ROBOTIS e-Manual, "Protocol 2.0" (error codes), "Torque Enable(64)", "Bus Watchdog(98)", "Shutdown(63)".
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from robot_mbrl.drivers.dynamixel.codec import ResultCode
from robot_mbrl.drivers.dynamixel.x_series import POSITION_MODE, XL330_MODES, XL430_MODES
from robot_mbrl.drivers.registers import ControlTable, Register

GOALS: Final = frozenset({"goal_pwm", "goal_current", "goal_velocity", "goal_position"})
_LIMIT_OF: Final = {"goal_pwm": "pwm_limit", "goal_current": "current_limit", "goal_velocity": "velocity_limit"}


class Situation(NamedTuple):
    """What the access rules depend on besides the registers.

    Attributes:
        torque: torque is on, which closes the EEPROM.
        watchdog_tripped: the bus watchdog has stopped the servo, which closes the goals.
        shut_down: a hardware error keeps the torque off.
    """

    torque: bool
    watchdog_tripped: bool
    shut_down: bool


class AccessRules:
    """The rules of one servo."""

    def __init__(self, table: ControlTable, get: Callable[[str], int]) -> None:
        """`get` gives a register's present value."""
        self._size = table.size
        self._get = get
        self._modes = XL330_MODES if "goal_current" in table else XL430_MODES

    def refusal(self, registers: Sequence[Register], address: int, data: bytes, situation: Situation) -> int:
        """Why `data` may not be written from `address` on; `ResultCode.OK` when it may.

        Args:
            registers: those that any of the bytes belong to.
            address: of the first byte.
            data: the bytes.
            situation: the servo's.
        """
        if not registers or address + len(data) > self._size:
            return ResultCode.ACCESS
        for register in registers:
            start = register.address - address
            if start < 0 or start + register.size > len(data):
                return ResultCode.LENGTH
            if not register.writable or (register.eeprom and situation.torque):
                return ResultCode.ACCESS
            error = self._refused_value(register, register.decode(data[start : start + register.size]), situation)
            if error != ResultCode.OK:
                return error
        return ResultCode.OK

    def _refused_value(self, register: Register, value: int, situation: Situation) -> int:
        name = register.name
        error = ResultCode.OK
        if not register.permits(value):
            error = ResultCode.RANGE
        elif name in GOALS:
            if situation.watchdog_tripped:
                error = ResultCode.RANGE
            elif not self._within_limits(name, value):
                error = ResultCode.LIMIT
        elif name == "operating_mode":
            if value not in self._modes:
                error = ResultCode.RANGE
        elif name == "bus_watchdog":
            if situation.watchdog_tripped and value != 0:
                error = ResultCode.RANGE
        elif name == "torque_enable" and value and situation.shut_down:
            error = ResultCode.RESULT
        return error

    def _within_limits(self, name: str, value: int) -> bool:
        if name != "goal_position":
            return abs(value) <= self._get(_LIMIT_OF[name])
        if self._get("operating_mode") != POSITION_MODE:
            return True
        return self._get("min_position_limit") <= value <= self._get("max_position_limit")
