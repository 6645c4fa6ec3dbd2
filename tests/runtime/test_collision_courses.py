"""The whole loop on the twin, led into the table and into itself: the arm is stopped before it touches anything."""

from collections.abc import Sequence

import numpy as np
import pytest

from robot_mbrl.contracts.frame import ControlState, Record
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.monitor_setup import build_monitor
from robot_mbrl.safety.monitor import Monitor
from robot_mbrl.sim.geometry import MujocoGeometry
from tests.runtime.wired_arm import LOOP, WiredTwin

ARM = load_arm("so101_follower")
BEGINNING = np.array([0.0, -0.6, 0.5, 0.9, 0.0, 0.2])


REACH = 0.3
"""From the shoulder to the tool, about, in the poses that are met here [m]."""


def led(target: Sequence[float], speed: float, monitor: Monitor, beginning: FloatArray = BEGINNING) -> list[Record]:
    """The frames of a course from `beginning` (6,) towards `target` (6,) [rad] at `speed` [rad/s]."""
    course = WiredTwin(ARM, monitor)
    course.run()
    course.lead(beginning, 0.5, 5.0)
    assert course.state() is ControlState.RUNNING
    frames = course.lead(np.array(target), speed, 6.0)
    assert course.state() is ControlState.STOPPED
    return frames


def allowance(frames: Sequence[Record]) -> float:
    """How much sooner than at rest a moving arm may be stopped [m].

    By what it may swing past its goals, and because a tick in which the acceleration rises by all that the jerk limit
    allows moves the end of a stop by up to four times the way of the tick: its own, the longer way from more speed, and
    twice what letting go of more acceleration takes.
    """
    goals = np.array([frame["executed_position"][0, :6] for frame in frames])
    fastest = float(np.abs(np.diff(goals, axis=0)).max()) * LOOP.rate
    return (ARM.safety.workspace.following_overshoot + 4.0 / LOOP.rate) * fastest * REACH


@pytest.mark.parametrize("speed", [0.4, 1.25, 3.5])
@pytest.mark.parametrize(
    "target",
    [(0.0, 0.7, 0.6, 0.9, 0.0, 0.5), (0.3, 1.2, 0.0, 0.6, 0.0, 0.3), (0.0, -0.9, 1.65, 1.6, 0.0, 0.0)],
    ids=["into the table", "into the table, stretched", "into itself"],
)
def test_an_arm_that_is_led_into_something_stops_before_it(target: tuple[float, ...], speed: float) -> None:
    """Up to the stop proof's speed. Far from its park pose the true distance is what the geometry gives."""
    geometry = MujocoGeometry(ARM)
    frames = led(target, speed, build_monitor(ARM, geometry))
    nearest = min(geometry.clearance(frame["position"][0, :6]).distance for frame in frames)
    assert 0.001 < nearest < 0.02 + allowance(frames)


@pytest.mark.parametrize("speed", [0.4, 1.25, 3.5])
@pytest.mark.parametrize("pan", [-0.4, -0.2, 0.0, 0.1])
def test_the_tool_stays_out_of_a_keep_out_at_any_speed(pan: float, speed: float) -> None:
    """It enters none, wherever on the way the speed is reached, and comes near."""
    box = {"name": "wall", "low": (0.05, -0.45, 0.0), "high": (0.5, -0.1, 0.5)}
    geometry = MujocoGeometry(ARM)
    monitor = build_monitor(ARM, geometry, {"workspace": {"keep_outs": [box]}})
    lead_in = np.array([pan, -0.3, 0.4, 0.3, 0.0, 0.3])
    frames = led((1.5, *lead_in[1:]), speed, monitor, lead_in)
    nearest = min(geometry.tool_position(frame["position"][0, :6])[1] for frame in frames) + 0.1
    assert 0.0 < nearest < 0.02 + allowance(frames)
