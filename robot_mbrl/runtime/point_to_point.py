"""A slow, smooth way from rest to rest."""

import math

import numpy as np

from robot_mbrl.contracts.types import FloatArray


class PointToPoint:
    """All joints on the straight line between two poses, with the least jerk (Flash and Hogan 1985).

        q(t) = q₀ + (q₁ - q₀) (10 s³ - 15 s⁴ + 6 s⁵),  s = t/T

    Its peaks are 15/8 d/T in velocity, 10/√3 d/T² in acceleration and 60 d/T³ in jerk; T is the least that keeps all in
    bounds.
    """

    def __init__(
        self,
        start: FloatArray,
        end: FloatArray,
        speed: float,
        acceleration_limits: FloatArray,
        jerk_limits: FloatArray,
    ) -> None:
        """From `start` to `end` (n,) [rad] at `speed` of the fastest joint [rad/s]; limits (n,) [rad/s²], [rad/s³]."""
        self._start, self._way = start.copy(), end - start
        way = np.abs(self._way)
        acceleration = float((way / acceleration_limits).max())
        jerk = float((way / jerk_limits).max())
        self.duration = max(
            15 / 8 * float(way.max()) / speed, math.sqrt(10 / math.sqrt(3) * acceleration), math.cbrt(60 * jerk)
        )
        """From rest to rest [s]."""

    def sample(self, time: float) -> FloatArray:
        """(n,) position `time` [s] after the start [rad]."""
        s = min(max(time / self.duration, 0.0), 1.0) if self.duration > 0.0 else 1.0
        return self._start + self._way * (s**3 * (10.0 + s * (6.0 * s - 15.0)))
