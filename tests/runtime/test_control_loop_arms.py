"""The whole loop, monitor included, in lockstep: on the twin, and by the real driver on emulated servos."""

from collections.abc import Callable

import numpy as np
import pytest

from robot_mbrl.contracts.clock import NANOSECONDS, Clock, ManualClock
from robot_mbrl.contracts.frame import ControlState, Request
from robot_mbrl.contracts.robot import Robot
from robot_mbrl.contracts.types import FloatArray, VerdictLevel
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.runtime.arm_link import BusCounts
from robot_mbrl.runtime.monitor_setup import build_monitor
from robot_mbrl.sim.twin import Twin
from tests.drivers.emulated import EmulatedArm, emulated_arm
from tests.runtime.wired_arm import WiredArm

REST = 0.05
"""A joint that is slower rests [rad/s]."""


class Cell(WiredArm):
    """A connected arm with its loop and its monitor, and a policy that swings its first joint."""

    def __init__(self, arm: ArmDefinition, robot: Robot, clock: Clock, counts: Callable[[], BusCounts]) -> None:
        self.arm, self.monitor = arm, build_monitor(arm)
        super().__init__(arm, robot, clock, self.monitor, counts=counts)
        self._home: FloatArray | None = None
        self.acting = True

    def tick(self, count: int = 1) -> None:
        """Do ticks, with fresh actions while `acting`."""
        for _ in range(count):
            if self.acting and self._home is not None and self.loop.ticks % self.ticks_per_action == 0:
                swung = self._home.copy()
                swung[0] += 0.3 * np.sin(3.0 * self.clock.now_ns() / NANOSECONDS)
                self.act(swung)
            self.loop.tick()

    def order(self, request: Request) -> None:
        """Send a request, and do a tick."""
        self.ask(request)
        self.tick()

    def start(self) -> None:
        """Arm and run, and swing for two seconds."""
        self.tick(10)
        self.order(Request.ARM)
        self._home = self.robot.goal_position
        self.tick(16)
        self.order(Request.RUN)
        self.tick(400)
        assert self.state() in {ControlState.RUNNING, ControlState.SLOWED}, self.reports
        assert np.abs(np.diff([frame["executed_position"][0, 0] for frame in self.frames.sent[-100:]])).max() > 1e-4

    def rests(self, ticks: int) -> bool:
        """Whether the joints have gone nowhere in the last `ticks`, but for an encoder step to and fro."""
        positions = np.array([frame["position"][0, : len(self.arm.joints)] for frame in self.frames.sent[-ticks:]])
        return bool((np.ptp(positions, axis=0) < REST * ticks / self.settings.rate).all())


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
    cell.order(Request.STOP)
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
        cell.order(Request.EMERGENCY_STOP)
        cell.tick(50)
        return b"".join(frame.tobytes() for frame in cell.frames.sent)

    assert run() == run()


@pytest.mark.parametrize("arm", ["so101_follower", "koch_follower"])
def test_the_real_driver_runs_stops_and_starts_again(arm: str) -> None:
    cell, emulated = serial_cell(arm)
    cell.start()
    cell.order(Request.STOP)
    cell.tick(120)
    assert cell.state() is ControlState.STOPPED
    assert cell.rests(20)
    assert all(emulated.torque())
    cell.order(Request.RESET)
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
    cell.order(Request.RUN)
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
