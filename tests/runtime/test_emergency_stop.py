"""The emergency stop from outside: whoever is stuck, the arm comes to rest."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.errors import NotReady
from robot_mbrl.contracts.types import StopCategory
from robot_mbrl.runtime.child import Child
from robot_mbrl.runtime.emergency_stop import emergency_stop
from robot_mbrl.runtime.guardian import READY
from robot_mbrl.runtime.session_record import ProcessIdentity, SessionRecord, remove_record
from robot_mbrl.runtime.settings import DeploySettings
from tests.cli.program import Standing
from tests.runtime import stand_in_control
from tests.runtime.arm_stand import moves, robot_settings, standing_arm, stays_at_rest, until


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
