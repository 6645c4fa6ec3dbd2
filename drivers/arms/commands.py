"""What a command must satisfy before it may reach servos or the twin, and the path of a controlled stop."""

from collections.abc import Iterator

import numpy as np

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


def braking_path(
    position: FloatArray, velocity: FloatArray, acceleration: FloatArray, limits: FloatArray, timestep: float
) -> Iterator[FloatArray]:
    """Goals that decelerate each joint along its commanded path: `q + v t - sign(v) a t² / 2` until v is 0.

    Args:
        position: (n,) last commanded goals [rad].
        velocity: (n,) commanded velocity at that moment [rad/s].
        acceleration: (n,) deceleration to use [rad/s²], positive.
        limits: (n, 2) position limits [rad]; the path ends at a limit rather than pass it.
        timestep: between goals [s].

    Yields:
        (n,) goals, the last one at rest. At least one.
    """
    duration = np.abs(velocity) / acceleration
    steps = max(1, int(np.ceil(duration.max() / timestep)))
    for step in range(1, steps + 1):
        time = np.minimum(step * timestep, duration)
        goal = position + velocity * time - 0.5 * np.sign(velocity) * acceleration * time**2
        yield np.clip(goal, limits[:, 0], limits[:, 1])


class CommandedPath:
    """The goals that were sent, as far as a controlled stop needs them: the last one and how fast they moved."""

    def __init__(self, arm: ArmDefinition) -> None:
        """Start at rest with all goals 0, for `seed` to replace."""
        self._limits = np.array([joint.position_limits for joint in arm.joints])
        self._velocity_limit = np.array([joint.velocity_limit for joint in arm.joints])
        self._acceleration = np.array([joint.acceleration_limit for joint in arm.joints])
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

    def braking(self, now_ns: int) -> Iterator[FloatArray]:
        """Goals, `BRAKING_TIMESTEP` apart, that end the motion from `now_ns` [ns] on; at least one."""
        # A command older than two of its intervals has been reached: the arm rests at its goal.
        moving = now_ns - self._stamp_ns <= 2 * self._interval_ns
        velocity = self._velocity if moving else np.zeros_like(self._velocity)
        return braking_path(self.goal, velocity, self._acceleration, self._limits, BRAKING_TIMESTEP)
