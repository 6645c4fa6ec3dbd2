"""From a policy's actions to the goal of each tick: interpolated, slowed, limited, and never with a jump."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from robot_mbrl.contracts.braking import BrakingPlan, plan_braking
from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.runtime.action_path import ActionPath
from robot_mbrl.runtime.goal_limiter import ROUNDING, GoalLimiter
from robot_mbrl.runtime.point_to_point import PointToPoint
from robot_mbrl.safety.frame_view import LONGEST_STEP_NS
from robot_mbrl.safety.state_machine import Drive

APPROACH_SPEED = 0.5
"""Of the fastest joint on the way to a policy's first action after a start or a hold [rad/s]."""
PARK_SPEED = 0.5
"""Of the fastest joint on the way to the park pose [rad/s]."""
ACTIONS_BEHIND = 2.0
"""Action periods that the motion may be behind without catching up: one being executed, and one that came early."""
LONGEST_STEP = LONGEST_STEP_NS / NANOSECONDS
"""Of a stop between two goals, however late the second one is [s]: the monitor allows no longer step of a command."""
CATCH_UP = 1.25
"""Pace at which a motion that fell behind catches up, once nothing slows it any more."""


@dataclass(frozen=True, slots=True)
class MotionLimits:
    """What the goals of n joints keep to.

    Attributes:
        position: (n, 2) [rad].
        velocity: (n,) [rad/s].
        acceleration: (n,) [rad/s²].
        jerk: (n,) [rad/s³].
    """

    position: FloatArray
    velocity: FloatArray
    acceleration: FloatArray
    jerk: FloatArray

    @classmethod
    def of(cls, arm: ArmDefinition) -> Self:
        """The limits of `arm`."""
        return cls(
            position=np.array([joint.position_limits for joint in arm.joints]),
            velocity=np.array([joint.velocity_limit for joint in arm.joints]),
            acceleration=np.array([joint.acceleration_limit for joint in arm.joints]),
            jerk=np.array([joint.jerk_limit for joint in arm.joints]),
        )


