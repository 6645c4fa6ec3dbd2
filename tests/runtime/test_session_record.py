"""Records of who runs an arm: found by name, never mistaken for a later process with the same ID."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from robot_mbrl.runtime.session_record import (
    ProcessIdentity,
    SessionRecord,
    load_record,
    recorded_sessions,
    remove_record,
)
from robot_mbrl.runtime.settings import DeploySettings, TwinSettings
from tests.runtime.arm_stand import until

SESSION = f"test-record-{os.getpid()}"


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def test_a_record_is_found_by_its_session_and_taken_away() -> None:
    here = ProcessIdentity.of(os.getpid())
    settings = DeploySettings(session=SESSION, robot=TwinSettings())
    record = SessionRecord(supervisor=here, control=here, guardian=here, settings=settings)
    record.save()
    try:
        assert load_record(SESSION) == record
        assert SESSION in recorded_sessions()
    finally:
        remove_record(SESSION)
    remove_record(SESSION)
    assert load_record(SESSION) is None
    assert SESSION not in recorded_sessions()


def test_a_frozen_process_is_alive_and_a_dead_one_is_not(sleeper: "subprocess.Popen[bytes]") -> None:
    identity = ProcessIdentity.of(sleeper.pid)
    sleeper.send_signal(signal.SIGSTOP)
    assert identity.is_alive()
    identity.send_signal(signal.SIGKILL, patience=30.0)
    # Nobody has asked yet how it ended, so that its ID is still taken.
    assert not identity.is_alive()
    assert sleeper.wait() == -signal.SIGKILL
    assert not identity.is_alive()
    identity.send_signal(signal.SIGKILL)


def test_another_process_with_the_same_id_is_left_alone(sleeper: "subprocess.Popen[bytes]") -> None:
    identity = ProcessIdentity.of(sleeper.pid)
    earlier = identity.model_copy(update={"started": identity.started - 1})
    assert not earlier.is_alive()
    earlier.send_signal(signal.SIGKILL, patience=0.2)
    assert identity.is_alive()


def test_there_is_no_identity_without_a_process(sleeper: "subprocess.Popen[bytes]") -> None:
    sleeper.kill()
    sleeper.wait()
    until(lambda: not os.path.exists(f"/proc/{sleeper.pid}"), "the process is gone")
    with pytest.raises(ProcessLookupError, match="has ended"):
        ProcessIdentity.of(sleeper.pid)
