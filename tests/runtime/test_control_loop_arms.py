"""The whole loop, monitor included, in lockstep: on the twin, and by the real driver on emulated servos."""

from collections.abc import Callable

import numpy as np
import pytest

from robot_mbrl.contracts.clock import NANOSECONDS, Clock, ManualClock, to_ns
from robot_mbrl.contracts.frame import ACTION_DTYPE, REQUEST_DTYPE, ControlState, Request, empty
from robot_mbrl.contracts.robot import Robot
from robot_mbrl.contracts.types import FloatArray, StopCategory, VerdictLevel
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.runtime.arm_link import BusCounts
from robot_mbrl.runtime.conductor import Conductor
from robot_mbrl.runtime.control_loop import ControlLoop, Wires
from robot_mbrl.runtime.inbox import ActionBox, RequestBox
from robot_mbrl.runtime.monitor_setup import build_monitor
from robot_mbrl.runtime.settings import LoopSettings
from robot_mbrl.sim.twin import Twin
from tests.drivers.emulated import EmulatedArm, emulated_arm
from tests.runtime.rig import Frames, Mailbox

REST = 0.05
"""A joint that is slower rests [rad/s]."""


class Cell:
    """A connected arm with its loop and its monitor, and a policy that swings its first joint."""

    def __init__(self, arm: ArmDefinition, robot: Robot, clock: Clock, counts: Callable[[], BusCounts]) -> None:
        self.arm, self.robot, self.clock = arm, robot, clock
        self.settings = LoopSettings(rate=200.0, policy_rate=25.0)
        self.requests, self.actions, self.frames = Mailbox(), Mailbox(), Frames()
        self.reports: list[str] = []
        self.monitor = build_monitor(arm)
        robot.connect()
        conductor = Conductor.of(robot, arm, self.settings, StopCategory.HOLD, self.reports.append, counts)
        wires = Wires(RequestBox(self.requests, clock.now_ns()), ActionBox(self.actions, len(arm.joints)), self.frames)
        self.loop = ControlLoop(conductor, self.monitor, wires, clock, self.settings)
        self._home: FloatArray | None = None
        self.acting = True

    def state(self) -> ControlState:
        """Where the loop stands."""
        return self.loop.state

    def tick(self, count: int = 1) -> None:
        """Do ticks, with a fresh action every eighth while `acting`."""
        for _ in range(count):
            if self.acting and self._home is not None and self.loop.ticks % 8 == 0:
                self._act(self._home)
            self.loop.tick()

    def ask(self, request: Request) -> None:
        """Send a request, and do a tick."""
        record = empty(REQUEST_DTYPE)
        record["stamp_ns"], record["request"] = self.clock.now_ns(), request
        self.requests.records.append(record)
        self.tick()

    def start(self) -> None:
        """Arm and run, and swing for two seconds."""
        self.tick(10)
        self.ask(Request.ARM)
        self._home = self.robot.goal_position
        self.tick(16)
        self.ask(Request.RUN)
        self.tick(400)
        assert self.state() in {ControlState.RUNNING, ControlState.SLOWED}, self.reports
        assert np.abs(np.diff([frame["executed_position"][0, 0] for frame in self.frames.sent[-100:]])).max() > 1e-4

    def rests(self, ticks: int) -> bool:
        """Whether the joints have gone nowhere in the last `ticks`, but for an encoder step to and fro."""
        positions = np.array([frame["position"][0, : len(self.arm.joints)] for frame in self.frames.sent[-ticks:]])
        return bool((np.ptp(positions, axis=0) < REST * ticks / self.settings.rate).all())

    def _act(self, home: FloatArray) -> None:
        now_ns = self.clock.now_ns()
        record = empty(ACTION_DTYPE)
        record["stamp_ns"], record["expires_ns"] = now_ns, now_ns + to_ns(0.15)
        record["position"][0, : len(home)] = home
        record["position"][0, 0] += 0.3 * np.sin(3.0 * now_ns / NANOSECONDS)
        self.actions.records.append(record)


def twin_cell(arm: str = "so101_follower") -> Cell:
    clock = ManualClock()
    definition = load_arm(arm)
    return Cell(definition, Twin(definition, clock=clock), clock, BusCounts)


