"""The internal set point of a position servo: a goal is approached on a trapezoid of velocity."""

import math
from collections import deque

UNLIMITED = math.inf


class TrapezoidProfile:
    """Set point that follows a goal under a velocity and an acceleration limit.

    Every period the velocity is steered towards the fastest one from which the set point can still stop at the goal,
    `sqrt(2 a |goal - position|)`, so a goal that changes on the way is taken up without a jump.
    Unit of length: encoder ticks.

    Attributes:
        position: the set point [ticks].
        velocity: its rate [ticks/s].
        goal: where it goes [ticks].
        delay: periods between `aim` and its effect.
        velocity_limit: [ticks/s], infinite for none.
        acceleration_limit: [ticks/s²], infinite for none.
    """

    __slots__ = (
        "_dt", "_period", "_waiting", "acceleration_limit", "delay", "goal", "position", "velocity", "velocity_limit",
    )  # fmt: skip

    def __init__(self, dt: float, position: float = 0.0) -> None:
        self._dt = dt
        self._period = 0
        self._waiting: deque[tuple[int, float]] = deque()
        self.delay = 0
        self.velocity_limit = UNLIMITED
        self.acceleration_limit = UNLIMITED
        self.hold(position)

    def hold(self, position: float) -> None:
        """Rest at `position` [ticks] and forget the goals under way."""
        self._waiting.clear()
        self.position = position
        self.goal = position
        self.velocity = 0.0

    def aim(self, goal: float) -> None:
        """Go to `goal` [ticks], `delay` periods from now."""
        if self.delay:
            self._waiting.append((self._period + self.delay, goal))
        else:
            self.goal = goal

    @property
    def last_goal(self) -> float:
        """The goal that was aimed at last, in effect or not [ticks]."""
        return self._waiting[-1][1] if self._waiting else self.goal

    @property
    def moving(self) -> bool:
        """Whether the set point is still on its way."""
        return self.position != self.goal or bool(self._waiting)

    def step(self) -> None:
        """Advance by one period."""
        if self.delay:
            self._period += 1
            while self._waiting and self._waiting[0][0] < self._period:
                self.goal = self._waiting.popleft()[1]
        remaining = self.goal - self.position
        if remaining == 0.0 and self.velocity == 0.0:
            return
        dt = self._dt
        acceleration = self.acceleration_limit
        speed = self.velocity_limit
        if acceleration != UNLIMITED:
            # Half a period of braking is already spent when the velocity takes effect.
            half = 0.5 * acceleration * dt
            speed = min(speed, math.sqrt(half * half + 2.0 * acceleration * abs(remaining)) - half)
        wanted = math.copysign(speed, remaining)
        change = acceleration * dt
        velocity = self.velocity
        velocity = wanted if abs(wanted - velocity) <= change else velocity + math.copysign(change, wanted - velocity)
        travel = velocity * dt
        if abs(remaining) <= abs(travel) and travel * remaining >= 0.0 and abs(velocity) <= max(change, speed):
            self.position = self.goal
            self.velocity = 0.0
            return
        self.velocity = velocity
        self.position += travel
