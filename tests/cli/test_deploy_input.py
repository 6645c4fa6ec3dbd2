"""What `robot-mbrl deploy` refuses: before anything is started, in one line, with the arm untouched."""

from pathlib import Path

import pytest
import yaml

from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.drivers.arms import ArmDefinition, JointDefinition
from tests.cli.program import Standing, Untouched, assert_one_line, run, run_here
from tests.policies.synthetic_bundles import ensemble_content

Capture = pytest.CaptureFixture[str]


def refused(standing: Standing, folder: Path, capture: Capture, code: int, parts: list[str], *flags: str) -> None:
    """`deploy` of a sine with `flags` ends with `code` and one line that holds all `parts`."""
    defaults = ("--policy", "sine", "--log-dir", str(folder / "logs"), "--session", "test-refused", "--yes")
    with Untouched(standing):
        outcome = run_here(capture, "deploy", *standing.flags(), *defaults, *flags)
    assert_one_line(outcome, code, *parts)
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("flags", "code", "parts"),
    [
        (["--policy", "dance"], 3, ["unknown policy 'dance'", "scripted, sine"]),
        (["--policy", "scripted"], 3, ["needs a trajectory", "scripted:FILE"]),
        (["--policy", "scripted:/none.yaml"], 3, ["/none.yaml", "cannot be read"]),
        (["--rate", "1500"], 3, ["rate 1500 Hz", "bus of so101_follower", "give at most"]),
        (["--rate", "0"], 3, ["loop.rate", "greater than or equal to 10"]),
        (["--rate", "nan"], 3, ["loop.rate", "finite"]),
        (["--rate", "25", "--policy-rate", "20"], 3, ["rate 25 Hz: a tick of 0.04 s is late", "give 50 Hz or more"]),
        (["--policy-rate", "1"], 3, ["policy_rate 1 Hz: actions that are good for 3 s", "give 1.5 Hz or more"]),
        (["--guardian-bound", "0.001"], 3, ["guardian_bound 0.001 s", "give at least 0.02 s"]),
        (["--rate", "50", "--guardian-bound", "0.03"], 3, ["guardian_bound 0.03 s", "give at least 0.04 s"]),
        (["--heartbeat", "0.05"], 3, ["heartbeat 0.05 s: a console beats every 0.05 s: give at least twice that"]),
        (["--heartbeat", "5"], 3, ["heartbeat 5 s: the arm's limit is 0.5 s"]),
        (["--rate", "100", "--policy-rate", "150"], 3, ["policy_rate 150.0 Hz", "above the loop's rate 100.0 Hz"]),
        (["--seconds", "-1"], 3, ["--seconds -1.0", "positive"]),
        (["--seconds", "nan"], 3, ["--seconds nan", "positive"]),
        (["--log-dir", "/proc/logs"], 3, ["log folder /proc/logs", "can be written"]),
        (["--log-dir", "/dev/null/logs"], 3, ["log folder /dev/null/logs", "can be written"]),
        (["--session", "no way"], 3, ["session", "'no way'"]),
        (["--guardian-bound", "0"], 3, ["guardian_bound", "greater than 0"]),
        (["--heartbeat", "-1"], 3, ["loop.heartbeat", "greater than 0"]),
        (["--ensemble", "/none.onnx"], 3, ["/none.onnx"]),
        (["--robot", "twin"], 3, ["twin has no port"]),
        (["--settings", "/none.yaml"], 3, ["/none.yaml", "cannot be read"]),
        (["--port", "/dev/ttyNONE"], 5, ["/dev/ttyNONE", "does not exist"]),
        (["--calibration", "/none.yaml"], 4, ["no joint calibration at /none.yaml"]),
        (["--stop", "gently"], 2, ["gently", "ramp-off"]),
    ],
)
def test_options(
    so101: Standing, tmp_path: Path, capsys: Capture, flags: list[str], code: int, parts: list[str]
) -> None:
    refused(so101, tmp_path, capsys, code, parts, *flags)


