"""What the commands print for people, for machines, and when they are interrupted."""

import json
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from robot_mbrl.benchmarks import sim_stepping
from robot_mbrl.drivers.calibration import LeRobotJoint, load_calibration
from tests.cli.program import PROGRAM, Standing, Untouched, assert_one_line, environment, run, run_here

Capture = pytest.CaptureFixture[str]


def test_a_scan_for_machines(so101: Standing, capsys: Capture) -> None:
    flags = ("--port", so101.port, "--protocol", "feetech", "--ids", "1-6", "--margin", "0.1", "--json")
    with Untouched(so101):
        outcome = run_here(capsys, "scan", *flags)
    assert outcome.code == 0
    servos = json.loads(outcome.out)["servos"]
    assert [servo["id"] for servo in servos] == [1, 2, 3, 4, 5, 6]
    assert {servo["model"] for servo in servos} == {"sts3215"}
    assert {servo["torque"] for servo in servos} == {False}
    assert all(servo["problem"] == "" for servo in servos)


def test_a_healthy_arm_passes_the_doctor(so101: Standing, capsys: Capture) -> None:
    with Untouched(so101):
        outcome = run_here(capsys, "doctor", *so101.flags(), "--json")
    assert outcome.code == 0
    checks = {check["name"]: check["status"] for check in json.loads(outcome.out)["checks"]}
    assert checks["calibration"] == "ok"
    assert checks["gripper (ID 6)"] == "ok"


def test_no_colour_in_a_pipe(so101: Standing, tmp_path: Path) -> None:
    outcome = run(tmp_path, "doctor", *so101.flags())
    assert outcome.code == 0
    assert "\x1b" not in outcome.out + outcome.err


def test_calibrations_go_to_lerobot_and_back(so101: Standing, tmp_path: Path, capsys: Capture) -> None:
    exported, imported = tmp_path / "lerobot.json", tmp_path / "again.yaml"
    flags = ("calibrate", "joints", "--arm", "so101_follower")
    outcome = run_here(capsys, *flags, "--calibration", str(so101.calibration), "--export-lerobot", str(exported))
    assert outcome.code == 0
    for entry in json.loads(exported.read_text(encoding="utf-8")).values():
        LeRobotJoint.model_validate(entry)
    outcome = run(
        tmp_path, *flags, "--port", so101.port, "--calibration", str(imported), "--import-lerobot", str(exported)
    )
    assert outcome.code == 0, outcome
    ours, theirs = load_calibration(so101.calibration, so101.arm), load_calibration(imported, so101.arm)
    for name, joint in theirs.joints.items():
        assert (joint.range_min, joint.range_max) == (ours.joints[name].range_min, ours.joints[name].range_max)


def test_a_path_that_cannot_be_written_is_one_line(so101: Standing, capsys: Capture) -> None:
    flags = ("--arm", "so101_follower", "--calibration", str(so101.calibration), "--export-lerobot", "/proc/no/file")
    assert_one_line(run_here(capsys, "calibrate", "joints", *flags), 3, "/proc/no", "No such file")


def test_a_calibration_that_could_not_be_kept_is_not_begun(so101: Standing, tmp_path: Path) -> None:
    with Untouched(so101):
        flags = ("--arm", "so101_follower", "--port", so101.port, "--calibration", "/proc/no/file.yaml")
        assert_one_line(run(tmp_path, "calibrate", "joints", *flags), 3, "/proc/no/file.yaml", "another path")


def test_ctrl_c_ends_with_130(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [str(PROGRAM), "virtual-arm", "--link", str(tmp_path / "port")],
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "virtual arm" in process.stdout.readline()
    asking = subprocess.Popen(
        [str(PROGRAM), "calibrate", "joints", "--arm", "so101_follower", "--port", str(tmp_path / "port")],
        env=environment(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert asking.stdout is not None
    assert "Hold EVERY joint" in asking.stdout.readline()
    asking.send_signal(signal.SIGINT)
    _, errors = asking.communicate()
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert asking.returncode == 130
    assert "Traceback" not in errors
    assert process.returncode == 0, "stopping it is the normal end of an emulated arm"


def test_a_long_benchmark_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """On standard error, drawn when the benchmark says so and not by a clock of its own."""

    def measure(seconds: float, *, progress: Callable[[float], None]) -> dict[str, dict[str, float]]:
        assert seconds == 7.0
        threads = threading.active_count()
        progress(0.5)
        assert threading.active_count() == threads
        return {}

    monkeypatch.setattr(sim_stepping, "measure", measure)
    monkeypatch.setenv("FORCE_COLOR", "1")
    outcome = run_here(capsys, "bench", "sim", "--seconds", "7")
    assert outcome.code == 0
    assert "50%" in outcome.err
    assert "50%" not in outcome.out


def test_the_twin_rests_where_it_was_parked(capsys: Capture) -> None:
    outcome = run_here(capsys, "twin", "--seconds", "0.2")
    assert outcome.code == 0
    assert "shoulder_pan" in outcome.out
    assert "s in real time" in outcome.out
