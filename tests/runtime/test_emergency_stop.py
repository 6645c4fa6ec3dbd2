"""The emergency stop from outside: whoever is stuck, the arm comes to rest."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from robot_mbrl.contracts.clock import Clock, MonotonicClock
from robot_mbrl.contracts.config import RobotSettings
from robot_mbrl.contracts.errors import CalibrationMissing, NotReady
from robot_mbrl.contracts.types import StopCategory
from robot_mbrl.runtime.child import Child
from robot_mbrl.runtime.emergency_stop import StopOutcome, emergency_stop, emergency_stops
from robot_mbrl.runtime.guardian import READY
from robot_mbrl.runtime.session_record import ProcessIdentity, SessionRecord, recorded_sessions, remove_record
from robot_mbrl.runtime.settings import AnyRobot, DeploySettings, TwinSettings
from tests.cli.program import Standing, assert_one_line, run_here
from tests.runtime import stand_in_control
from tests.runtime.arm_stand import PATIENCE, moves, robot_settings, standing_arm, stays_at_rest, until


@pytest.fixture(scope="module")
def so101(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing_arm(tmp_path_factory.mktemp("stop")) as standing:
        yield standing


class Deaf:
    """An arm that swings by a stand-in for the control process, which obeys no request, with a guardian over it."""

    def __init__(self, standing: Standing, folder: Path, category: StopCategory, cleanup: ExitStack) -> None:
        robot = robot_settings(standing)
        self.session = f"test-stop-{os.getpid()}"
        settings = DeploySettings(session=self.session, robot=robot, log=folder, stop=category)
        self.guardian = Child("guardian", "robot_mbrl.runtime.guardian", settings.model_dump_json())
        cleanup.callback(self.guardian.close)
        self.guardian.start()
        self.guardian.await_line(READY)
        self.control = subprocess.Popen(
            [sys.executable, stand_in_control.__file__, self.session, "running", robot.model_dump_json()]
        )
        cleanup.callback(self.control.wait)
        cleanup.callback(self.control.kill)
        self.guardian.tell(f"watch {self.control.pid}")
        pids = [ProcessIdentity.of(pid) for pid in (os.getpid(), self.control.pid, self.guardian.pid)]
        SessionRecord(supervisor=pids[0], control=pids[1], guardian=pids[2], settings=settings).save()
        cleanup.callback(remove_record, self.session)
        until(lambda: moves(standing), "the arm moves")


@pytest.mark.parametrize(("frozen_guardian", "category"), [(False, StopCategory.TORQUE_OFF), (True, StopCategory.HOLD)])
def test_a_control_process_that_obeys_nothing_is_overruled(
    so101: Standing, tmp_path: Path, frozen_guardian: bool, category: StopCategory
) -> None:
    with ExitStack() as cleanup:
        deaf = Deaf(so101, tmp_path, category, cleanup)
        if frozen_guardian:
            deaf.guardian.send_signal(signal.SIGSTOP)
        outcome = emergency_stop(deaf.session, MonotonicClock())
        assert outcome.complete, outcome
        assert ("were killed" in outcome.how) == frozen_guardian
        assert deaf.control.wait() == -signal.SIGKILL
        stays_at_rest(so101)
        # A second stop finds everybody gone, and the arm at rest.
        assert emergency_stop(deaf.session, MonotonicClock()).complete
    assert so101.torque() == [category is StopCategory.HOLD] * 6


def test_a_name_that_nobody_runs_under_stops_nothing_and_says_so() -> None:
    with pytest.raises(NotReady, match="none was stopped"):
        emergency_stop(f"test-nobody-{os.getpid()}", MonotonicClock())


# -- what cannot be stopped, and others beside it --------------------------------------------------------------------


class Frozen:
    """A control process and a guardian that do nothing, and their record."""

    def __init__(self, name: str, robot: AnyRobot, folder: Path, cleanup: ExitStack) -> None:
        self.session = f"test-frozen-{name}-{os.getpid()}"
        self.control, self.guardian = self._process(cleanup), self._process(cleanup)
        self.guardian.send_signal(signal.SIGSTOP)
        pids = [ProcessIdentity.of(pid) for pid in (os.getpid(), self.control.pid, self.guardian.pid)]
        settings = DeploySettings(session=self.session, robot=robot, log=folder)
        SessionRecord(supervisor=pids[0], control=pids[1], guardian=pids[2], settings=settings).save()
        cleanup.callback(remove_record, self.session)

    @staticmethod
    def _process(cleanup: ExitStack) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        cleanup.callback(process.wait)
        cleanup.callback(process.kill)
        return process

    @property
    def runs(self) -> list[bool]:
        """Whether control and guardian do."""
        return [process.poll() is None for process in (self.control, self.guardian)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a guardian that is frozen on purpose."""
    monkeypatch.setattr("robot_mbrl.runtime.emergency_stop.GUARDIAN_PATIENCE", 0.1)