def serial_cell(arm: str = "so101_follower") -> tuple[Cell, EmulatedArm]:
    emulated = emulated_arm(arm)
    statistics = emulated.bus.statistics

    def counts() -> BusCounts:
        return BusCounts(statistics.transactions, statistics.corrupt, statistics.timeouts)

    return Cell(emulated.arm, emulated.robot, emulated.wire, counts), emulated


def test_the_twin_runs_stops_and_rests() -> None:
    cell = twin_cell()
    cell.start()
    cell.ask(Request.STOP)
    cell.tick(120)
    assert cell.state() is ControlState.STOPPED
    assert cell.rests(20)
    held = cell.robot.goal_position
    cell.tick(200)
    assert (cell.robot.goal_position == held).all()
    assert cell.rests(200)


def test_the_logged_frames_give_the_same_verdicts_again_to_the_bit() -> None:
    cell = twin_cell()
    cell.start()
    cell.acting = False
    cell.tick(100)
    assert cell.state() is ControlState.STOPPED
    again = build_monitor(cell.arm)
    for frame in cell.frames.sent:
        verdict = again.judge(frame)
        said = (verdict.level, verdict.speed_scale, verdict.check, verdict.joint, verdict.value, verdict.limit)
        logged = [frame[name][0] for name in ("verdict", "speed_scale", "reason", "reason_joint", "value", "limit")]
        assert np.array_equal(logged, said, equal_nan=True)


def test_the_same_run_gives_the_same_frames() -> None:
    def run() -> bytes:
        cell = twin_cell()
        cell.start()
        cell.ask(Request.EMERGENCY_STOP)
        cell.tick(50)
        return b"".join(frame.tobytes() for frame in cell.frames.sent)

    assert run() == run()


@pytest.mark.parametrize("arm", ["so101_follower", "koch_follower"])
def test_the_real_driver_runs_stops_and_starts_again(arm: str) -> None:
    cell, emulated = serial_cell(arm)
    cell.start()
    cell.ask(Request.STOP)
    cell.tick(120)
    assert cell.state() is ControlState.STOPPED
    assert cell.rests(20)
    assert all(emulated.torque())
    cell.ask(Request.RESET)
    cell.tick()
    assert cell.state() is ControlState.IDLE, cell.reports
    cell.start()
    frame = cell.frames.sent[-1]
    assert frame["transactions"][0] > 1000
    assert frame["timeouts"][0] == frame["corrupt"][0] == 0
    assert (frame["health_ns"][0, :6] > 0).all()


def heat(emulated: EmulatedArm) -> None:
    emulated.plant.set_temperature(0, 95.0)


def unplug_a_servo(emulated: EmulatedArm) -> None:
    emulated.virtual.servos[2].disconnect()


@pytest.mark.parametrize(
    ("fault", "reason"), [(heat, "shoulder_pan"), (unplug_a_servo, "servo 3")], ids=["overheat", "servo off the bus"]
)
def test_a_fault_of_the_arm_ends_in_a_latched_fault_and_rest(fault: Callable[[EmulatedArm], None], reason: str) -> None:
    cell, emulated = serial_cell()
    cell.start()
    fault(emulated)
    cell.tick(60)
    assert cell.state() is ControlState.FAULT
    assert reason in cell.reports[-1]
    emulated.wait(0.3)
    before = emulated.true_position()
    emulated.wait(0.3)
    still = [0, 1, 4, 5] if fault is unplug_a_servo else range(6)
    assert np.abs(emulated.true_position() - before)[list(still)].max() < REST * 0.3
    cell.ask(Request.RUN)
    cell.tick(20)
    assert cell.state() is ControlState.FAULT


def test_a_jammed_joint_is_stopped_by_the_monitor() -> None:
    cell, emulated = serial_cell()
    cell.start()
    emulated.plant.set_stuck(0, stuck=True)
    cell.tick(300)
    assert cell.state() is ControlState.STOPPED
    stopped = next(frame for frame in cell.frames.sent if frame["verdict"][0] == VerdictLevel.STOP)
    assert cell.monitor.check_names[stopped["reason"][0]] == "jam"
    assert stopped["reason_joint"][0] == 0
