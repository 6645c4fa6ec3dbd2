"""What a command must satisfy before it may reach servos or the twin, and the path of a controlled stop."""

import math
from collections.abc import Iterator

import numpy as np

from robot_mbrl.contracts.braking import BrakingPlan, plan_braking
from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.errors import LimitViolation, NonFiniteCommand
from robot_mbrl.contracts.types import FloatArray, JointCommand
from robot_mbrl.drivers.arms.definition import ArmDefinition
from robot_mbrl.drivers.arms.joint_map import RAD_PER_TICK

BRAKING_TIMESTEP = 0.005
"""Between the goals of a controlled stop [s]: 200 Hz, what either bus carries at 1 Mbps with room to spare."""


def check_command(arm: ArmDefinition, command: JointCommand) -> None:
    """Refuse a command that is not finite, of the wrong shape, or outside the position limits.

    A position may lie half a tick beyond its limit: it is rounded to the limit's own tick.

    Raises:
        NonFiniteCommand: a goal is NaN or infinite; checked first, because NaN passes every comparison.
        LimitViolation: wrong shape, or a goal outside its joint's limits.
    """
    position = command.position
    if position.shape != (len(arm.joints),):
        raise LimitViolation(
            f"{arm.name}: a command of shape {position.shape} was given: "
            f"give ({len(arm.joints)},), one goal for each of {', '.join(arm.joint_names)}"
        )
    for joint, goal in zip(arm.joints, position.tolist(), strict=True):
        if not np.isfinite(goal):
            raise NonFiniteCommand(f"{joint.name}: goal {goal} rad is not finite: the command was not sent")
    for joint, goal in zip(arm.joints, position.tolist(), strict=True):
        low, high = joint.position_limits
        if not low - RAD_PER_TICK / 2 <= goal <= high + RAD_PER_TICK / 2:
            raise LimitViolation(
                f"{joint.name}: goal {goal:.5f} rad lies outside {low}..{high} rad: the command was not sent"
            )


class CommandedPath:
    """The goals that were sent, as far as a controlled stop needs them: the last one and how fast they moved."""

    def __init__(self, arm: ArmDefinition) -> None:
        """Start at rest with all goals 0, for `seed` to replace."""
        self._limits = np.array([joint.position_limits for joint in arm.joints])
        self._velocity_limit = np.array([joint.velocity_limit for joint in arm.joints])
        self._acceleration_limit = np.array([joint.acceleration_limit for joint in arm.joints])
        self._jerk_limit = np.array([joint.jerk_limit for joint in arm.joints])
        self.goal = np.zeros(len(arm.joints))
        """(n,) the last goal [rad]."""
        self._velocity = np.zeros(len(arm.joints))
        self._stamp_ns = 0
        self._interval_ns = 0

    def seed(self, goal: FloatArray, now_ns: int) -> None:
        """The arm rests at `goal` [rad] since `now_ns` [ns]."""
        self.goal = np.array(goal, dtype=np.float64)
        self._velocity = np.zeros_like(self.goal)
        self._stamp_ns, self._interval_ns = now_ns, 0

    def advance(self, goal: FloatArray, now_ns: int) -> None:
        """`goal` [rad] was sent at `now_ns` [ns]."""
        self._interval_ns = now_ns - self._stamp_ns
        velocity = (goal - self.goal) * (NANOSECONDS / max(self._interval_ns, 1))
        self._velocity = np.clip(velocity, -self._velocity_limit, self._velocity_limit)
        self.goal = np.array(goal, dtype=np.float64)
        self._stamp_ns = now_ns

    def plan(self, now_ns: int) -> BrakingPlan:
        """The controlled stop from `now_ns` [ns] on.

        Whoever sends goals directly may send them at any times, so that their second difference is noise: the motion
        counts as a steady one.
        """
        # A command older than two of its intervals has been reached: the arm rests at its goal.
        moving = now_ns - self._stamp_ns <= 2 * self._interval_ns
        return plan_braking(
            self.goal,
            self._velocity if moving else np.zeros_like(self._velocity),
            np.zeros_like(self._velocity),
            position_limits=self._limits,
            acceleration_limits=self._acceleration_limit,
            jerk_limits=self._jerk_limit,
        )

    def braking(self, now_ns: int) -> Iterator[FloatArray]:
        """Goals (n,) [rad], `BRAKING_TIMESTEP` apart, that end the motion from `now_ns` [ns] on; at least one."""
        plan = self.plan(now_ns)
        for step in range(1, max(1, math.ceil(plan.duration / BRAKING_TIMESTEP)) + 1):
            yield plan.sample(step * BRAKING_TIMESTEP)
