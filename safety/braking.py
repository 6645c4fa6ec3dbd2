"""A stop as it was planned beside the stop as it was measured."""

from dataclasses import dataclass

import numpy as np

from robot_mbrl.contracts.braking import BrakingPlan
from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.types import FloatArray, IntArray
from robot_mbrl.safety.start_pose import REST_VELOCITY


@dataclass(frozen=True, slots=True)
class StopFigures:
    """How long and how far n joints took to stop.

    Attributes:
        duration: until all joints are at rest [s].
        distance: (n,) from the start of the stop to rest [rad], with its sign.
    """

    duration: float
    distance: FloatArray


def planned_stop(plan: BrakingPlan) -> StopFigures:
    """What `plan` promises of the goals; the joints follow them with the servos' lag."""
    return StopFigures(plan.duration, plan.distance)


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
