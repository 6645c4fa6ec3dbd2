"""The controllers of an X-series servo: from goals to the duty of the bridge, in the servo's own direction.

Sources: ROBOTIS e-Manual, "Position PID Gain", "Velocity PI Gain", "Operating Mode(11)". P is divided by 128, I by
65,536, D by 16; their output is PWM, 885 of which are a duty of 1. The period that I and D count in is not published:
1 ms is taken, the unit of `realtime_tick`. The scale of the feed-forward gains is not published for the trajectory's
units either, so those two registers are kept and have no effect. The current loop's gain is not a register; it is
chosen to settle in about 10 ms.
"""

from dataclasses import dataclass
from typing import Final

from robot_mbrl.drivers.virtual.profile import TrapezoidProfile

FULL_PWM: Final = 885.0
VELOCITY_UNIT: Final = 0.229 * 4096 / 60.0
"""[ticks/s] per unit of velocity, 0.229 rpm."""
ACCELERATION_UNIT: Final = 214.577 * 4096 / 3600.0
"""[ticks/s²] per unit of acceleration, 214.577 rev/min²."""
_PERIOD: Final = 0.001
_I_OVER_P: Final = 128.0 / 65536.0
_D_OVER_P: Final = 128.0 / 16.0
_CURRENT_GAIN: Final = 100.0
"""[duty/(A·s)] of the current controller."""


@dataclass(slots=True)
class Gains:
    """Gains as registers hold them, and the limits in duty and ampere."""

    position_p: int = 0
    position_i: int = 0
    position_d: int = 0
    velocity_p: int = 0
    velocity_i: int = 0


class Controllers:
    """Position, velocity and current controller of one servo.

    Attributes:
        profile: the trajectory that position control follows.
        gains: register values.
        duty_limit: largest duty, from goal PWM and PWM limit.
        current_limit: largest current in current-based position control [A].
        velocity_setpoint: of velocity control, on its ramp [ticks/s].
    """

    __slots__ = (
        "_cap", "_duty_per_tick", "_integral", "_timestep", "current_limit", "duty_limit", "gains", "profile",
        "velocity_setpoint",
    )  # fmt: skip

    def __init__(self, profile: TrapezoidProfile, duty_per_tick: float, timestep: float) -> None:
        """`duty_per_tick` is what one unit of P makes of 1 tick of error."""
        self._duty_per_tick = duty_per_tick
        self._timestep = timestep
        self.gains = Gains()
        self.profile = profile
        self.duty_limit = 1.0
        self.current_limit = 0.0
        self.reset(0.0)

    def reset(self, position: float) -> None:
        """Forget the past and rest at `position` [ticks]."""
        self.profile.hold(position)
        self.velocity_setpoint = 0.0
        self._integral = 0.0
        self._cap = 1.0

    def position_duty(self, position: int, velocity: float) -> float:
        """PID on the trajectory."""
        profile = self.profile
        profile.step()
        gains = self.gains
        error = profile.position - position
        if gains.position_i:
            growth = self._duty_per_tick * gains.position_i * _I_OVER_P * error * self._timestep / _PERIOD
            self._integral = self._clamped(self._integral + growth)
        rate = (profile.velocity - velocity) * _PERIOD
        duty = self._duty_per_tick * (gains.position_p * error + gains.position_d * _D_OVER_P * rate) + self._integral
        return self._clamped(duty)

    def limited_position_duty(self, position: int, velocity: float, current: float) -> float:
        """PID on the trajectory, held back so that the current [A] stays within its limit."""
        excess = abs(current) - self.current_limit
        self._cap = min(max(self._cap - _CURRENT_GAIN * excess * self._timestep, 0.0), 1.0)
        duty = self.position_duty(position, velocity)
        return min(max(duty, -self._cap), self._cap)

    def velocity_duty(self, goal: float, velocity: float) -> float:
        """PI on a ramp towards `goal` [ticks/s]."""
        change = self.profile.acceleration_limit * self._timestep
        self.velocity_setpoint += min(max(goal - self.velocity_setpoint, -change), change)
        error = (self.velocity_setpoint - velocity) / VELOCITY_UNIT
        growth = self.gains.velocity_i / 65536.0 * error / FULL_PWM * self._timestep / _PERIOD
        self._integral = self._clamped(self._integral + growth)
        return self._clamped(self.gains.velocity_p / 128.0 * error / FULL_PWM + self._integral)

    def current_duty(self, goal: float, current: float) -> float:
        """Integral control of the current towards `goal` [A]."""
        self._integral = self._clamped(self._integral + _CURRENT_GAIN * (goal - current) * self._timestep)
        return self._integral

    def _clamped(self, duty: float) -> float:
        return min(max(duty, -self.duty_limit), self.duty_limit)
