"""When an arm counts as at rest, by the angles that are read of it: what its goals do says nothing of a servo's lag."""

from collections.abc import Callable
from typing import Final

import numpy as np

from robot_mbrl.contracts.clock import Clock, to_ns
from robot_mbrl.contracts.types import FloatArray

REST_SPREAD: Final = 0.0035
"""Positions that lie this close together [rad] over `REST_TIME` are those of a joint at rest: two ticks of 4096."""
REST_TIME: Final = 0.1
REST_PATIENCE: Final = 3.0
"""How long an arm may take to come to rest at its last goals [s]: one that trembles on does not keep its torque."""


class RestWatch:
    """Looks at one reading after the other."""

    def __init__(self, joints: int) -> None:
        """Nothing is known yet of `joints` joints."""
        self._low, self._high = np.full(joints, np.inf), np.full(joints, -np.inf)
        self._first_ns, self._last_ns = np.full(joints, -1, np.int64), np.full(joints, -1, np.int64)
        self._since_ns: int | None = None

    def rests(self, now_ns: int, position: FloatArray) -> bool:
        """Whether all joints that answer have rested since `REST_TIME`, with `position` (n,) [rad] at `now_ns` [ns].

        NaN stands for a joint that did not answer; one whose answers all came within a moment may have moved since.
        """
        low, high = np.fmin(self._low, position), np.fmax(self._high, position)
        if self._since_ns is None or (high - low > REST_SPREAD).any():
            self._since_ns, self._first_ns = now_ns, np.full_like(self._first_ns, -1)
            low, high = np.fmin(np.inf, position), np.fmax(-np.inf, position)
        self._low, self._high = low, high
        answers = np.isfinite(position)
        self._first_ns[answers & (self._first_ns < 0)] = now_ns
        self._last_ns[answers] = now_ns
        known = self._first_ns >= 0
        spans = (self._last_ns - self._first_ns)[known]
        return bool(now_ns - self._since_ns >= to_ns(REST_TIME) and known.any() and spans.min() >= to_ns(REST_TIME / 2))


def await_rest(clock: Clock, read: Callable[[], FloatArray], pause: float = 0.0) -> bool:
    """Read until the arm rests, or `REST_PATIENCE` ends; whether it rests.

    Args:
        clock: tells the time.
        read: the angles (n,) [rad], NaN where a joint does not answer.
        pause: between two readings [s].
    """
    position = read()
    watch, end_ns = RestWatch(len(position)), clock.now_ns() + to_ns(REST_PATIENCE)
    while not watch.rests(clock.now_ns(), position):
        if clock.now_ns() >= end_ns:
            return False
        clock.sleep_until_ns(clock.now_ns() + to_ns(pause))
        position = read()
    return True
