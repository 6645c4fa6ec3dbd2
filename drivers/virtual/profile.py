"""The internal set point of a position servo: a goal is approached on a trapezoid of velocity."""

import math

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
        velocity_limit: [ticks/s], infinite for none.
        acceleration_limit: [ticks/s²], infinite for none.
    """

    __slots__ = ("_dt", "acceleration_limit", "goal", "position", "velocity", "velocity_limit")

    def __init__(self, dt: float, position: float = 0.0) -> None:
        self._dt = dt
        self.velocity_limit = UNLIMITED
        self.acceleration_limit = UNLIMITED
        self.hold(position)

    def hold(self, position: float) -> None:
        """Rest at `position` [ticks]."""
        self.position = position
        self.goal = position
        self.velocity = 0.0

    @property
    def moving(self) -> bool:
        """Whether the set point is still on its way."""
        return self.position != self.goal

    def step(self) -> None:
        """Advance by one period."""
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
