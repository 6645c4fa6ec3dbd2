"""The guardian: what it takes for a dead control process, and what it then does to a real arm's servos."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, Record, empty
from robot_mbrl.contracts.types import StopCategory
from robot_mbrl.runtime.child import Child
from robot_mbrl.runtime.guardian import READY, Cause, Guardian, GuardianReport, Watch, keep_report, report_path
from robot_mbrl.runtime.heartbeat import Heartbeat
from robot_mbrl.runtime.servo_stop import StopReport
from robot_mbrl.runtime.settings import DeploySettings
from tests.cli.program import Standing
from tests.runtime import stand_in_control
from tests.runtime.arm_stand import PATIENCE, moves, robot_settings, standing_arm, stays_at_rest, until

# -- the decision ------------------------------------------------------------------------------------------------


def test_an_earlier_report_is_put_aside_under_its_time(tmp_path: Path) -> None:
    path = tmp_path / "guardian-so101.json"
    path.write_text("first", encoding="utf-8")
    os.utime(path, (1_780_000_000, 1_780_000_000))
    keep_report(path)
    keep_report(path)
    assert not path.exists()
    assert (tmp_path / "guardian-so101-20260528T202640Z.json").read_text(encoding="utf-8") == "first"


def test_silence_adds_up_until_a_frame_ends_it() -> None:
    heartbeat = Heartbeat(period=0.01)
    assert [heartbeat.look(tick * 10_000_000, beat=False) for tick in range(4)] == [
        0,
        10_000_000,
        20_000_000,
        30_000_000,
    ]
    assert heartbeat.look(40_000_000, beat=True) == 0
    assert heartbeat.look(45_000_000, beat=False) == 5_000_000


def test_a_machine_that_stood_still_is_not_held_against_the_control_process() -> None:
    heartbeat = Heartbeat(period=0.01)
    heartbeat.look(0, beat=True)
    assert heartbeat.look(60_000_000_000, beat=False) == 20_000_000


class Channel:
    """Frames that a test hands out."""

    def __init__(self) -> None:
        self.frame: Record | None = None

    def send(self, state: ControlState, velocity: float = math.nan, *, holds: bool = False) -> None:
        self.frame = empty(FRAME_DTYPE)
        self.frame["goal_position"] = 0.0 if holds else math.nan
        self.frame["state"], self.frame["joints"] = state, 2
        self.frame["velocity"][0, :2] = [0.0, velocity]

    def newest(self) -> Record | None:
        frame, self.frame = self.frame, None
        return frame


class Counted:
    """A stop that counts how often it is asked for."""

    def __init__(self) -> None:
        self.stops = 0

    def perform(self) -> StopReport:
        self.stops += 1
        return StopReport(done="stopped", complete=True)

    def torque_found(self) -> str:
        return "nothing has torque"


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that does nothing."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def look_for(guardian: Guardian, watch: Watch, clock: ManualClock, seconds: float) -> Cause | None:
    for _ in range(round(seconds * 100)):
        clock.advance(0.01)
        cause = guardian.look(watch)
        if cause is not None:
            return cause
    return None


@pytest.mark.parametrize(
    ("states", "cause"),
    [
        ([], None),
        ([ControlState.IDLE], None),
        ([ControlState.ARMED], Cause.SILENT),
        ([ControlState.RUNNING], Cause.SILENT),
        ([ControlState.RUNNING, ControlState.STOPPED], Cause.LINGERING),
        ([ControlState.RUNNING, ControlState.STOPPED, ControlState.IDLE], None),
        ([ControlState.IDLE, ControlState.FAULT], None),
    ],
)
def test_silence_matters_while_the_arm_has_torque_by_the_control_process(
    sleeper: "subprocess.Popen[bytes]", states: list[ControlState], cause: Cause | None
) -> None:
    channel, clock = Channel(), ManualClock()
    guardian = Guardian(channel, Counted(), 0.1, clock)
    watch = Watch(sleeper.pid)
    for state in states:
        channel.send(state)
        clock.advance(0.01)
        assert guardian.look(watch) is None
    assert look_for(guardian, watch, clock, 2.0) is cause


def test_an_arm_that_was_reset_and_holds_as_it_did_is_still_guarded_until_it_lets_go(
    sleeper: "subprocess.Popen[bytes]",
) -> None:
    channel, clock, stop = Channel(), ManualClock(), Counted()
    guardian, watch = Guardian(channel, stop, 0.1, clock), Watch(sleeper.pid)
    channel.send(ControlState.IDLE, holds=True)
    assert guardian.look(watch) is None
    assert not guardian.armed, "whoever switched that on, it was not this process"
    for state in (ControlState.RUNNING, ControlState.STOPPED, ControlState.IDLE):
        channel.send(state, 0.0, holds=True)
        assert guardian.look(watch) is None
        assert guardian.armed
    assert look_for(guardian, watch, clock, 11.0) is Cause.LINGERING
    channel.send(ControlState.IDLE, 0.0, holds=False)
    assert guardian.look(watch) is None
    assert not guardian.armed
    assert look_for(guardian, watch, clock, 11.0) is None


@pytest.mark.parametrize(
    ("state", "velocity", "patience", "cause"),
    [
        (ControlState.RUNNING, 0.0, 0.1, Cause.SILENT),
        (ControlState.STOPPED, 0.3, 1.0, Cause.LINGERING),
        (ControlState.STOPPED, math.nan, 1.0, Cause.LINGERING),
        (ControlState.STOPPED, 0.0, 10.0, Cause.LINGERING),
        (ControlState.FAULT, -0.01, 10.0, Cause.LINGERING),
    ],
)
def test_an_arm_that_rests_gives_the_control_process_time_to_end(
    sleeper: "subprocess.Popen[bytes]", state: ControlState, velocity: float, patience: float, cause: Cause
) -> None:
    channel, clock = Channel(), ManualClock()
    guardian = Guardian(channel, Counted(), 0.1, clock)
    for sent in (ControlState.RUNNING, state):
        channel.send(sent, velocity)
        assert guardian.look(Watch(sleeper.pid)) is None
    assert look_for(guardian, Watch(sleeper.pid), clock, patience) is None
    assert look_for(guardian, Watch(sleeper.pid), clock, 0.02) is cause


@pytest.mark.parametrize("frozen", [False, True])
def test_the_control_process_is_killed_before_the_servos_are_stopped(
    sleeper: "subprocess.Popen[bytes]", frozen: bool
) -> None:
    if frozen:
        sleeper.send_signal(signal.SIGSTOP)
    channel, stop = Channel(), Counted()
    guardian, watch = Guardian(channel, stop, 0.1, ManualClock()), Watch(sleeper.pid)
    channel.send(ControlState.RUNNING)
    guardian.look(watch)
    report = guardian.act(Cause.SILENT, watch)
    assert not watch.alive
    assert sleeper.wait() == -signal.SIGKILL
    assert stop.stops == 1
    assert (report.state, report.done) == ("running", "stopped")


@pytest.mark.parametrize("state", [None, ControlState.IDLE])
def test_an_arm_that_was_not_armed_is_left_as_it_is(
    sleeper: "subprocess.Popen[bytes]", state: ControlState | None
) -> None:
    channel, stop = Channel(), Counted()
    guardian, watch = Guardian(channel, stop, 0.1, ManualClock()), Watch(sleeper.pid)
    if state is not None:
        channel.send(state)
    sleeper.kill()
    sleeper.wait()
    assert guardian.look(watch) is Cause.DEAD
    report = guardian.act(Cause.DEAD, watch)
    assert stop.stops == 0
    assert report.done == "the arm was not armed, so nothing was done to it: nothing has torque"


# -- processes and servos ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def so101(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing_arm(tmp_path_factory.mktemp("guardian")) as standing:
        yield standing


class Guarded:
    """An arm that a stand-in for the control process swings, with a guardian over it."""

    def __init__(self, guardian: Child, control: "subprocess.Popen[bytes]", settings: DeploySettings) -> None:
        self.guardian = guardian
        self.control = control
        self.report = report_path(settings)

    def verdict(self) -> GuardianReport:
        """What the guardian did; it has ended then."""
        assert self.guardian.wait(PATIENCE), "the guardian still runs"
        return GuardianReport.model_validate_json(self.report.read_text(encoding="utf-8"))


@pytest.fixture
def koch(tmp_path: Path) -> Iterator[Standing]:
    with standing_arm(tmp_path, "koch_follower") as standing:
        yield standing


@contextmanager
def guarded(
    standing: Standing, folder: Path, state: str = "running", category: StopCategory = StopCategory.HOLD
) -> Iterator[Guarded]:
    robot = robot_settings(standing)
    settings = DeploySettings(session=f"test-guardian-{os.getpid()}", robot=robot, log=folder, stop=category)
    with ExitStack() as cleanup:
        guardian = Child("guardian", "robot_mbrl.runtime.guardian", settings.model_dump_json())
        cleanup.callback(guardian.close)
        guardian.start()
        guardian.await_line(READY)
        control = subprocess.Popen(
            [sys.executable, stand_in_control.__file__, settings.session, state, robot.model_dump_json()]
        )
        cleanup.callback(control.wait)
        cleanup.callback(control.kill)
        guardian.tell(f"watch {control.pid}")
        yield Guarded(guardian, control, settings)


def freeze(control: "subprocess.Popen[bytes]") -> None:
    control.send_signal(signal.SIGSTOP)


@pytest.mark.parametrize(
    ("harm", "cause"), [(subprocess.Popen.kill, Cause.DEAD), (freeze, Cause.SILENT)], ids=["killed", "frozen"]
)
@pytest.mark.parametrize("category", [StopCategory.HOLD, StopCategory.RAMP_OFF])
def test_stops_the_arm_in_mid_motion(
    so101: Standing,
    tmp_path: Path,
    harm: Callable[["subprocess.Popen[bytes]"], None],
    cause: Cause,
    category: StopCategory,
) -> None:
    with guarded(so101, tmp_path, category=category) as scene:
        until(lambda: moves(so101), "the arm moves")
        harm(scene.control)
        verdict = scene.verdict()
        assert scene.control.wait(PATIENCE) == -signal.SIGKILL
        assert scene.guardian.code == 0
    assert verdict.cause == cause.value
    assert verdict.stop is not None
    assert verdict.stop.complete, verdict
    stays_at_rest(so101)
    assert so101.torque() == [category is StopCategory.HOLD] * 6


def test_stops_an_arm_of_dynamixels(koch: Standing, tmp_path: Path) -> None:
    with guarded(koch, tmp_path) as scene:
        until(lambda: moves(koch), "the arm moves")
        scene.control.kill()
        verdict = scene.verdict()
    assert verdict.stop is not None
    assert verdict.stop.complete, verdict
    stays_at_rest(koch)
    assert koch.torque() == [True] * 6


def test_acts_when_asked_even_while_frames_come(so101: Standing, tmp_path: Path) -> None:
    with guarded(so101, tmp_path) as scene:
        until(lambda: moves(so101), "the arm moves")
        scene.guardian.send_signal(signal.SIGUSR1)
        assert scene.verdict().cause == Cause.ASKED.value
    stays_at_rest(so101)


def test_stays_when_the_supervisor_is_gone_and_ignores_what_ends_the_others(so101: Standing, tmp_path: Path) -> None:
    with guarded(so101, tmp_path) as scene:
        until(lambda: moves(so101), "the arm moves")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            scene.guardian.send_signal(number)
        scene.guardian.hang_up()
        assert not scene.guardian.wait(0.5)
        scene.control.kill()
        assert scene.verdict().cause == Cause.DEAD.value
    stays_at_rest(so101)


def test_says_so_and_does_nothing_when_the_arm_was_not_armed(so101: Standing, tmp_path: Path) -> None:
    with guarded(so101, tmp_path, state="idle") as scene:
        scene.control.kill()
        verdict = scene.verdict()
    assert verdict.stop is None
    assert "not armed" in verdict.done
    assert "shoulder_pan" in verdict.done
    assert verdict.done.endswith("have torque and hold")
    assert json.loads(scene.report.read_text(encoding="utf-8"))["stop"] is None


def test_is_dismissed_when_the_control_process_ends_as_it_should(so101: Standing, tmp_path: Path) -> None:
    with guarded(so101, tmp_path) as scene:
        until(lambda: moves(so101), "the arm moves")
        scene.guardian.tell("dismiss")
        assert scene.guardian.wait(PATIENCE)
        assert scene.guardian.code == 0
        assert scene.control.poll() is None
        assert not scene.report.exists()
