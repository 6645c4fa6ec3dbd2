"""A stop as it was planned beside the stop as it was measured, and the longest that an arm can need."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robot_mbrl.contracts.braking import plan_braking
from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.monitor_settings import JointLimits
from robot_mbrl.contracts.types import FloatArray, IntArray, VerdictLevel
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.data.log_header import LogHeader
from robot_mbrl.safety.start_pose import REST_VELOCITY
from robot_mbrl.safety.state_machine import LATCHED


@dataclass(frozen=True, slots=True)
class StopFigures:
    """How long and how far n joints took to stop.

    Attributes:
        duration: until all joints are at rest [s].
        distance: (n,) from the start of the stop to rest [rad], with its sign.
    """

    duration: float
    distance: FloatArray


def longest_stop(joints: Sequence[JointLimits]) -> StopFigures:
    """What a stop of the goals from the full speed of all `joints` takes at most.

    On a straight path they share one profile, that of the joint that takes longest.
    """
    velocity = np.array([joint.velocity for joint in joints])
    plan = plan_braking(
        np.zeros_like(velocity),
        velocity,
        np.zeros_like(velocity),
        position_limits=np.array([(-np.inf, np.inf)] * len(joints)),
        acceleration_limits=np.array([joint.acceleration for joint in joints]),
        jerk_limits=np.array([joint.jerk for joint in joints]),
    )
    return StopFigures(plan.duration, plan.distance)


def planned_stop(frames: FrameArray, index: int, header: LogHeader) -> StopFigures | None:
    """What the goals before the stop at `frames[index]`, the first in the stopped state, promise of it.

    The stop is planned from the last goal before it, as the control loop does: with the velocity at that tick's end.
    The joints follow the goals with the servos' lag. None where no goals led to the stop, or the log has too few.
    """
    last = _last_goal(frames, index)
    goals = frames["executed_position"][max(0, last - 2) : last + 1, : len(header.monitor.joints)]
    if len(goals) < 3 or not np.isfinite(goals).all():
        return None
    joints = header.monitor.joints
    period = float(np.median(np.diff(frames["deadline_ns"][last - 2 : last + 1]))) / NANOSECONDS
    velocity = np.diff(goals, axis=0) / period
    acceleration = (velocity[1] - velocity[0]) / period
    plan = plan_braking(
        goals[-1],
        velocity[1] + acceleration * period / 2,
        acceleration,
        position_limits=np.array([joint.position for joint in joints]),
        acceleration_limits=np.array([joint.acceleration for joint in joints]),
        jerk_limits=np.array([joint.jerk for joint in joints]),
    )
    return StopFigures(plan.duration, plan.distance)


def observed_stop(frames: FrameArray, index: int, header: LogHeader) -> StopFigures | None:
    """What the joints did from the last goal before the stop at `frames[index]` on, see `measured_stop`."""
    left = np.flatnonzero(~np.isin(frames["state"][index:], list(LATCHED)))
    following = frames[_last_goal(frames, index) : index + int(left[0]) if left.size else len(frames)]
    n = len(header.monitor.joints)
    return measured_stop(following["wake_ns"], following["position"][:, :n], following["velocity"][:, :n])


def _last_goal(frames: FrameArray, index: int) -> int:
    """The frame with the last goal before the stop: the tick in which the monitor says stop already brakes."""
    judged = index > 0 and frames["verdict"][index - 1] == VerdictLevel.STOP
    return max(0, index - 2 if judged else index - 1)


def measured_stop(stamp_ns: IntArray, position: FloatArray, velocity: FloatArray) -> StopFigures | None:
    """What k samples from the start of a stop on show, or None when a joint still moves in the last one.

    At rest means under `REST_VELOCITY` from then on: a joint that swings back is not at rest on the way.

    Args:
        stamp_ns: (k,) rising [ns]; the first is the start of the stop.
        position: (k, n) [rad].
        velocity: (k, n) [rad/s].
    """
    # Written so that NaN counts as moving.
    moving = np.flatnonzero(~(np.abs(velocity) <= REST_VELOCITY).all(axis=1))
    rest = int(moving[-1]) + 1 if moving.size else 0
    if rest == len(velocity):
        return None
    return StopFigures(float(stamp_ns[rest] - stamp_ns[0]) / NANOSECONDS, position[rest] - position[0])


def compare_stops(names: tuple[str, ...], planned: StopFigures, measured: StopFigures | None) -> str:
    """One line for people: both times, and both ways of the joint whose ways differ most."""
    promise = f"stop planned in {planned.duration * 1e3:.0f} ms"
    if measured is None:
        return f"{promise}: the arm was not seen at rest"
    worst = int(np.argmax(np.abs(measured.distance - planned.distance)))
    return (
        f"{promise}, measured {measured.duration * 1e3:.0f} ms; {names[worst]}: planned "
        f"{planned.distance[worst]:+.4f} rad, measured {measured.distance[worst]:+.4f} rad"
    )
