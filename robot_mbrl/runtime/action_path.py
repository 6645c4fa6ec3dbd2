"""The path that a policy's actions describe, and how far along it the arm is asked to be."""

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from robot_mbrl.contracts.types import FloatArray

BACKLOG = 16
"""Actions that may wait."""
CAUGHT = 1e-3
"""How close the path must have come to the actions for an approach to end [rad]: less than an encoder step."""
APPROACH_TIME = 0.1
"""An approach slows down towards its end, with this time constant [s], so that it ends without a kink."""


@dataclass(frozen=True, slots=True)
class _Waypoint:
    """An action on the path: where [rad], how far it moved on from the one before [rad], until when it is good [ns]."""

    position: FloatArray
    step: float
    expires_ns: int


class ActionPath:
    """Straight lines from action to action, each run through in one action period.

    A motion that is slowed stays on these lines and falls behind: actions wait, until they expire. An expired action is
    left out: the line goes straight on to the next one, in the time that the way by the expired one had, and so no
    faster than the policy.

    After a start the newest action alone is aimed at, with `approach_speed` beyond the speed at which the actions
    recede, until it is caught; actions that come closer faster are waited for. Nothing is extrapolated: past the last
    action the path stands still.
    """

    def __init__(self, n: int, action_period: float, approach_speed: float) -> None:
        """For `n` joints; `action_period` in s, `approach_speed` of the fastest joint in rad/s."""
        self._period = action_period
        self._approach_speed = approach_speed
        self._waiting: deque[_Waypoint] = deque(maxlen=BACKLOG)
        self._newest: _Waypoint | None = None
        self._remaining = self._leap = 0.0
        self._approaching = True
        self.position = np.zeros(n)
        """(n,) where the arm is asked to be [rad]."""

    @property
    def behind(self) -> float:
        """Motion that is left until the newest action is reached [s]; 0 while it is only being approached."""
        if self._approaching or not self._waiting:
            return 0.0
        return self._remaining + (len(self._waiting) - 1) * self._period

    @property
    def expires_ns(self) -> int:
        """When the newest action expires [ns]; -1 before the first one."""
        return self._newest.expires_ns if self._newest else -1

    def forget(self) -> None:
        """Know no action any more."""
        self._waiting.clear()
        self._newest = None

    def start(self, position: FloatArray) -> None:
        """Begin at `position` (n,) [rad], at rest, and aim at the newest action."""
        self.position, self._approaching = position.copy(), True
        self._waiting.clear()
        if self._newest:
            self._waiting.append(replace(self._newest, step=0.0))
            self._aim()

    def append(self, position: FloatArray, expires_ns: int) -> None:
        """Go on to `position` (n,) [rad], unless its expiry [ns] passes first."""
        step = _distance(self._newest.position, position) if self._newest else 0.0
        leap, self._leap = self._leap, step
        if self._approaching:
            self._waiting.clear()
            away = _distance(self.position, position)
            receding = away - _distance(self.position, self._newest.position) if self._newest else 0.0
            # Of a policy that moves on two steps are alike: a leap is not its speed.
            step = min(receding, leap)
            self._approaching = away > max(step, 0.0) + CAUGHT
        if len(self._waiting) == BACKLOG:
            self._leave_out()
        self._newest = _Waypoint(position.copy(), step, expires_ns)
        self._waiting.append(self._newest)
        if len(self._waiting) == 1:
            self._aim()

    def advance(self, elapsed: float, now_ns: int) -> FloatArray:
        """Move on by `elapsed` [s] of motion, at `now_ns` [ns], and return the position (n,) [rad]."""
        while self._waiting and self._waiting[0].expires_ns <= now_ns:
            self._leave_out()
        while self._waiting and elapsed >= self._remaining:
            elapsed -= self._remaining
            self.position = self._waiting.popleft().position
            self._aim()
        if self._waiting:
            away = self._waiting[0].position - self.position
            self.position = self.position + away * (elapsed / self._remaining)
            self._remaining -= elapsed
        return self.position

    def _leave_out(self) -> None:
        """Go straight on to the action after the next one, in the time that both ways had."""
        self._waiting.popleft()
        self._remaining += self._period

    def _aim(self) -> None:
        """Set the time that the way to the next action takes."""
        self._remaining = self._period
        if self._approaching and self._waiting:
            goal = self._waiting[0]
            away = _distance(self.position, goal.position)
            closing = min(self._approach_speed, max(away - max(goal.step, 0.0), 0.0) / APPROACH_TIME)
            speed = closing + goal.step / self._period
            # A policy that comes closer by itself is waited for.
            self._remaining = max(self._period, away / speed) if speed > 0.0 else math.inf


def _distance(start: FloatArray, end: FloatArray) -> float:
    """Way of the joint that has the furthest to go [rad]."""
    return float(np.abs(end - start).max())
