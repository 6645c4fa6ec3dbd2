"""`robot-mbrl deploy` on an emulated arm over its serial port: however a run ends, the arm ends at rest."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from robot_mbrl.contracts.frame import ControlState, Record
from robot_mbrl.data.reader import read_frames, read_log
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.session_record import load_record
from robot_mbrl.runtime.settings import TwinSettings
from tests.cli.deployment import AFTER, Deployment, deployed, session_processes, shared_memory
from tests.cli.program import Standing, run
from tests.runtime.arm_stand import robot_settings, standing_arm, stays_at_rest, until

DIE_IN_A_SESSION = """
import os, signal, sys
from robot_mbrl.runtime.channels import Session
session = Session(sys.argv[1])
session.publisher("frame")
os.kill(os.getpid(), signal.SIGKILL)
"""
PARK_TOLERANCE = 0.15
"""How far a parked arm may lie from its park pose [rad]: gravity pulls it down to its stops."""


@pytest.fixture(scope="module")
def so101(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing_arm(tmp_path_factory.mktemp("deploy")) as standing:
        yield standing


def torque(standing: Standing) -> list[bool]:
    """Which servos have torque, by the physics' side of the emulator."""
    return [bool(on) for on in standing.process.control.truth().torque]


def stopped(frame: Record | None) -> bool:
    """Whether `frame`, if there is one, is of an arm that was stopped."""
    return frame is not None and int(frame["state"][0]) == ControlState.STOPPED


def nothing_is_left(session: str) -> None:
    """No process of the session, no shared memory."""
    until(lambda: not session_processes(session), "all processes end")
    until(lambda: not shared_memory(session), "its shared memory is taken away")


def trajectory(standing: Standing, folder: Path) -> str:
    """A policy that swings the first joint to and fro, from the park pose."""
    park = {joint.name: joint.park_position for joint in standing.arm.joints}
    waypoints = [{"duration": 1.0, "position": park | {"shoulder_pan": angle}} for angle in (0.3, -0.3)]
    path = folder / "trajectory.yaml"
    path.write_text(yaml.safe_dump({"waypoints": waypoints, "repeat": True}), encoding="utf-8")
    return f"scripted:{path}"


def test_a_trajectory_ends_in_time_parked_and_without_torque(so101: Standing, tmp_path: Path) -> None:
    flags = ("--policy", trajectory(so101, tmp_path), "--seconds", "4", "--park", "--release")
    with deployed(robot_settings(so101), tmp_path, *flags) as deployment:
        deployment.await_word("the torque goes on, then policy")
        deployment.await_motion(so101)
        assert all(torque(so101))
        assert deployment.end() == 0, deployment.output()
        nothing_is_left(deployment.session)
        assert list(deployment.logs.glob("flight-*.mcap"))
    stays_at_rest(so101)
    parked = np.array([joint.park_position for joint in so101.arm.joints])
    assert np.abs(so101.process.control.truth().position - parked).max() < PARK_TOLERANCE
    assert not any(torque(so101))


def story(deployment: Deployment) -> list[str]:
    """What the log of its only flight tells."""
    (log,) = deployment.logs.glob("flight-*.mcap")
    return [note.text for note in read_log(log).notes]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_end_in_a_controlled_stop(so101: Standing, tmp_path: Path, number: signal.Signals) -> None:
    with deployed(robot_settings(so101), tmp_path) as deployment:
        deployment.await_motion(so101)
        deployment.process.send_signal(number)
        assert deployment.end() == 128 + number, deployment.output()
        nothing_is_left(deployment.session)
        assert f"ended by {number.name}" in story(deployment)
        (incident,) = deployment.logs.glob("incident-*.mcap")
    stays_at_rest(so101)
    frames = read_frames(incident)
    stop_ns = frames["wake_ns"][frames["state"] == ControlState.STOPPED][0]
    assert (frames["wake_ns"][-1] - stop_ns) / 1e9 == pytest.approx(AFTER, abs=0.1)
    assert all(torque(so101))


@pytest.mark.parametrize(
    ("module", "number", "told"),
    [
        ("control_process", signal.SIGKILL, "guardian: the control process ended"),
        ("control_process", signal.SIGSTOP, "guardian: no frame came"),
        ("policy_process", signal.SIGKILL, "the policy process ended: it was ended by signal 9"),
        ("policy_process", signal.SIGSTOP, "the arm was stopped"),
        ("recorder", signal.SIGKILL, "the recorder process ended"),
        ("guardian", signal.SIGKILL, "the guardian process ended"),
    ],
)
def test_the_end_of_any_process_is_the_end_of_the_motion(
    so101: Standing, tmp_path: Path, module: str, number: signal.Signals, told: str
) -> None:
    with deployed(robot_settings(so101), tmp_path) as deployment:
        deployment.await_motion(so101)
        os.kill(deployment.child(module), number)
        code = deployment.end()
        assert code in {12, 13}, deployment.output()
        assert told in deployment.output()
        nothing_is_left(deployment.session)
        if module != "recorder":
            assert any(line.startswith(told) for line in story(deployment))
    stays_at_rest(so101)
    assert all(torque(so101))


