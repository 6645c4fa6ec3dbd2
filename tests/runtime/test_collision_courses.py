"""The whole loop on the twin, led into the table and into itself: the arm is stopped before it touches anything."""

from collections.abc import Sequence

import numpy as np
import pytest

from robot_mbrl.contracts.clock import ManualClock, to_ns
from robot_mbrl.contracts.frame import ACTION_DTYPE, REQUEST_DTYPE, ControlState, Record, Request, empty
from robot_mbrl.contracts.types import FloatArray, StopCategory
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.conductor import Conductor
from robot_mbrl.runtime.control_loop import ControlLoop, Wires
from robot_mbrl.runtime.inbox import ActionBox, RequestBox
from robot_mbrl.runtime.monitor_setup import build_monitor
from robot_mbrl.runtime.settings import LoopSettings
from robot_mbrl.safety.monitor import Monitor
from robot_mbrl.sim.geometry import MujocoGeometry
from robot_mbrl.sim.twin import Twin
from tests.runtime.rig import Frames, Mailbox

ARM = load_arm("so101_follower")
LOOP = LoopSettings(rate=200.0, policy_rate=25.0)
TICKS_PER_ACTION = 8
BEGINNING = np.array([0.0, -0.6, 0.5, 0.9, 0.0, 0.2])


class Course:
    """A running arm that a policy leads along straight lines."""

    def __init__(self, monitor: Monitor) -> None:
        self.clock = ManualClock()
        twin = Twin(ARM, clock=self.clock)
        twin.connect()
        self.requests, self.actions, self.frames = Mailbox(), Mailbox(), Frames()
        conductor = Conductor.of(twin, ARM, LOOP, StopCategory.HOLD, lambda _: None)
        wires = Wires(RequestBox(self.requests, self.clock.now_ns()), ActionBox(self.actions, 6), self.frames)
        self.loop = ControlLoop(conductor, monitor, wires, self.clock, LOOP)
        self.goal = twin.goal_position
        self._ask(Request.ARM)
        self.lead(self.goal, 1.0, 0.1)
        self._ask(Request.RUN)

    def state(self) -> ControlState:
        """Where the loop stands."""
        return self.loop.state

    def lead(self, target: FloatArray, speed: float, seconds: float) -> list[Record]:
        """Towards `target` (6,) [rad], the fastest joint at `speed` [rad/s], until the arm stops; the frames."""
        start, first = self.goal.copy(), len(self.frames.sent)
        duration = max(float(np.abs(target - start).max()) / speed, 1e-3)
        for tick in range(round(seconds * LOOP.rate)):
            if tick % TICKS_PER_ACTION == 0:
                self.goal = start + min(tick / LOOP.rate / duration, 1.0) * (target - start)
                self._act(self.goal)
            self.loop.tick()
        return self.frames.sent[first:]

    def _ask(self, request: Request) -> None:
        record = empty(REQUEST_DTYPE)
        record["stamp_ns"], record["request"] = self.clock.now_ns(), request
        self.requests.records.append(record)
        self.loop.tick()

    def _act(self, goal: FloatArray) -> None:
        record = empty(ACTION_DTYPE)
        record["stamp_ns"], record["expires_ns"] = self.clock.now_ns(), self.clock.now_ns() + to_ns(0.15)
        record["position"][0, :6] = goal
        self.actions.records.append(record)


REACH = 0.3
"""From the shoulder to the tool, about, in the poses that are met here [m]."""


def led(target: Sequence[float], speed: float, monitor: Monitor, beginning: FloatArray = BEGINNING) -> list[Record]:
    """The frames of a course from `beginning` (6,) towards `target` (6,) [rad] at `speed` [rad/s]."""
    course = Course(monitor)
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