def uncalibrated(folder: Path) -> RobotSettings:
    """An arm whose calibration is gone."""
    return RobotSettings(arm="so101_follower", port=str(folder / "port"), calibration=folder / "none.yaml")


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.usefixtures("impatient")
def test_nobody_is_killed_by_who_could_not_stop_the_arm_afterwards(tmp_path: Path, cleanup: ExitStack) -> None:
    frozen = Frozen("lost", uncalibrated(tmp_path), tmp_path, cleanup)
    with pytest.raises(CalibrationMissing, match=r"none\.yaml"):
        emergency_stop(frozen.session, MonotonicClock())
    assert frozen.runs == [True, True]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("report", [None, "{"])
def test_a_guardian_that_left_no_report_is_not_relied_on(
    tmp_path: Path, cleanup: ExitStack, report: str | None
) -> None:
    frozen = Frozen("mute", TwinSettings(), tmp_path, cleanup)
    if report is not None:
        (tmp_path / f"guardian-{frozen.session}.json").write_text(report, encoding="utf-8")
    # SIGUSR1 ends a process that does not expect it.
    frozen.guardian.send_signal(signal.SIGCONT)
    assert "ended together with its control process" in emergency_stop(frozen.session, MonotonicClock()).how
    assert frozen.runs == [False, False]


@pytest.mark.usefixtures("impatient")
def test_an_arm_that_cannot_be_stopped_keeps_no_other_one_from_it(
    tmp_path: Path, cleanup: ExitStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = Frozen("a-lost", uncalibrated(tmp_path), tmp_path, cleanup)
    broken = Frozen("b-broken", TwinSettings(), tmp_path, cleanup)
    twin = Frozen("c-twin", TwinSettings(), tmp_path, cleanup)
    (path,) = Path("/dev/shm").glob(f"robot_mbrl-deployment-*-{broken.session}")
    path.write_text("{}", encoding="utf-8")
    names = [lost.session, broken.session, twin.session]
    assert set(names) <= set(recorded_sessions())
    # Other sessions of this user are none of this test's business.
    monkeypatch.setattr("robot_mbrl.cli.stop.recorded_sessions", lambda: names)
    outcome = run_here(capsys, "stop")
    assert_one_line(outcome, 13, lost.session, broken.session, "switch its power off")
    assert twin.session not in outcome.err
    lines = {line.partition(":")[0]: line for line in outcome.out.splitlines()}
    assert set(lines) == set(names)
    assert "NOT STOPPED: so101_follower: no joint calibration at" in lines[lost.session]
    assert "NOT STOPPED: session" in lines[broken.session]
    assert "its record cannot be read" in lines[broken.session]
    assert lines[twin.session].endswith("the twin was ended together with its control process")
    assert (lost.runs, twin.runs) == ([True, True], [False, False])


def test_all_arms_are_stopped_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    others = threading.Barrier(3)

    def stop(session: str, _clock: Clock) -> StopOutcome:
        others.wait(PATIENCE)
        if session == "b":
            raise ValueError("odd")
        return StopOutcome("rests", complete=True)

    monkeypatch.setattr("robot_mbrl.runtime.emergency_stop.emergency_stop", stop)
    outcomes = dict(emergency_stops(["a", "b", "c"], MonotonicClock()))
    assert outcomes["a"] == outcomes["c"] == StopOutcome("rests", complete=True)
    assert str(outcomes["b"]) == "session 'b': ValueError: odd"


def test_without_a_session_nothing_is_done() -> None:
    assert list(emergency_stops([], MonotonicClock())) == []
