"""Joint motion over the last moments: derivatives of sampled angles, and the span that goals have covered."""

from collections import deque
from collections.abc import Sequence
from itertools import repeat
from operator import mul, sub
from typing import NamedTuple

from robot_mbrl.contracts.clock import NANOSECONDS, to_ns

_PER_WINDOW = 4
"""Samples kept for each window: enough to place its ends within a quarter of it, at any rate of the loop."""


class Derivatives(NamedTuple):
    """(n,) each: velocity [rad/s], acceleration [rad/s²] and jerk [rad/s³]."""

    velocity: Sequence[float]
    acceleration: Sequence[float]
    jerk: Sequence[float]


class MotionHistory:
    """Angles of n joints over three windows, and their derivatives as averages over a window each.

    With angles q0..q3 at t0 > t1 > t2 > t3, about one window apart, Newton's divided differences give

        velocity = q[t0,t1],  acceleration = 2 q[t0,t1,t2],  jerk = 6 q[t0,t1,t2,t3],

    exact for cubic motion up to the jerk, however uneven the ticks were. What the samples do not reach back to is 0.
    """

    def __init__(self, joints: int, window: float) -> None:
        self._zeros = [0.0] * joints
        self._spacing_ns = to_ns(window / _PER_WINDOW)
        self._samples: deque[tuple[int, Sequence[float]]] = deque(maxlen=3 * _PER_WINDOW)
        self._d12 = self._twice_d123 = self._zeros

    def append(self, stamp_ns: int, position: Sequence[float]) -> None:
        """Keep `position` [rad] of `stamp_ns` [ns] when a quarter of a window has passed since the last one kept."""
        samples = self._samples
        if samples and stamp_ns - samples[-1][0] < self._spacing_ns:
            return
        samples.append((stamp_ns, position))
        if len(samples) >= 2 * _PER_WINDOW:
            (t1, q1), (t2, q2) = samples[-_PER_WINDOW], samples[-2 * _PER_WINDOW]
            self._d12 = quotient(q1, q2, t1 - t2)
        if len(samples) == 3 * _PER_WINDOW:
            t3, q3 = samples[0]
            self._twice_d123 = quotient(self._d12, quotient(q2, q3, t2 - t3), t1 - t3, 2.0)

    def derivatives(self, stamp_ns: int, position: Sequence[float]) -> Derivatives:
        """Derivatives on reaching `position` [rad] at `stamp_ns` [ns], later than what was kept."""
        samples, zeros = self._samples, self._zeros
        if len(samples) < _PER_WINDOW or stamp_ns <= samples[-1][0]:
            return Derivatives(zeros, zeros, zeros)
        t1, q1 = samples[-_PER_WINDOW]
        d01 = quotient(position, q1, stamp_ns - t1)
        if len(samples) < 2 * _PER_WINDOW:
            return Derivatives(d01, zeros, zeros)
        acceleration = quotient(d01, self._d12, stamp_ns - samples[-2 * _PER_WINDOW][0], 2.0)
        if len(samples) < 3 * _PER_WINDOW:
            return Derivatives(d01, acceleration, zeros)
        return Derivatives(d01, acceleration, quotient(acceleration, self._twice_d123, stamp_ns - samples[0][0], 3.0))


def quotient(later: Sequence[float], earlier: Sequence[float], span_ns: int, factor: float = 1.0) -> list[float]:
    """(n,) `factor` times the change from `earlier` to `later` over `span_ns` [ns], per second."""
    return [*map(mul, map(sub, later, earlier), repeat(factor * NANOSECONDS / span_ns))]


class Span:
    """Lowest and highest value of n joints over the last moments: between `duration` and 7/6 of it."""

    _BLOCKS = 6

    def __init__(self, duration: float) -> None:
        """A span that has no ends until something is added."""
        self._block_ns = to_ns(duration / self._BLOCKS)
        self._blocks: deque[tuple[Sequence[float], Sequence[float]]] = deque(maxlen=self._BLOCKS)
        self._start_ns: int | None = None
        self._low: Sequence[float] = ()
        self._high: Sequence[float] = ()

    def add(self, stamp_ns: int, values: Sequence[float]) -> None:
        """Cover the `values` (n,) of `stamp_ns` [ns]."""
        age_ns = None if self._start_ns is None else stamp_ns - self._start_ns
        if age_ns is not None and 0 <= age_ns < self._block_ns:
            self._low, self._high = [*map(min, self._low, values)], [*map(max, self._high, values)]
            return
        if age_ns is None or age_ns < 0 or age_ns >= self._block_ns * self._BLOCKS:
            self._blocks.clear()
        else:
            self._blocks.append((self._low, self._high))
        self._low = self._high = values
        self._start_ns = stamp_ns

    def ends(self) -> tuple[list[float], list[float]]:
        """(lowest, highest) of each joint, once something was added."""
        lows, highs = zip(*self._blocks, (self._low, self._high), strict=True)
        return [*map(min, zip(*lows, strict=True))], [*map(max, zip(*highs, strict=True))]
