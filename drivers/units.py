"""What one count of a servo's registers is in SI units.

Sources: Feetech, "SMS/STS series memory table", https://doc.feetech.cn; ROBOTIS e-Manual, pages XL330-M077-T,
XL330-M288-T and XL430-W250-T.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import RAD_PER_TICK
from robot_mbrl.drivers.feetech.sts3215 import PHASE_FINE_SPEED, STS3215

_RPM: Final = 2.0 * math.pi / 60.0


@dataclass(frozen=True, slots=True)
class ServoUnits:
    """One count of each quantity.

    Attributes:
        position: [rad].
        velocity: of goals, feedback and limits [rad/s].
        acceleration: of the motion profile [rad/s²].
        load: of `load_register`, as a fraction of the servo's maximum.
        load_register: what tells the motor's effort; PWM duty, or current over the largest current that the servo
            allows where it measures current.
        current: [A], None for a servo that does not measure it.
        voltage: [V].
        temperature: [°C].
    """

    position: float
    velocity: float
    acceleration: float
    load: float
    load_register: str
    current: float | None
    voltage: float
    temperature: float


# 100 steps/s² (the memory table prints 8.7 °/s²) and, for the two settings of `phase`, 1 step/s (0.0146 rpm) and
# 50 steps/s (0.732 rpm).
_STS3215: Final = ServoUnits(
    position=RAD_PER_TICK,
    velocity=RAD_PER_TICK,
    acceleration=100 * RAD_PER_TICK,
    load=1e-3,
    load_register="present_load",
    current=6.5e-3,
    voltage=0.1,
    temperature=1.0,
)
_COARSE_SPEED: Final = 50 * RAD_PER_TICK

_XL430: Final = ServoUnits(
    position=RAD_PER_TICK,
    velocity=0.229 * _RPM,
    acceleration=214.577 * _RPM / 60.0,
    load=1e-3,
    load_register="present_load",
    current=None,
    voltage=0.1,
    temperature=1.0,
)
_XL330: Final = replace(_XL430, load=1.0 / 1750, load_register="present_current", current=1e-3)

_UNITS: Final = {"sts3215": _STS3215, "xl330-m077": _XL330, "xl330-m288": _XL330, "xl430-w250": _XL430}


def servo_units(servo: str, phase: int | None = None) -> ServoUnits:
    """The units of a servo.

    Args:
        servo: its name in arm definitions.
        phase: what the register `phase` of an STS3215 holds, as it chooses the unit of speed; None for the factory's.

    Raises:
        ConfigError: no such servo is known.
    """
    if servo not in _UNITS:
        raise ConfigError(f"unknown servo {servo!r}: give one of {', '.join(_UNITS)}")
    units = _UNITS[servo]
    if servo != STS3215.servo:
        return units
    fine = (STS3215["phase"].default if phase is None else phase) & PHASE_FINE_SPEED
    return units if fine else replace(units, velocity=_COARSE_SPEED)
