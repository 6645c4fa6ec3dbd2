"""Joint motion over the last moments: derivatives of sampled angles, and the span that goals have covered."""

from collections import deque
from typing import NamedTuple

from robot_mbrl.contracts.clock import NANOSECONDS, to_ns

_PER_WINDOW = 4
"""Samples kept for each window: enough to place its ends within a quarter of it, at any rate of the loop."""


class Derivatives(NamedTuple):
    """(n,) each: velocity [rad/s], acceleration [rad/s²] and jerk [rad/s³]."""

    velocity: list[float]
    acceleration: list[float]
    jerk: list[float]


class MotionHistory:
    """Angles of n joints over three windows, and their derivatives as averages over a window each.

    With angles q0..q3 at t0 > t1 > t2 > t3, about one window apart, Newton's divided differences give

        velocity = q[t0,t1],  acceleration = 2 q[t0,t1,t2],  jerk = 6 q[t0,t1,t2,t3],

    exact for cubic motion up to the jerk, however uneven the ticks were. What the samples do not reach back to is 0.
    """

    def __init__(self, joints: int, window: float) -> None:
        self._zeros = [0.0] * joints
        self._spacing_ns = to_ns(window / _PER_WINDOW)
        self._samples: deque[tuple[int, list[float]]] = deque(maxlen=3 * _PER_WINDOW)

    def append(self, stamp_ns: int, position: list[float]) -> None:
        """Keep `position` [rad] of `stamp_ns` [ns] when a quarter of a window has passed since the last one kept."""
        if not self._samples or stamp_ns - self._samples[-1][0] >= self._spacing_ns:
            self._samples.append((stamp_ns, position))

    def derivatives(self, stamp_ns: int, position: list[float]) -> Derivatives:
        """Derivatives on reaching `position` [rad] at `stamp_ns` [ns], later than what was kept."""
        samples, zeros = self._samples, self._zeros
        if len(samples) < _PER_WINDOW or stamp_ns <= samples[-1][0]:
            return Derivatives(zeros, zeros, zeros)
        t1, q1 = samples[-_PER_WINDOW]
        d01 = _quotient(position, q1, stamp_ns - t1)
        if len(samples) < 2 * _PER_WINDOW:
            return Derivatives(d01, zeros, zeros)
        t2, q2 = samples[-2 * _PER_WINDOW]
        d12 = _quotient(q1, q2, t1 - t2)
        d012 = _quotient(d01, d12, stamp_ns - t2)
        acceleration = [2.0 * value for value in d012]
        if len(samples) < 3 * _PER_WINDOW:
            return Derivatives(d01, acceleration, zeros)
        t3, q3 = samples[-3 * _PER_WINDOW]
        d123 = _quotient(d12, _quotient(q2, q3, t2 - t3), t1 - t3)
        jerk = [6.0 * value for value in _quotient(d012, d123, stamp_ns - t3)]
        return Derivatives(d01, acceleration, jerk)


def _quotient(later: list[float], earlier: list[float], span_ns: int) -> list[float]:
    rate = NANOSECONDS / span_ns
    return [(b - a) * rate for b, a in zip(later, earlier, strict=True)]


class Span:
    """Lowest and highest value of n joints over the last moments: between `duration` and 7/6 of it."""

    _BLOCKS = 6

    def __init__(self, duration: float) -> None:
        self._block_ns = to_ns(duration / self._BLOCKS)
        self._blocks: deque[tuple[list[float], list[float]]] = deque(maxlen=self._BLOCKS + 1)
        self._start_ns = 0

    def update(self, stamp_ns: int, values: list[float]) -> tuple[list[float], list[float]]:
        """Add the `values` of `stamp_ns` [ns]; (lowest, highest) of each joint."""
        blocks = self._blocks
        if not blocks or stamp_ns - self._start_ns >= self._block_ns:
            if blocks and stamp_ns - self._start_ns >= self._block_ns * self._BLOCKS:
                blocks.clear()
            blocks.append((values, values))
            self._start_ns = stamp_ns
        else:
            low, high = blocks[-1]
            blocks[-1] = ([*map(min, low, values)], [*map(max, high, values)])
        lows = blocks[0][0] if len(blocks) == 1 else [*map(min, *(low for low, _ in blocks))]
        highs = blocks[0][1] if len(blocks) == 1 else [*map(max, *(high for _, high in blocks))]
        return lows, highs
