"""The whole loop around an arm, in one thread: what comes through its channels is what a test puts in."""

from collections.abc import Callable

import numpy as np

from robot_mbrl.contracts.clock import Clock, ManualClock, to_ns
from robot_mbrl.contracts.frame import ACTION_DTYPE, REQUEST_DTYPE, ControlState, Record, Request, empty
from robot_mbrl.contracts.robot import Robot
from robot_mbrl.contracts.types import FloatArray, StopCategory
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.runtime.arm_link import BusCounts
from robot_mbrl.runtime.conductor import Conductor
from robot_mbrl.runtime.control_loop import ControlLoop, Judge, Wires
from robot_mbrl.runtime.departure import Departure
from robot_mbrl.runtime.inbox import ActionBox, RequestBox
from robot_mbrl.runtime.settings import LoopSettings
from robot_mbrl.sim.twin import Twin
from tests.runtime.rig import Frames, Mailbox

LOOP = LoopSettings(rate=200.0, policy_rate=25.0)
LIFETIME = 0.15
"""Of an action [s]."""


class WiredArm:
    """A connected arm with its loop and its monitor."""

    def __init__(
        self,
        arm: ArmDefinition,
        robot: Robot,
        clock: Clock,
        monitor: Judge,
        *,
        settings: LoopSettings = LOOP,
        category: StopCategory = StopCategory.HOLD,
        departure: Departure | None = None,
        counts: Callable[[], BusCounts] = BusCounts,
    ) -> None:
        self.robot, self.clock, self.settings = robot, clock, settings
        self.requests, self.actions, self.frames = Mailbox(), Mailbox(), Frames()
        self.reports: list[str] = []
        robot.connect()
        conductor = Conductor.of(robot, arm, settings, category, self.reports.append, counts)
        wires = Wires(RequestBox(self.requests, clock.now_ns()), ActionBox(self.actions, len(arm.joints)), self.frames)
        self.loop = ControlLoop(conductor, monitor, wires, clock, settings, departure=departure)
        self.goal = robot.goal_position

    @property
    def ticks_per_action(self) -> int:
        """Of the loop."""
        return round(self.settings.rate / self.settings.policy_rate)

    def state(self) -> ControlState:
        """Where the loop stands."""
        return self.loop.state

    def ask(self, request: Request) -> None:
        """Send a request, which the next tick sees."""
        record = empty(REQUEST_DTYPE)
        record["stamp_ns"], record["request"] = self.clock.now_ns(), request
        self.requests.records.append(record)

    def act(self, position: FloatArray) -> None:
        """Send an action."""
        record = empty(ACTION_DTYPE)
        record["stamp_ns"], record["expires_ns"] = self.clock.now_ns(), self.clock.now_ns() + to_ns(LIFETIME)
        record["position"][0, : len(position)] = position
        self.actions.records.append(record)

    def run(self) -> None:
        """Arm, and run where the arm is."""
        for request in (Request.ARM, Request.RUN):
            self.ask(request)
            self.lead(self.goal, 1.0, 0.2)

    def lead(self, target: FloatArray, speed: float, seconds: float) -> list[Record]:
        """Lead to `target` (n,) [rad] in a straight line, the fastest joint at `speed` [rad/s]; the frames.

        Actions come for `seconds` [s], whether the arm follows them or not.
        """
        start, first = self.goal.copy(), len(self.frames.sent)
        duration = max(float(np.abs(target - start).max()) / speed, 1e-3)
        for tick in range(round(seconds * self.settings.rate)):
            if tick % self.ticks_per_action == 0:
                self.goal = start + min(tick / self.settings.rate / duration, 1.0) * (target - start)
                self.act(self.goal)
            self.loop.tick()
        return self.frames.sent[first:]


class WiredTwin(WiredArm):
    """The same with the twin of an arm, on a clock that nothing but the loop moves."""

    robot: Twin

    def __init__(
        self,
        arm: ArmDefinition,
        monitor: Judge,
        *,
        settings: LoopSettings = LOOP,
        category: StopCategory = StopCategory.HOLD,
        departure: Departure | None = None,
    ) -> None:
        clock = ManualClock()
        twin = Twin(arm, clock=clock)
        super().__init__(arm, twin, clock, monitor, settings=settings, category=category, departure=departure)
