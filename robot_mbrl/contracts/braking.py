"""A stop that keeps to acceleration and jerk limits, known in full before it begins.

It stands here, beside the contracts, because drivers, twin, guardian and control loop must brake alike and drivers and
safety may not import each other.

Each joint runs through three phases of constant jerk: the deceleration rises, stays, falls to 0:

    g = -s v₀,  b = s a₀        velocity to be gained and acceleration, in the direction s of the push
    p = min(A, √(J g + b²/2))   peak of the push
    t₁ = (p - b)/J,  t₃ = p/J,  t₂ = (g - (2p² - b²)/(2J))/A where p = A, else 0

From a steady motion, a₀ = 0, that takes |v₀|/A + A/J and half of it times v₀ of way when |v₀| ≥ A²/J, else 2√(|v₀|/J).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

import numpy as np

from robot_mbrl.contracts.types import FloatArray

STRAIGHT = 1e-6
"""The commanded path is straight when its acceleration leaves its direction by less than this share of the limits."""
NEARLY_STRAIGHT = 1e-3
"""A path that is watched from outside may be straight to who plans its stop when it leaves its line by less."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Three phases of constant jerk that end at rest, for one coordinate.

    Attributes:
        velocity: at the start.
        acceleration: at the start.
        jerk: of each phase.
        durations: of each phase [s].
    """

    velocity: float
    acceleration: float
    jerk: tuple[float, float, float]
    durations: tuple[float, float, float]

    @property
    def duration(self) -> float:
        """From the start to rest [s]."""
        return sum(self.durations)

    @property
    def distance(self) -> float:
        """From the start to rest, with its sign."""
        return self.at(math.inf)[0]

    def at(self, time: float) -> tuple[float, float, float]:
        """Way travelled, velocity and acceleration `time` [s] after the start."""
        way, velocity, acceleration = 0.0, self.velocity, self.acceleration
        for jerk, length in zip(self.jerk, self.durations, strict=True):
            t = min(max(time, 0.0), length)
            way += t * (velocity + t * (acceleration / 2 + t * jerk / 6))
            velocity += t * (acceleration + t * jerk / 2)
            acceleration += t * jerk
            time -= length
            if time < 0.0:
                return way, velocity, acceleration
        return way, 0.0, 0.0


def stopping_profile(velocity: float, acceleration: float, acceleration_limit: float, jerk_limit: float) -> Profile:
    """The quickest way from `velocity` and `acceleration` to rest within the limits; see the module for the formulas.

    An acceleration beyond its limit is taken to be at the limit.
    """
    start = min(max(acceleration, -acceleration_limit), acceleration_limit)
    jerk, rise, plateau, fall = _phases(velocity, start, acceleration_limit, jerk_limit)
    return Profile(velocity, start, (jerk, 0.0, -jerk), (rise, plateau, fall))


def stopping_distance(velocity: float, acceleration: float, acceleration_limit: float, jerk_limit: float) -> float:
    """`stopping_profile(...).distance`, at a fraction of the cost: a limiter asks for it several times a tick."""
    start = min(max(acceleration, -acceleration_limit), acceleration_limit)
    jerk, rise, plateau, fall = _phases(velocity, start, acceleration_limit, jerk_limit)
    way = rise * (velocity + rise * (start / 2.0 + rise * jerk / 6.0))
    velocity += rise * (start + rise * jerk / 2.0)
    peak = start + rise * jerk
    way += plateau * (velocity + plateau * peak / 2.0)
    velocity += plateau * peak
    return way + fall * (velocity + fall * (peak / 2.0 - fall * jerk / 6.0))


def foreseen_ways(
    velocity: Sequence[float],
    acceleration: Sequence[float],
    acceleration_limits: Sequence[float],
    jerk_limits: Sequence[float],
) -> list[float]:
    """(n,) how far goals would go that `plan_braking` stopped [rad], in plain numbers, for who looks ahead every tick.

    On a path that may be straight each goes its share of the common way, which is no shorter than its own; no position
    limit is heeded.

    Args:
        velocity: (n,) of the goals [rad/s].
        acceleration: (n,) of the goals [rad/s²]; beyond its limit it counts as the limit.
        acceleration_limits: (n,) [rad/s²], positive.
        jerk_limits: (n,) [rad/s³], positive.
    """
    speed = max(map(abs, velocity))
    line = [joint / speed for joint in velocity] if speed > 0.0 else velocity
    length = sum(map(mul, line, line))
    if length > 0.0:
        along = sum(map(mul, acceleration, line)) / length
        states = list(zip(acceleration, line, acceleration_limits, jerk_limits, strict=True))
        if all(abs(joint - along * share) <= NEARLY_STRAIGHT * limit for joint, share, limit, _ in states):
            limits = [(limit / abs(share), jerk / abs(share)) for _, share, limit, jerk in states if share]
            common = stopping_distance(speed, along, min(limits)[0], min(jerk for _, jerk in limits))
            return [share * common for share in line]
    return list(map(stopping_distance, velocity, acceleration, acceleration_limits, jerk_limits))


def steady_stopping_distance(velocity: float, acceleration_limit: float, jerk_limit: float) -> float:
    """`stopping_distance` from a steady motion, by the last line of the module's formulas."""
    speed = abs(velocity)
    if speed * jerk_limit >= acceleration_limit * acceleration_limit:
        return 0.5 * velocity * (speed / acceleration_limit + acceleration_limit / jerk_limit)
    return velocity * math.sqrt(speed / jerk_limit)


