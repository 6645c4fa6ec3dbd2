"""Move some joints on a slow path while all others hold, and refuse a way that leads into the table or the arm itself.

The way is judged before anything is sent, by the safety monitor's own limits: of the goals, and of the arm as it hangs
off them. An arm that lies nearer than that already may lead away from it.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS, Clock, Ticker, to_ns
from robot_mbrl.contracts.errors import ConfigError, LimitViolation, RobotMbrlError
from robot_mbrl.contracts.geometry import ArmGeometry
from robot_mbrl.contracts.robot import Robot
from robot_mbrl.contracts.types import FloatArray, JointCommand
from robot_mbrl.drivers.arms import ArmDefinition

PERIOD: Final = 0.01
"""Between two goals [s]."""
LIMIT_SLACK: Final = 0.05
"""A resting joint may lie so far outside its limits [rad], is brought back at once by a move; farther is refused."""
REST_SPREAD: Final = 0.003
"""Joints whose positions lie this close together [rad] over `REST_TIME` rest. A servo's own word on its speed can be
as coarse as 0.08 rad/s."""
REST_TIME: Final = 0.2
SETTLE_TIME: Final = 2.0
"""How long the joint may take to come to rest after its last goal [s]."""
STRIDE: Final = 0.01
"""Between two poses of a way at which its clearance is looked at [rad]."""
RETREAT: Final = 1e-6
"""What a stride must gain in clearance to lead away, more than rounding [m]."""


@dataclass(frozen=True, slots=True)
class MoveReport:
    """How a move ended.

    Attributes:
        start: (n,) where the joints were before it [rad].
        end: (n,) and after it [rad].
        goal: (n,) where they were sent [rad].
        duration: from the first goal to rest [s].
        settled: whether all joints came to rest.
    """

    start: FloatArray
    end: FloatArray
    goal: FloatArray
    duration: float
    settled: bool


def plan_move(arm: ArmDefinition, held: FloatArray, goals: Mapping[str, float], speed: float) -> FloatArray:
    """Goals of all joints, `PERIOD` apart: `s(t) = (1 - cos(π t / T)) / 2` of the way, `T` so that the peak is `speed`.

    Args:
        arm: names and limits.
        held: (n,) goals that the servos hold [rad].
        goals: where to [rad], by joint.
        speed: highest speed of any joint on the way [rad/s].

    Returns:
        (steps, n) goals [rad]; the last row is the end.

    Raises:
        ConfigError: the arm has no such joint, or the speed is not a positive number.
        LimitViolation: goal or speed outside a joint's limits, or a joint lies too far outside its own.
    """
    if not speed > 0.0:
        raise ConfigError(f"speed {speed} rad/s: give a positive number")
    end = _inside_limits(arm, held)
    for name, goal in goals.items():
        if name not in arm.joint_names:
            raise ConfigError(f"{arm.name} has no joint {name!r}: give one of {', '.join(arm.joint_names)}")
        index = arm.joint_names.index(name)
        joint = arm.joints[index]
        low, high = joint.position_limits
        if not low <= goal <= high:
            raise LimitViolation(f"{name}: goal {goal} rad lies outside {low}..{high} rad: give one inside")
        if speed > joint.velocity_limit:
            raise LimitViolation(f"{name}: speed {speed} rad/s is above {joint.velocity_limit} rad/s: give less")
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


def _eased(start: FloatArray, end: FloatArray, speed: float) -> FloatArray:
    duration = 0.5 * math.pi * float(np.max(np.abs(end - start))) / speed
    steps = max(1, math.ceil(duration / PERIOD))
    share = 0.5 * (1.0 - np.cos(np.pi * np.arange(1, steps + 1) / steps))
    return start + share[:, np.newaxis] * (end - start)


def check_way(
    arm: ArmDefinition, geometry: ArmGeometry, held: FloatArray, measured: FloatArray, end: FloatArray
) -> None:
    """Refuse a straight way that comes nearer to table or arm than the monitor lets it, unless each stride leads away.

    Args:
        arm: names, and how near goals (`hold_clearance`) and the arm itself (`rest_clearance`) may come.
        geometry: of the arm on its table.
        held: (n,) goals that the servos hold [rad].
        measured: (n,) where the joints are [rad]; they keep their distance from the goals on the way.
        end: (n,) goals at the end [rad].

    Raises:
        LimitViolation: it comes too near.
    """
    workspace = arm.safety.workspace
    _check_line(arm, geometry, held, end, workspace.hold_clearance)
    _check_line(arm, geometry, measured, measured + (end - held), workspace.rest_clearance)


def _check_line(arm: ArmDefinition, geometry: ArmGeometry, start: FloatArray, end: FloatArray, kept: float) -> None:
    way = end - start
    strides = math.ceil(float(np.max(np.abs(way))) / STRIDE)
    before = geometry.clearance(start).distance
    for stride in range(1, strides + 1):
        pose = start + stride / strides * way
        distance, pair = geometry.clearance(pose)
        if distance < kept and not distance > before + RETREAT:
            moved = zip(arm.joint_names, way.tolist(), pose.tolist(), strict=True)
            where = ", ".join(f"{name} at {angle:+.3f} rad" for name, share, angle in moved if share)
            raise LimitViolation(
                f"{arm.name}: with {where}, {pair} would be {distance * 1e3:.1f} mm apart, {kept * 1e3:g} mm are kept: "
                "raise the arm first, with another joint, or by hand while its torque is off"
            )
        before = distance


def plan_from_here(
    robot: Robot, arm: ArmDefinition, goals: Mapping[str, float], speed: float, geometry: ArmGeometry | None = None
) -> FloatArray:
    """(steps, n) goals [rad] as `plan_move` makes them, for a connected robot as it stands; nothing is sent.

    Raises:
        ConfigError, LimitViolation: see `plan_move` and, where a `geometry` is given, `check_way`.
    """
    held = robot.goal_position
    path = plan_move(arm, held, goals, speed)
    if geometry is not None:
        check_way(arm, geometry, held, robot.read().position, path[-1])
    # A joint that rests outside its limits starts with the jump to its limit: no command may lie outside.
    limits = np.array([joint.position_limits for joint in arm.joints])
    return np.clip(path, limits[:, 0], limits[:, 1])


def move_joints(
    robot: Robot,
    arm: ArmDefinition,
    goals: Mapping[str, float],
    speed: float,
    clock: Clock,
    geometry: ArmGeometry | None = None,
) -> MoveReport:
    """Move joints to `goals` [rad] at up to `speed` [rad/s]. Robot connected, torque on; both stay so.

    With a `geometry` the way is judged first. Whatever goes wrong on it, Ctrl-C included, stops the arm (ramp, then
    hold) before it is raised.

    Raises:
        ConfigError, LimitViolation: see `plan_from_here`; nothing was sent.
        BusError, ServoFault: the arm failed on the way.
    """
    path = plan_from_here(robot, arm, goals, speed, geometry)
    start_ns = clock.now_ns()
    start = robot.read().position
    ticker = Ticker(PERIOD, clock)
    try:
        for row in path:
            ticker.wait()
            robot.read()
            robot.write(JointCommand(row))
        end, settled = _settle(robot, ticker, clock)
    except BaseException:
        _stop(robot)
        raise
    return MoveReport(start, end, path[-1], (clock.now_ns() - start_ns) / NANOSECONDS, settled)


def _settle(robot: Robot, ticker: Ticker, clock: Clock) -> tuple[FloatArray, bool]:
    """Read until all joints rest; their positions and whether they do."""
    deadline = clock.now_ns() + to_ns(SETTLE_TIME)
    recent = deque([robot.read().position], maxlen=round(REST_TIME / PERIOD))
    while clock.now_ns() < deadline:
        ticker.wait()
        recent.append(robot.read().position)
        if len(recent) == recent.maxlen and np.ptp(np.array(recent), axis=0).max() < REST_SPREAD:
            return recent[-1], True
    return recent[-1], False


def _stop(robot: Robot) -> None:
    """Stop after an error. When the bus itself is gone that fails too, and the first error is the one to report."""
    try:
        robot.stop()
    except RobotMbrlError:
        return