class Motion:
    """The goals, tick by tick. One tick is `propose`, then the monitor's verdict, then `execute`.

    Whatever the arm is to do, its next goal continues the goals before it: within velocity, acceleration, jerk and
    position limits, from the last *commanded* goal, never from the measured position.

    A stop keeps to time, and not to ticks: where ticks were late or brought no goal, it goes on for the periods that
    have passed, up to `LONGEST_STEP`, from the velocity that the goals really had. A motion that follows loses that
    time.
    """

    def __init__(
        self,
        limits: MotionLimits,
        park_position: FloatArray,
        *,
        period: float,
        action_period: float,
        approach_speed: float = APPROACH_SPEED,
        park_speed: float = PARK_SPEED,
    ) -> None:
        """At rest with all goals 0, for `seed` to replace.

        Args:
            limits: of the joints.
            park_position: (n,) [rad].
            period: of a tick [s].
            action_period: of the policy [s].
            approach_speed: of the fastest joint towards the first action after a start or a hold [rad/s].
            park_speed: of the fastest joint towards the park pose [rad/s].
        """
        n = len(park_position)
        self._limits, self._park_position, self._park_speed = limits, park_position.copy(), park_speed
        self._period = period
        self._most_periods = max(1, int(LONGEST_STEP / period * (1.0 + ROUNDING)))
        self._last_periods = 1
        rows = zip(
            *(a.tolist() for a in (limits.position, limits.velocity, limits.acceleration, limits.jerk)), strict=True
        )
        self._joints = [GoalLimiter((low, high), v, a, j, period) for (low, high), v, a, j in rows]
        self._path = ActionPath(n, action_period, approach_speed)
        # A pace that changes this fast changes the velocity of no joint by more than half its acceleration limit.
        self._pace_change = float((limits.acceleration / limits.velocity).min()) / 2 * period
        self._pace = self._speed_scale = 1.0
        self._may_be_behind = ACTIONS_BEHIND * action_period
        self._drive = Drive.NOTHING
        self._target = np.zeros(n)
        self._park: PointToPoint | None = None
        self._park_time = self._braking_time = 0.0
        self.plan: BrakingPlan | None = None
        """The stop that is being driven or was driven last; None while the arm follows."""
        self.requested = np.zeros(n)
        """(n,) where the drive asks the arm to be this tick [rad]."""
        self.executed = np.zeros(n)
        """(n,) the goal of this tick [rad]: the last one commanded."""

    @property
    def at_rest(self) -> bool:
        """Whether the goals have come to rest by braking, and nothing has been set out for since."""
        return self._park is None and self.plan is not None and self._braking_time >= self.plan.duration

    @property
    def parked(self) -> bool:
        """Whether the goals have come to rest at the park pose."""
        return self._park is not None and self._park_time >= self._park.duration

    def expired(self, now_ns: int) -> bool:
        """Whether the newest action has expired at `now_ns` [ns], or there has been none."""
        return now_ns >= self._path.expires_ns

    def seed(self, goal: FloatArray) -> None:
        """The arm rests at `goal` (n,) [rad], the goal that the servos hold. Actions are forgotten."""
        self.executed, self.requested = goal.copy(), goal.copy()
        for joint, position in zip(self._joints, goal.tolist(), strict=True):
            joint.seed(position)
        self._path.forget()
        self._enter(Drive.NOTHING)

    def accept(self, position: FloatArray, expires_ns: int) -> None:
        """Take a policy's action: `position` (n,) [rad], not to be executed after `expires_ns` [ns]."""
        self._path.append(position, expires_ns)

    def propose(self, drive: Drive, now_ns: int, periods: int = 1) -> FloatArray:
        """Where `drive` asks the arm to be this tick, at the pace of the verdicts so far: (n,) [rad].

        Args:
            drive: what the state asks for.
            now_ns: when the tick began [ns].
            periods: since the last goal, at least 1.
        """
        self._enter(drive)
        self._change_pace()
        if drive is Drive.NOTHING:
            self.requested = self.executed.copy()
        elif self._park is not None:
            self.requested = self._park.sample(self._park_time + self._pace * self._period)
        elif self.plan is not None:
            self.requested = self.plan.sample(self._braking_time + self._braked(periods) * self._period)
        else:
            self.requested = self._path.advance(self._pace * self._period, now_ns).copy()
        return self.requested

    def execute(self, drive: Drive, speed_scale: float = 1.0, periods: int = 1) -> FloatArray:
        """This tick's goal (n,) [rad] under the verdict: `drive` may have become another since `propose`.

        Args:
            drive: what the state allows after the verdict.
            speed_scale: 0..1, the pace that the verdict asks for from now on.
            periods: since the last goal, at least 1.
        """
        self._speed_scale = speed_scale
        self._enter(drive)
        if self._park is not None:
            self._park_time += self._pace * self._period
            self._follow(self._park.sample(self._park_time))
        elif self.plan is not None:
            self._brake(self.plan, self._braked(periods))
        elif drive is not Drive.NOTHING:
            self._follow(self.requested)
        # A stop goes by time: its velocity is known as it is.
        self._last_periods = 1 if self.plan is not None and self._park is None else periods
        return self.executed

    def _enter(self, drive: Drive) -> None:
        """Whatever is new begins by coming to rest; a stop that is being driven is driven to its end."""
        if drive is self._drive:
            return
        self._drive = drive
        if drive is Drive.NOTHING:
            self._park = self.plan = None
        elif self.plan is None or self._park is not None:
            self._park, self.plan, self._braking_time = None, self._plan_braking(), 0.0

    def _braked(self, periods: int) -> int:
        """Periods that braking goes on for with this goal; on the way to another motion there is no hurry."""
        return min(periods, self._most_periods) if self._drive is Drive.HOLD else 1

    def _brake(self, plan: BrakingPlan, periods: int) -> None:
        for _ in range(periods):
            self._braking_time = min(self._braking_time + self._period, plan.duration)
            self.executed = plan.sample(self._braking_time)
            for joint, goal in zip(self._joints, self.executed.tolist(), strict=True):
                joint.observe(goal)
            if self.at_rest:
                break
        if self.at_rest and self._drive in {Drive.FOLLOW, Drive.PARK}:
            self._begin()

    def _begin(self) -> None:
        """Set out from rest."""
        self._target = self.executed
        if self._drive is Drive.FOLLOW:
            self.plan, self._pace = None, 0.0
            self._path.start(self.executed)
        else:
            self._park_time = 0.0
            self._park = PointToPoint(
                self.executed, self._park_position, self._park_speed, self._limits.acceleration, self._limits.jerk
            )

    def _follow(self, target: FloatArray) -> None:
        goals = [
            joint.follow(goal, (goal - last) / self._period)
            for joint, goal, last in zip(self._joints, target.tolist(), self._target.tolist(), strict=True)
        ]
        self._target, self.executed = target, np.array(goals)

    def _change_pace(self) -> None:
        """Let the pace near what the verdict asks for, or a little more while actions wait that nothing slows."""
        behind = self._drive is Drive.FOLLOW and self._path.behind > self._may_be_behind and self._speed_scale >= 1.0
        away = (CATCH_UP if behind else self._speed_scale) - self._pace
        self._pace += min(max(away, -self._pace_change), self._pace_change)

    def _plan_braking(self) -> BrakingPlan:
        """The stop from the motion that was commanded last."""
        # Goals that came every so many periods were as much slower than their steps say.
        slower = 1.0 / self._last_periods
        velocity = slower * np.array([joint.velocity for joint in self._joints])
        acceleration = slower**2 * np.array([joint.acceleration for joint in self._joints])
        return plan_braking(
            self.executed,
            # The mean over the last tick, brought forward to its end.
            velocity + acceleration * self._last_periods * self._period / 2,
            acceleration,
            position_limits=self._limits.position,
            acceleration_limits=self._limits.acceleration,
            jerk_limits=self._limits.jerk,
        )
