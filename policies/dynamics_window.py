"""One period of an arm's motion as a dynamics ensemble of an arm sees it: where it began, what was asked, what came.

For n joints, with q the measured angles, v the estimated velocities, g the goals that the servos held and T the period,

    state (q, v) at t - T  (2n,),   action g at t  (n,),   next state (q, v) at t  (2n,)

The state at t - T lies between two measurements and is interpolated. Goals ramp from action to action: of the single
goals of a period the last one predicts best what comes of it (least squares on flights of an emulated SO-101: 20 % less
error in the positions that gravity pulls at than with the goal in the middle or their mean, 30 % less than with the
first). `windows` cuts flights for training, `WindowHistory` follows a flight tick by tick; both give the same numbers.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.types import FloatArray

LONGEST_GAP = 0.5
"""Measurements that a state is interpolated between lie at most this share of a period apart."""


class Windows(NamedTuple):
    """Periods of n joints, k of them.

    Attributes:
        state: (k, 2n) at their beginnings: positions [rad], velocities [rad/s].
        action: (k, n) goals held at their ends [rad].
        next_state: (k, 2n) at their ends.
    """

    state: FloatArray
    action: FloatArray
    next_state: FloatArray


def windows(
    stamps_ns: NDArray[np.int64], position: FloatArray, velocity: FloatArray, held: FloatArray, period: float
) -> Windows:
    """Every period that ends at a measurement of an uninterrupted flight and begins within it.

    Args:
        stamps_ns: (k,) [ns]; where one is not later than the one before, nothing new was measured.
        position: (k, n) [rad].
        velocity: (k, n) [rad/s].
        held: (k, n) goals of the servos [rad].
        period: [s].
    """
    if len(stamps_ns) < 2:
        return Windows(np.empty((0, 2 * held.shape[1])), held[:0], np.empty((0, 2 * held.shape[1])))
    new = np.append(True, stamps_ns[1:] > np.maximum.accumulate(stamps_ns)[:-1])
    stamps, states, goals = stamps_ns[new], np.hstack([position, velocity])[new], held[new]
    period_ns = to_ns(period)
    begins = stamps - period_ns
    after = np.searchsorted(stamps, begins, side="right")
    inside = after > 0
    after = np.maximum(after, 1)
    gap_ns = stamps[after] - stamps[after - 1]
    whole = inside & (gap_ns <= LONGEST_GAP * period_ns)
    share = ((begins - stamps[after - 1])[whole] / gap_ns[whole])[:, None]
    later, earlier = states[after[whole]], states[after[whole] - 1]
    return Windows(earlier + share * (later - earlier), goals[whole], states[whole])


CAPACITY = 512
"""Measurements that a `WindowHistory` keeps."""


def rates(period: float) -> tuple[float, float]:
    """Lowest and highest rate of measurements [Hz] at which a `WindowHistory` covers a `period` [s]."""
    return 1.0 / (LONGEST_GAP * period), (CAPACITY - 2) / period


class WindowHistory:
    """The last period of a flight, measurement by measurement. Allocates once."""

    def __init__(self, joints: int, period: float, capacity: int = CAPACITY) -> None:
        """For `joints` joints and a `period` [s] in which at most `capacity` measurements fall."""
        self._period_ns = to_ns(period)
        self._gap_ns = LONGEST_GAP * self._period_ns
        self._capacity = capacity
        # Each row is kept twice, a capacity apart, so that the newest ones always lie in a row, in order.
        self._stamps = np.zeros(2 * capacity, np.int64)
        self._rows = np.zeros((2 * capacity, 3 * joints))
        self._states = 2 * joints
        self.clear()

    def clear(self) -> None:
        """Forget the flight so far."""
        self._count = self._next = 0

    @property
    def newest_ns(self) -> int | None:
        """When the newest measurement was made [ns]; None when there is none."""
        return int(self._stamps[self._next + self._capacity - 1]) if self._count else None

    def append(self, stamp_ns: int, position: FloatArray, velocity: FloatArray, held: FloatArray) -> None:
        """Take a measurement that is newer than all before: (n,) positions [rad], velocities [rad/s], goals [rad]."""
        n = self._states // 2
        for place in (self._next, self._next + self._capacity):
            row = self._rows[place]
            row[:n], row[n : self._states], row[self._states :] = position, velocity, held
            self._stamps[place] = stamp_ns
        self._next = (self._next + 1) % self._capacity
        self._count = min(self._count + 1, self._capacity)

    def beginning(self) -> FloatArray | None:
        """State and goals (3n,) one period before the newest measurement; None where the flight does not cover that."""
        end = self._next + self._capacity
        stamps = self._stamps[end - self._count : end]
        if not self._count:
            return None
        begin_ns = int(stamps[-1]) - self._period_ns
        after = int(stamps.searchsorted(begin_ns, side="right"))
        if after == 0 or after == len(stamps):
            return None
        gap_ns = int(stamps[after] - stamps[after - 1])
        if gap_ns > self._gap_ns:
            return None
        rows = self._rows[end - self._count : end]
        share = (begin_ns - int(stamps[after - 1])) / gap_ns
        beginning: FloatArray = rows[after - 1] + share * (rows[after] - rows[after - 1])
        return beginning
