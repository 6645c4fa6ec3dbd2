"""The whole loop on the twin, led into the table and into itself: the arm is stopped before it touches anything."""

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
from robot_mbrl.sim.geometry import MujocoGeometry
from robot_mbrl.sim.twin import Twin
from tests.runtime.rig import Frames, Mailbox

ARM = load_arm("so101_follower")
LOOP = LoopSettings(rate=200.0, policy_rate=25.0)
TICKS_PER_ACTION = 8
BEGINNING = np.array([0.0, -0.6, 0.5, 0.9, 0.0, 0.2])


class Course:
    """A running arm that a policy leads along straight lines."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        twin = Twin(ARM, clock=self.clock)
        twin.connect()
        self.requests, self.actions, self.frames = Mailbox(), Mailbox(), Frames()
        conductor = Conductor.of(twin, ARM, LOOP, StopCategory.HOLD, lambda _: None)
        wires = Wires(RequestBox(self.requests, self.clock.now_ns()), ActionBox(self.actions, 6), self.frames)
        self.loop = ControlLoop(conductor, build_monitor(ARM, MujocoGeometry(ARM)), wires, self.clock, LOOP)
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


@pytest.mark.parametrize("speed", [0.4, 1.25])
@pytest.mark.parametrize(
    "target",
    [(0.0, 0.7, 0.6, 0.9, 0.0, 0.5), (0.3, 1.2, 0.0, 0.6, 0.0, 0.3), (0.0, -0.9, 1.65, 1.6, 0.0, 0.0)],
    ids=["into the table", "into the table, stretched", "into itself"],
)
def test_an_arm_that_is_led_into_something_stops_before_it(target: tuple[float, ...], speed: float) -> None:
    """Up to a third of the stop proof's speed. Far from its park pose the true distance is what the geometry gives."""
    course = Course()
    course.lead(BEGINNING, 0.5, 4.0)
    assert course.state() is ControlState.RUNNING
    frames = course.lead(np.array(target), speed, 6.0)
    assert course.state() is ControlState.STOPPED
    geometry = MujocoGeometry(ARM)
    nearest = min(geometry.clearance(frame["position"][0, :6]).distance for frame in frames)
    assert 0.001 < nearest < 0.02
