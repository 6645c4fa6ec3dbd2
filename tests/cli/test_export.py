"""`robot-mbrl export`: a run becomes a bundle, or one line says why not."""

from pathlib import Path

import pytest

from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.policies.bundle import ENSEMBLE, THRESHOLDS, read_bundle
from tests.cli.program import assert_one_line, run_here
from tests.learning.dreamer_runs import write_run
from tests.policies.synthetic_bundles import ensemble_content, monitor_thresholds

Capture = pytest.CaptureFixture[str]
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")


def test_a_run_with_its_monitor(tmp_path: Path, capsys: Capture) -> None:
    write_run(tmp_path / "run")
    content = ensemble_content(JOINTS)
    (tmp_path / "monitor.onnx").write_bytes(content)
    (tmp_path / "monitor.yaml").write_text(dump_settings(monitor_thresholds(content)), encoding="utf-8")
    flags = ("--ensemble", str(tmp_path / "monitor.onnx"), "--thresholds", str(tmp_path / "monitor.yaml"))
    folders = (str(tmp_path / "run"), str(tmp_path / "bundle"))
    outcome = run_here(capsys, "export", *folders, *flags, "--parity-steps", "50")
    assert outcome.code == 0, outcome
    bundle = read_bundle(tmp_path / "bundle")
    assert {ENSEMBLE, THRESHOLDS} < bundle.manifest.files.keys()
    assert f"{tmp_path / 'bundle'}: reach with so101" in outcome.out
    assert "largest difference from torch in 50 steps" in outcome.out


def test_no_run(tmp_path: Path, capsys: Capture) -> None:
    outcome = run_here(capsys, "export", str(tmp_path), str(tmp_path / "bundle"))
    assert_one_line(outcome, 3, "has no settings.yaml", "give the folder of a training run")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("option", ["--ensemble", "--thresholds"])
def test_no_monitor(tmp_path: Path, capsys: Capture, option: str) -> None:
    write_run(tmp_path / "run")
    outcome = run_here(capsys, "export", str(tmp_path / "run"), str(tmp_path / "bundle"), option, "/none")
    assert_one_line(outcome, 3, "/none: cannot be read", "monitor's")
    assert not (tmp_path / "bundle").exists()


def test_a_folder_that_is_there(tmp_path: Path, capsys: Capture) -> None:
    assert_one_line(run_here(capsys, "export", str(tmp_path), str(tmp_path)), 3, "exists already")


def test_a_damaged_run(tmp_path: Path, capsys: Capture) -> None:
    write_run(tmp_path / "run")
    best = tmp_path / "run" / "best.safetensors"
    best.write_bytes(best.read_bytes()[:1000])
    outcome = run_here(capsys, "export", str(tmp_path / "run"), str(tmp_path / "bundle"))
    assert_one_line(outcome, 3, "best.safetensors", "give a file that training wrote")
