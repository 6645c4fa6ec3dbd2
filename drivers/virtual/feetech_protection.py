"""The protections of an STS3215: what its status byte says and how much torque it may still give.

Which bits act and which only report is chosen by the register `unloading_condition`. Source: Feetech's STS memory
table (registers 13 to 15, 19, 28, 34 to 36, 38, 65). Two points that it leaves open are decided here: a servo that
unloads clears its torque switch, so that torque does not come back by itself; and an overload ends with a write to
the torque switch or with a goal on the other side of the present position.
"""

from dataclasses import dataclass
from typing import Final

from robot_mbrl.drivers.feetech.codec import StatusBit

CURRENT_UNIT: Final = 0.0065
"""[A] per unit of the current registers (memory table)."""
_TEN_MS: Final = 0.01
_FULL_TORQUE: Final = 1.0
_VOLTAGE, _OVERHEAT = int(StatusBit.VOLTAGE), int(StatusBit.OVERHEAT)
_OVERCURRENT, _OVERLOAD = int(StatusBit.OVERCURRENT), int(StatusBit.OVERLOAD)


@dataclass(frozen=True, slots=True)
class ProtectionLimits:
    """The settings, in the units of their registers.

    Attributes:
        temperature: [°C].
        lowest_voltage: [0.1 V].
        highest_voltage: [0.1 V].
        current: [6.5 mA].
        current_time: [10 ms].
        overload_torque: [%].
        overload_time: [10 ms].
        protective_torque: [%].
        unloading: mask of the status bits that act.
    """

    temperature: int
    lowest_voltage: int
    highest_voltage: int
    current: int
    current_time: int
    overload_torque: int
    overload_time: int
    protective_torque: int
    unloading: int


class FeetechProtection:
    """Watches load, current, temperature and supply, one call a firmware period.

    Attributes:
        status: the status byte.
        torque_cap: largest duty that is still allowed, 0..1.
    """

    __slots__ = (
        "_latched",
        "_limits",
        "_overcurrent_time",
        "_overload_sign",
        "_overload_time",
        "_timestep",
        "status",
        "torque_cap",
    )

    def __init__(self, limits: ProtectionLimits, timestep: float) -> None:
        self._limits = limits
        self._timestep = timestep
        self.reset()

    def configure(self, limits: ProtectionLimits) -> None:
        """Take over changed settings."""
        self._limits = limits

    def reset(self) -> None:
        """Forget everything, as at power-on."""
        self.status = 0
        self.torque_cap = _FULL_TORQUE
        self._latched = 0
        self._overload_time = 0.0
        self._overcurrent_time = 0.0
        self._overload_sign = 0.0

    def step(self, duty: float, current: float, temperature: float, voltage: float) -> bool:
        """Judge one period and return whether the servo must unload now.

        Args:
            duty: of the bridge in the servo's own direction, -1..1.
            current: [A].
            temperature: [°C].
            voltage: [V].
        """
        limits = self._limits
        self._overload_time = self._overload_time + self._timestep if self._overloaded(duty) else 0.0
        if self._overload_time >= limits.overload_time * _TEN_MS and self._overload_time > 0.0:
            self.latch(_OVERLOAD, duty)
        heavy = abs(current) > limits.current * CURRENT_UNIT
        self._overcurrent_time = self._overcurrent_time + self._timestep if heavy else 0.0
        if self._overcurrent_time >= limits.current_time * _TEN_MS and self._overcurrent_time > 0.0:
            self.latch(_OVERCURRENT, duty)
        live = 0
        if temperature >= limits.temperature:
            live = _OVERHEAT
        if not limits.lowest_voltage <= voltage * 10.0 <= limits.highest_voltage:
            live |= _VOLTAGE
        self.status = self._latched | live
        return bool(self.status & limits.unloading & ~_OVERLOAD)

    def latch(self, bit: int, duty: float = 0.0) -> None:
        """Set a status bit that stays until `release`; an overload that acts also caps the torque."""
        self._latched |= bit
        self.status |= bit
        if bit & _OVERLOAD:
            self._overload_sign = duty
            if self._limits.unloading & _OVERLOAD:
                self.torque_cap = self._limits.protective_torque / 100.0

    def release(self) -> None:
        """Clear what is latched: the host has written the torque switch."""
        self.status &= ~self._latched
        self._latched = 0
        self.torque_cap = _FULL_TORQUE
        self._overload_time = self._overcurrent_time = 0.0

    def goal_lies(self, direction: float) -> None:
        """A new goal lies in `direction` (its sign) from the present position; backing off ends an overload."""
        if self._latched & _OVERLOAD and direction * self._overload_sign < 0.0:
            self._latched &= ~_OVERLOAD
            self.status &= ~_OVERLOAD
            self.torque_cap = _FULL_TORQUE
            self._overload_time = 0.0

    def _overloaded(self, duty: float) -> bool:
        return not self._latched & _OVERLOAD and abs(duty) * 100.0 >= self._limits.overload_torque > 0
