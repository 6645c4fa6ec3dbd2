"""The path that a policy's actions describe, and how far along it the arm is asked to be."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from robot_mbrl.contracts.types import FloatArray

BACKLOG = 16
"""Actions that may wait."""


@dataclass(frozen=True, slots=True)
class _Waypoint:
    """An action on the path: where [rad], how far from the one before [rad], until when it is good [ns]."""

    position: FloatArray
    step: float
    expires_ns: int


class ActionPath:
    """Straight lines from action to action, each run through in one action period.

    A motion that is slowed stays on these lines and falls behind: actions wait, until they expire. An expired action is
    left out and the line goes on to the next one, at the speed that the policy had there. After a start the newest
    action alone is aimed at, with `approach_speed`, until an action period is enough to reach it. Nothing is
    extrapolated: past the last action the path stands still.
    """

    def __init__(self, n: int, action_period: float, approach_speed: float) -> None:
        """For `n` joints; `action_period` in s, `approach_speed` of the fastest joint in rad/s."""
        self._period = action_period
        self._approach_speed = approach_speed
        self._waiting: deque[_Waypoint] = deque(maxlen=BACKLOG)
        self._last = np.zeros(n)
        self._remaining = 0.0
        self._approaching = True
        self.position = np.zeros(n)
        """(n,) where the arm is asked to be [rad]."""
        self.expires_ns = -1
        """When the newest action expires [ns]; -1 before the first one."""

    @property
    def waiting(self) -> int:
        """Actions that have not been reached yet."""
        return len(self._waiting)

    def start(self, position: FloatArray) -> None:
        """Begin at `position` (n,) [rad], at rest. Actions that wait are forgotten, the newest one's expiry is not."""
        self.position, self._last = position.copy(), position.copy()
        self._waiting.clear()
        self._approaching = True

    def append(self, position: FloatArray, expires_ns: int) -> None:
        """Go on to `position` (n,) [rad], unless its expiry [ns] passes first."""
        if self._approaching:
            self._waiting.clear()
            self._last = self.position
            self._approaching = _distance(self.position, position) > self._approach_speed * self._period
        full = len(self._waiting) == BACKLOG
        self._waiting.append(_Waypoint(position.copy(), _distance(self._last, position), expires_ns))
        self._last, self.expires_ns = self._waiting[-1].position, expires_ns
        if full or len(self._waiting) == 1:
            self._aim()

    def advance(self, elapsed: float, now_ns: int) -> FloatArray:
        """Move on by `elapsed` [s] of motion, at `now_ns` [ns], and return the position (n,) [rad]."""
        while self._waiting and self._waiting[0].expires_ns <= now_ns:
            self._waiting.popleft()
            self._aim()
        while self._waiting and elapsed >= self._remaining:
            elapsed -= self._remaining
            self.position = self._waiting.popleft().position
            self._aim()
        if self._waiting:
            away = self._waiting[0].position - self.position
            self.position = self.position + away * (elapsed / self._remaining)
            self._remaining -= elapsed
        return self.position

    def _aim(self) -> None:
        """Set the time that the way to the next action takes: its period, or longer where the way is another one."""
        if not self._waiting:
            return
        goal = self._waiting[0]
        speed = self._approach_speed if self._approaching else max(goal.step / self._period, self._approach_speed)
        away = _distance(self.position, goal.position)
        longer = self._approaching or away > goal.step * (1.0 + 1e-9)
        self._remaining = max(self._period, away / speed) if longer else self._period


def _distance(start: FloatArray, end: FloatArray) -> float:
    """Way of the joint that has the furthest to go [rad]."""
    return float(np.abs(end - start).max())