def test_an_ensemble_that_would_stop_nothing(so101: Standing, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(ensemble_content(so101.arm.joint_names))
    parts = [f"{path}: an ensemble without thresholds of doubt", "robot-mbrl calibrate monitor", "--thresholds FILE"]
    refused(so101, tmp_path, capsys, 3, parts, "--ensemble", str(path))


def test_port_in_use(so101: Standing, tmp_path: Path, capsys: Capture) -> None:
    with Untouched(so101):
        bus = so101.bus()
        try:
            outcome = run_here(
                capsys, "deploy", *so101.flags(), "--policy", "sine", "--log-dir", str(tmp_path), "--yes"
            )
        finally:
            bus.close()
    assert_one_line(outcome, 5, so101.port, "held by another process", "fuser")


def test_an_answer_other_than_yes(so101: Standing, tmp_path: Path) -> None:
    flags = ("--policy", "sine", "--log-dir", str(tmp_path))
    with Untouched(so101):
        outcome = run(tmp_path, "deploy", *so101.flags(), *flags, answers="n\n")
    assert_one_line(outcome, 8, "was not moved", "--yes")
    assert "moves the arm" in outcome.out
    assert "Go? [y/N]" in outcome.out


def changed_arm(arm: ArmDefinition, folder: Path, **changes: object) -> str:
    """An arm definition whose first joint is changed; returns its path."""
    joints = [joint.model_dump(mode="json") for joint in arm.joints]
    joints[0] |= changes
    path = folder / "arm.yaml"
    content = yaml.safe_load(dump_settings(arm)) | {"joints": joints}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"position_limits": [1.0, -1.0]}, ["position_limits of shoulder_pan", "1.0 must be below -1.0"]),
        ({"park_position": 3.0}, ["park_position of shoulder_pan = 3.0", "outside -1.91986..1.91986"]),
        ({"velocity_limit": 0.0}, ["joints.0.velocity_limit", "greater than 0"]),
    ],
)
def test_an_arm_whose_limits_contradict_each_other(
    so101: Standing, tmp_path: Path, capsys: Capture, changes: dict[str, object], parts: list[str]
) -> None:
    assert set(changes) <= set(JointDefinition.model_fields)
    refused(so101, tmp_path, capsys, 3, parts, "--arm", changed_arm(so101.arm, tmp_path, **changes))


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ({"safety": {"timing": {"missed_ticks": {"slow": 0.9, "stop": 0.5}}}}, ["slow = 0.9 must be below stop = 0.5"]),
        ({"safety": {"workspace": {"floor": 9.0}}}, ["floor = 9.0 must be below"]),
        ({"safety": {"gravity": {}}}, ["unknown key gravity"]),
        ({"speed": 3}, ["unknown key speed"]),
        ({"loop": {"missed_limit": -1.0}}, ["loop.missed_limit = -1.0"]),
    ],
)
def test_settings_that_contradict_each_other(
    so101: Standing, tmp_path: Path, capsys: Capture, content: dict[str, object], parts: list[str]
) -> None:
    robot = {"kind": "serial", "arm": "so101_follower", "port": so101.port}
    path = tmp_path / "deploy.yaml"
    path.write_text(yaml.safe_dump({"robot": robot, **content}), encoding="utf-8")
    refused(so101, tmp_path, capsys, 3, parts, "--settings", str(path))


def test_no_arm_at_all(capsys: Capture) -> None:
    assert_one_line(run_here(capsys, "deploy", "--policy", "sine", "--yes"), 3, "deploy needs an arm", "--port")


def test_half_an_arm(capsys: Capture) -> None:
    assert_one_line(run_here(capsys, "deploy", "--arm", "so101_follower"), 3, "both --arm and --port")


def test_stop_without_a_run(capsys: Capture) -> None:
    outcome = run_here(capsys, "stop", "--session", "test-nobody-runs-this")
    assert_one_line(outcome, 8, "test-nobody-runs-this", "none was stopped")
