"""Keeps the goals of one joint within velocity, acceleration, jerk and position limits, tick by tick."""

import math

from robot_mbrl.contracts.braking import stopping_distance

SETTLING_DECAY = math.exp(-1 / 2)
"""What is left of a small distance to the target after a tick: a time constant of two ticks."""
APPROACH_ITERATIONS = 4
"""Of false position, from a bracket that the jerk limit keeps small."""

ROUNDING = 1e-9
"""By which the end of a stop may lie beyond a position limit [rad], so that rounding keeps no joint from its limit."""


class GoalLimiter:
    """Follows a target as closely as the limits allow.

    Velocity, acceleration and jerk are the first, second and third difference of the goals over the tick h:

        v = (q - q₋₁)/h,  a = (v - v₋₁)/h,  j = (a - a₋₁)/h

    A target that keeps to the limits is handed through unchanged, to the last bit. One that does not is approached
    along the quickest braking curve, and caught. From each goal the joint can still stop before its position limits,
    and let go of its acceleration before its velocity limit; where a target could not, it is not followed.
    """

    def __init__(
        self, position_limits: tuple[float, float], velocity: float, acceleration: float, jerk: float, period: float
    ) -> None:
        """Limits in rad, rad/s, rad/s², rad/s³; `period` of a tick in s."""
        self._low, self._high = position_limits
        self._velocity_limit, self._acceleration_limit, self._jerk_limit = velocity, acceleration, jerk
        self._period = period
        self.goal = 0.0
        """The last goal [rad]."""
        self.velocity = 0.0
        """Of the goals over the last tick [rad/s]."""
        self.acceleration = 0.0
        """Of the goals over the last two ticks [rad/s²]."""
        self._on_target = True

    def seed(self, goal: float) -> None:
        """The joint rests at `goal` [rad]."""
        self.goal, self.velocity, self.acceleration, self._on_target = goal, 0.0, 0.0, True

    def observe(self, goal: float) -> None:
        """`goal` [rad] was commanded this tick by somebody who keeps to the limits, such as a braking plan."""
        velocity = (goal - self.goal) / self._period
        self.goal, self.velocity, self.acceleration = goal, velocity, (velocity - self.velocity) / self._period

    def follow(self, target: float, target_velocity: float) -> float:
        """The next goal towards `target` [rad], which moves at `target_velocity` [rad/s]."""
        velocity = (target - self.goal) / self._period
        acceleration = (velocity - self.velocity) / self._period
        if (
            self._may_have(acceleration)
            and (self._on_target or self._can_stay(velocity, acceleration, target_velocity))
            # The velocity at the tick's end: the mean over the tick, carried on by half a tick.
            and self._can_stop(target, velocity + acceleration * self._period / 2, acceleration)
        ):
            self.goal, self.velocity, self.acceleration, self._on_target = target, velocity, acceleration, True
            return target
        self._on_target = False
        settling = self._settle(target, target_velocity)
        acceleration = self._approach(target, target_velocity) if settling is None else settling
        velocity = self.velocity + acceleration * self._period
        if not self._can_stop(self.goal + velocity * self._period, velocity, acceleration):
            acceleration = self._acceleration_towards(0.0)
            velocity = self.velocity + acceleration * self._period
        goal = min(max(self.goal + velocity * self._period, self._low), self._high)
        self.goal, self.velocity, self.acceleration = goal, velocity, acceleration
        return goal

    def _may_have(self, acceleration: float) -> bool:
        """Whether this tick's acceleration keeps to the limits, also of the velocity that it will end in."""
        return (
            self._acceleration_towards(-self._velocity_limit)
            <= acceleration
            <= self._acceleration_towards(self._velocity_limit)
        )

    def _can_stay(self, velocity: float, acceleration: float, target_velocity: float) -> bool:
        """Whether a joint that jumps to its target can move along with it in the next two ticks."""
        change, step = (target_velocity - velocity) / self._period, self._jerk_limit * self._period
        return abs(change) <= step and abs(change - acceleration) <= step

    def _can_stop(self, goal: float, velocity: float, acceleration: float) -> bool:
        way = stopping_distance(velocity, acceleration, self._acceleration_limit, self._jerk_limit)
        low, high = self._low - ROUNDING, self._high + ROUNDING
        return self._low <= goal <= self._high and low <= goal + way <= high

    def _settle(self, target: float, target_velocity: float) -> float | None:
        """The acceleration of this tick that lets a small distance e to the target fade, if limits leave room for it.

        All three poles at p: (1 - p z⁻¹)³ e = 0, which with d = 1 - p and differences for derivatives is

            a = p³ a₋₁ - d³ e₋₁/h² - (d³ + 3 d² p) (v₋₁ - w)/h
        """
        p, h = SETTLING_DECAY, self._period
        d = 1.0 - p
        distance = self.goal - target + target_velocity * h
        relative = self.velocity - target_velocity
        wanted = p**3 * self.acceleration - d**3 * distance / h**2 - (d**3 + 3.0 * d**2 * p) * relative / h
        ahead = math.copysign(1.0, target - self.goal)
        if self._may_have(wanted) and ahead * self._excess(wanted, target, target_velocity) <= ROUNDING:
            return wanted
        return None

    def _approach(self, target: float, target_velocity: float) -> float:
        """The acceleration of this tick from which the quickest braking, seen from the target, ends at the target.

        `_excess` rises with the acceleration: its root is found by false position, between what limits allow.
        """
        low = self._acceleration_towards(-self._velocity_limit)
        high = self._acceleration_towards(self._velocity_limit)
        below, above = self._excess(low, target, target_velocity), self._excess(high, target, target_velocity)
        if below >= 0.0:
            return low
        if above <= 0.0:
            return high
        for _ in range(APPROACH_ITERATIONS):
            middle = high - above * (high - low) / (above - below)
            excess = self._excess(middle, target, target_velocity)
            if excess > 0.0:
                high, above = middle, excess
            else:
                low, below = middle, excess
        return low if target > self.goal else high

    def _excess(self, acceleration: float, target: float, target_velocity: float) -> float:
        """How far past `target` [rad] the joint would come to rest, seen from it, after a tick at `acceleration`."""
        velocity = self.velocity + acceleration * self._period
        relative = velocity - target_velocity
        way = stopping_distance(relative, acceleration, self._acceleration_limit, self._jerk_limit)
        return self.goal + velocity * self._period + way - target

    def _acceleration_towards(self, velocity: float) -> float:
        """The acceleration of this tick that brings the joint to `velocity` soonest, and is 0 there.

        After a tick at a, letting go of it takes the velocity on by ah/2 + a²/(2J), whoever brakes from there on:

            3/2 a h + a²/(2J) = c,  c the change that is wanted
        """
        step = self._jerk_limit * self._period
        change = velocity - self.velocity
        fading = math.sqrt(2.25 * step**2 + 2.0 * self._jerk_limit * abs(change)) - 1.5 * step
        wanted = math.copysign(min(fading, self._acceleration_limit), change)
        return min(max(wanted, self.acceleration - step), self.acceleration + step)