def _phases(velocity: float, start: float, limit: float, jerk: float) -> tuple[float, float, float, float]:
    """Jerk of the first phase, with its sign, and the duration of each."""
    # Velocity that would remain if the acceleration did nothing but fall to 0: it tells which way to push.
    remaining = velocity + start * abs(start) / (2.0 * jerk)
    direction = -1.0 if remaining >= 0.0 else 1.0
    gain, initial = -direction * velocity, direction * start
    peak = min(limit, math.sqrt(max(jerk * gain + initial**2 / 2.0, 0.0)))
    plateau = (gain - (2.0 * limit**2 - initial**2) / (2.0 * jerk)) / limit if peak == limit else 0.0
    return direction * jerk, max((peak - initial) / jerk, 0.0), max(plateau, 0.0), peak / jerk


@dataclass(frozen=True, slots=True)
class BrakingPlan:
    """How n joints come to rest.

    Attributes:
        position: (n,) goals at the start [rad].
        direction: (n,) what each joint's profile is multiplied by.
        profiles: one for each joint [rad, s], or on a straight path n times that of the fastest.
        position_limits: (n, 2) [rad]; a joint whose way would lead past its limit ends there.
        duration: until the last joint is at rest [s].
    """

    position: FloatArray
    direction: FloatArray
    profiles: tuple[Profile, ...]
    position_limits: FloatArray
    duration: float

    @property
    def distance(self) -> FloatArray:
        """(n,) from the start to rest [rad], with its sign."""
        return self.sample(self.duration) - self.position

    def sample(self, time: float) -> FloatArray:
        """(n,) goals `time` [s] after the start [rad]; at rest from `duration` on."""
        way = np.array([profile.at(time)[0] for profile in self.profiles])
        goal: FloatArray = self.position + self.direction * way
        return goal.clip(self.position_limits[:, 0], self.position_limits[:, 1])


def plan_braking(
    position: FloatArray,
    velocity: FloatArray,
    acceleration: FloatArray,
    *,
    position_limits: FloatArray,
    acceleration_limits: FloatArray,
    jerk_limits: FloatArray,
) -> BrakingPlan:
    """Plan the stop from a commanded motion.

    On a straight path (the acceleration along the velocity, as when there is none) all joints share one profile, so
    that the stop stays on that line. On a curved one each joint stops as soon as it can; so it does where the line
    would lead one past its position limit, since slower joints go further on the line than by themselves, and the limit
    would end that at once.

    The laws, per joint and as long as no position limit cuts the way short: |acceleration| and |jerk| stay within
    their limits, and the speed never exceeds |v₀| + a₀²/(2J), which is what letting go of a₀ within the jerk limit
    costs; from a steady motion (a₀ = 0) it never grows and the joint never turns back.

    Args:
        position: (n,) last commanded goals [rad].
        velocity: (n,) of the goals [rad/s].
        acceleration: (n,) of the goals [rad/s²]; beyond its limit it counts as the limit.
        position_limits: (n, 2) [rad].
        acceleration_limits: (n,) [rad/s²], positive.
        jerk_limits: (n,) [rad/s³], positive.
    """
    speed = float(np.abs(velocity).max())
    line = velocity / speed if speed > 0.0 else np.zeros_like(velocity)
    along = float(acceleration @ line / (line @ line)) if speed > 0.0 else 0.0
    aside = np.abs(acceleration - along * line)
    shared = _shared_profile(speed, along, np.abs(line), acceleration_limits, jerk_limits)
    end = position + line * shared.distance
    fits = (position_limits[:, 0] <= end) & (end <= position_limits[:, 1])
    if (aside <= STRAIGHT * acceleration_limits).all() and (fits | (line == 0.0)).all():
        profiles, direction = (shared,) * len(position), line
    else:
        states = zip(*(a.tolist() for a in (velocity, acceleration, acceleration_limits, jerk_limits)), strict=True)
        profiles, direction = tuple(stopping_profile(*state) for state in states), np.ones_like(position)
    duration = max(profile.duration for profile in profiles)
    return BrakingPlan(position.copy(), direction.copy(), profiles, position_limits, duration)


def _shared_profile(
    speed: float, acceleration: float, shares: FloatArray, acceleration_limits: FloatArray, jerk_limits: FloatArray
) -> Profile:
    """The profile of the fastest joint, of which each takes its share (n,), that asks none for more than its limits."""
    moving = shares > STRAIGHT
    if not moving.any():
        return Profile(0.0, 0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    share = shares[moving]
    limits = float((acceleration_limits[moving] / share).min()), float((jerk_limits[moving] / share).min())
    return stopping_profile(speed, acceleration, *limits)