def test_the_arm_is_stopped_when_the_supervisor_itself_is_killed(so101: Standing, tmp_path: Path) -> None:
    with deployed(robot_settings(so101), tmp_path) as deployment:
        deployment.await_motion(so101)
        deployment.process.kill()
        nothing_is_left(deployment.session)
    stays_at_rest(so101)
    assert all(torque(so101))


def test_a_console_that_falls_silent_stops_the_arm(so101: Standing, tmp_path: Path) -> None:
    with deployed(robot_settings(so101), tmp_path, "--heartbeat", "0.4") as deployment:
        deployment.await_motion(so101)
        with Session(deployment.session) as session:
            frames = session.subscriber("frame")
            deployment.process.send_signal(signal.SIGSTOP)
            until(lambda: stopped(frames.newest()), "the arm is stopped")
        stays_at_rest(so101)
        assert all(torque(so101))
        deployment.process.send_signal(signal.SIGCONT)
        assert deployment.end() == 13, deployment.output()
        # Whichever of them looks first.
        assert any(word in deployment.output() for word in ("console fell silent", "lost_heartbeat"))
        nothing_is_left(deployment.session)


def test_stop_in_mid_motion_and_once_more(so101: Standing, tmp_path: Path) -> None:
    # From here, and not from where `stop` is run.
    flags = ("--stop", "ramp-off", "--log-dir", os.path.relpath(tmp_path / "logs"))
    with deployed(robot_settings(so101), tmp_path, *flags) as deployment:
        deployment.await_motion(so101)
        record = load_record(deployment.session)
        assert record is not None
        assert record.settings.log.resolve() == deployment.logs.resolve()
        assert record.settings.log.is_absolute()
        first = run(tmp_path, "stop", "--session", deployment.session)
        assert first.code == 0, first
        second = run(tmp_path, "stop", "--session", deployment.session)
        # The run may be over by then, and a name that nobody runs under is no success.
        assert second.code in {0, 8}, second
        assert deployment.end() == 13, deployment.output()
        assert "the arm was stopped: emergency" in deployment.output()
        nothing_is_left(deployment.session)
    stays_at_rest(so101)
    assert not any(torque(so101))


def test_keys_stop_the_arm_reset_it_and_let_it_go_on(so101: Standing, tmp_path: Path) -> None:
    with deployed(robot_settings(so101), tmp_path, terminal=True) as deployment:
        deployment.await_motion(so101)
        deployment.press(" ")
        deployment.await_word("the arm was stopped: emergency; keys: r resets")
        stays_at_rest(so101)
        # Too early, so that it must not count when the reset has been done.
        deployment.press("gr")
        deployment.await_word("reset; the arm holds")
        stays_at_rest(so101)
        deployment.press("g")
        deployment.await_motion(so101)
        deployment.press("q")
        assert deployment.end() == 0, deployment.output()
        assert "running" in deployment.output()
        assert "speed scale" in deployment.output()
        nothing_is_left(deployment.session)
    stays_at_rest(so101)
    assert all(torque(so101))


def test_a_stop_key_while_the_processes_start_leaves_the_arm_alone(so101: Standing, tmp_path: Path) -> None:
    before = torque(so101)
    with deployed(robot_settings(so101), tmp_path, terminal=True) as deployment:
        deployment.await_word("recorder ready")
        deployment.press(" ")
        assert deployment.end() == 13, deployment.output()
        assert "stopped by key before the arm had torque: nothing was moved" in deployment.output()
        assert "the arm is armed" not in deployment.output()
        nothing_is_left(deployment.session)
    stays_at_rest(so101)
    assert torque(so101) == before


def test_a_closed_terminal_stops_the_arm(so101: Standing, tmp_path: Path) -> None:
    with deployed(robot_settings(so101), tmp_path, terminal=True) as deployment:
        deployment.await_motion(so101)
        deployment.process.kill()
        nothing_is_left(deployment.session)
    stays_at_rest(so101)
    assert all(torque(so101))


def test_the_twin_runs_too_and_clears_what_a_killed_session_left(tmp_path: Path) -> None:
    abandoned = f"test-abandoned-{os.getpid()}"
    subprocess.run([sys.executable, "-c", DIE_IN_A_SESSION, abandoned], check=False)
    assert shared_memory(abandoned)
    with deployed(TwinSettings(), tmp_path, "--seconds", "0.5") as deployment:
        assert deployment.end() == 0, deployment.output()
        # 4.9 rad/s at 38 rad/s² and 1900 rad/s³.
        assert (
            "Braking from full speed takes the goals 149 ms and 0.36 rad at most, the arm longer" in deployment.output()
        )
        nothing_is_left(deployment.session)
    [log] = deployment.logs.glob("flight-*.mcap")
    assert "stop planned in" in run(tmp_path, "log", "info", str(log)).out
    assert not shared_memory(abandoned)
