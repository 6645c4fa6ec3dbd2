"""What a command must satisfy before it may reach servos or the twin, and the path of a controlled stop."""

from collections.abc import Iterator

import numpy as np

from robot_mbrl.contracts.errors import LimitViolation, NonFiniteCommand
from robot_mbrl.contracts.types import FloatArray, JointCommand
from robot_mbrl.drivers.arms.definition import ArmDefinition
from robot_mbrl.drivers.arms.joint_map import RAD_PER_TICK


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
