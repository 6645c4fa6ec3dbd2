"""The one map of sign, offset and unit between a servo's ticks and the model's radians."""

import math
from dataclasses import dataclass

TICKS_PER_REVOLUTION = 4096
"""Encoder resolution of STS3215, XL330-M288 and XL430-W250 (data sheets)."""

TICKS_PER_RAD = TICKS_PER_REVOLUTION / (2.0 * math.pi)
RAD_PER_TICK = 2.0 * math.pi / TICKS_PER_REVOLUTION


@dataclass(frozen=True, slots=True)
class JointMap:
    """`position = sign * (tick - zero_tick) * 2π / 4096`.

    The encoders sit on the output shaft, so the gear ratio does not enter.

    Attributes:
        sign: +1 or -1, whether ticks rise with the model's angle.
        zero_tick: the tick at which the model's angle is 0.
    """

    sign: int
    zero_tick: int

    def to_rad(self, tick: int) -> float:
        """Angle of `tick` [rad]."""
        return self.sign * (tick - self.zero_tick) * RAD_PER_TICK

    def to_tick(self, position: float) -> int:
        """Nearest tick of `position` [rad]. `to_tick(to_rad(t)) == t` for every t."""
        return self.zero_tick + self.sign * round(position / RAD_PER_TICK)
