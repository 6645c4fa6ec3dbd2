"""Move one joint on a slow path while all others hold."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS, Clock, Ticker
from robot_mbrl.contracts.errors import ConfigError, LimitViolation, RobotMbrlError
from robot_mbrl.contracts.robot import Robot
from robot_mbrl.contracts.types import FloatArray, JointCommand
from robot_mbrl.drivers.arms import ArmDefinition

PERIOD: Final = 0.01
"""Between two goals [s]."""
LIMIT_SLACK: Final = 0.05
"""A resting joint may lie so far outside its limits [rad], is brought back at once by a move; farther is refused."""
SETTLED_SPEED: Final = 0.02
"""Slower than this [rad/s], a joint counts as at rest."""
SETTLE_TIME: Final = 1.5
"""How long the joint may take to come to rest after its last goal [s]."""


class HeldRobot(Robot, Protocol):
    """A robot that tells which goals its servos hold."""

    @property
    def goal_position(self) -> FloatArray:
        """(n,) [rad]."""
        ...


@dataclass(frozen=True, slots=True)
class MoveReport:
    """How a move ended.

    Attributes:
        start: position of the joint before it [rad].
        end: and after it [rad].
        goal: where it was sent [rad].
        duration: from the first goal to rest [s].
        settled: whether the joint came to rest.
    """

    start: float
    end: float
    goal: float
    duration: float
    settled: bool


def plan_move(arm: ArmDefinition, held: FloatArray, joint: str, goal: float, speed: float) -> Iterator[FloatArray]:
    """Goals of all joints, `PERIOD` apart: `s(t) = (1 - cos(π t / T)) / 2` of the way, `T` so that the peak is `speed`.

    Args:
        arm: names and limits.
        held: (n,) goals that the servos hold [rad].
        joint: which one moves.
        goal: where to [rad].
        speed: highest speed of any joint on the way [rad/s].

    Yields:
        (n,) goals [rad]; the last one is the end.

    Raises:
        ConfigError: the arm has no such joint, or the speed is not a positive number.
        LimitViolation: goal or speed outside the joint's limits, or a joint lies too far outside its own.
    """
    if joint not in arm.joint_names:
        raise ConfigError(f"{arm.name} has no joint {joint!r}: give one of {', '.join(arm.joint_names)}")
    index = arm.joint_names.index(joint)
    definition = arm.joints[index]
    low, high = definition.position_limits
    if not low <= goal <= high:
        raise LimitViolation(f"{joint}: goal {goal} rad lies outside {low}..{high} rad: give one inside")
    if not speed > 0.0:
        raise ConfigError(f"speed {speed} rad/s: give a positive number")
    if speed > definition.velocity_limit:
        raise LimitViolation(f"{joint}: speed {speed} rad/s is above its limit {definition.velocity_limit} rad/s")
    end = _inside_limits(arm, held)
    end[index] = goal
    return _eased(held, end, speed)


def _inside_limits(arm: ArmDefinition, held: FloatArray) -> FloatArray:
    limits = np.array([joint.position_limits for joint in arm.joints])
    inside = np.clip(held, limits[:, 0], limits[:, 1])
    for joint, position, nearest in zip(arm.joints, held.tolist(), inside.tolist(), strict=True):
        if abs(position - nearest) > LIMIT_SLACK:
            raise LimitViolation(
                f"{joint.name}: is at {position:.3f} rad, outside its limits {joint.position_limits[0]}.."
                f"{joint.position_limits[1]} rad: switch the torque off and put it inside by hand"
            )
    return inside


def _eased(start: FloatArray, end: FloatArray, speed: float) -> Iterator[FloatArray]:
    duration = 0.5 * math.pi * float(np.max(np.abs(end - start))) / speed
    steps = max(1, math.ceil(duration / PERIOD))
    for step in range(1, steps + 1):
        yield start + (end - start) * 0.5 * (1.0 - math.cos(math.pi * step / steps))


def move_joint(
    robot: HeldRobot,
    arm: ArmDefinition,
    joint: str,
    goal: float,
    speed: float,
    clock: Clock,
    progress: Callable[[float], None] = lambda _: None,
) -> MoveReport:
    """Move `joint` to `goal` [rad] at up to `speed` [rad/s]. Robot connected, torque on; both stay so.

    Whatever goes wrong on the way, Ctrl-C included, stops the arm (ramp, then hold) before it is raised.

    Raises:
        ConfigError, LimitViolation: see `plan_move`; nothing was sent.
        BusError, ServoFault: the arm failed on the way.
    """
    path = plan_move(arm, robot.goal_position, joint, goal, speed)
    index = arm.joint_names.index(joint)
    start_ns = clock.now_ns()
    start = float(robot.read().position[index])
    ticker = Ticker(PERIOD, clock)
    try:
        # The first goals may lie outside the limits by the slack that a resting joint is allowed.
        limits = np.array([entry.position_limits for entry in arm.joints])
        for goals in path:
            ticker.wait()
            progress(float(robot.read().position[index]))
            robot.write(JointCommand(np.clip(goals, limits[:, 0], limits[:, 1])))
        end, settled = _settle(robot, index, ticker, clock)
    except BaseException:
        _stop(robot)
        raise
    return MoveReport(start, end, goal, (clock.now_ns() - start_ns) / NANOSECONDS, settled)


def _settle(robot: HeldRobot, index: int, ticker: Ticker, clock: Clock) -> tuple[float, bool]:
    """Read until the joint rests; its position and whether it does."""
    deadline = clock.now_ns() + int(SETTLE_TIME * NANOSECONDS)
    quiet = 0
    while True:
        ticker.wait()
        state = robot.read()
        quiet = quiet + 1 if abs(float(state.velocity[index])) < SETTLED_SPEED else 0
        if quiet * PERIOD >= 0.1 or clock.now_ns() > deadline:
            return float(state.position[index]), quiet > 0


def _stop(robot: HeldRobot) -> None:
    """Stop after an error. When the bus itself is gone that fails too, and the first error is the one to report."""
    try:
        robot.stop()
    except RobotMbrlError:
        return
