"""When an arm counts as at rest, by the angles that are read of it: what its goals do says nothing of a servo's lag."""

from collections.abc import Callable
from typing import Final

import numpy as np

from robot_mbrl.contracts.clock import Clock, to_ns
from robot_mbrl.contracts.types import FloatArray

REST_SPREAD: Final = 0.003
"""Positions that lie this close together [rad] over `REST_TIME` are those of a joint at rest: two encoder ticks."""
REST_TIME: Final = 0.1
REST_PATIENCE: Final = 3.0
"""How long an arm may take to come to rest at its last goals [s]: one that trembles on does not keep its torque."""


class RestWatch:
    """Looks at one reading after the other."""

    def __init__(self, joints: int) -> None:
        """Nothing is known yet of `joints` joints."""
        self._low, self._high = np.full(joints, np.inf), np.full(joints, -np.inf)
        self._counts = np.zeros(joints, np.int64)
        self._since_ns: int | None = None

    def rests(self, now_ns: int, position: FloatArray) -> bool:
        """Whether all joints that answer have rested since `REST_TIME`, with `position` (n,) [rad] at `now_ns` [ns].

        NaN stands for a joint that did not answer; one that answered once only since then may have moved.
        """
        low, high = np.fmin(self._low, position), np.fmax(self._high, position)
        if self._since_ns is None or (high - low > REST_SPREAD).any():
            self._since_ns, self._counts = now_ns, np.zeros_like(self._counts)
            low, high = np.fmin(np.inf, position), np.fmax(-np.inf, position)
        self._low, self._high = low, high
        self._counts += np.isfinite(position)
        known = self._counts > 0
        return bool(now_ns - self._since_ns >= to_ns(REST_TIME) and known.any() and (self._counts[known] > 1).all())


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
