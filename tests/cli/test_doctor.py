"""`doctor` with a robot's file: the arm, port and supply of the file are what is checked."""

import json
from pathlib import Path

import pytest

from robot_mbrl.contracts.config import RobotSettings, dump_settings
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess
from robot_mbrl.sim.truth import nominal_truth, save_truth
from tests.cli.program import assert_one_line, calibrate, run_here

Capture = pytest.CaptureFixture[str]
ARM = load_arm("so101_follower")


def written(folder: Path, **changes: object) -> str:
    """A robot's file; returns its path."""
    settings = RobotSettings.model_validate({"arm": ARM.name, "port": str(folder / "port"), **changes})
    path = folder / "robot.yaml"
    path.write_text(dump_settings(settings), encoding="utf-8")
    return str(path)


def test_an_arm_on_5_volts_is_warned_of_until_its_file_names_the_supply(tmp_path: Path, capsys: Capture) -> None:
    truth = nominal_truth(ARM).model_copy(update={"supply_voltage": {"sts3215": 5.0}})
    save_truth(tmp_path / "truth.yaml", truth)
    servos = [f"{joint.name} (ID {joint.id})" for joint in ARM.joints]

    def found(*options: str) -> set[str]:
        outcome = run_here(capsys, "doctor", *options, "--json")
        assert outcome.code == 0, outcome
        checks = json.loads(outcome.out)["checks"]
        assert checks[-1]["name"] == "calibration"
        return {check["status"] for check in checks if check["name"] in servos}

    with VirtualArmProcess(ARM.name, link=tmp_path / "port", truth=tmp_path / "truth.yaml") as process:
        standing = calibrate(process, ARM.name, tmp_path / "calibration.yaml")
        assert found(*standing.flags()) == {"warn"}
        assert found("--robot", written(tmp_path, calibration=standing.calibration)) == {"warn"}
        named = written(tmp_path, calibration=standing.calibration, supply_voltage=5.0)
        assert found("--robot", named) == {"ok"}


def test_a_file_and_options_that_it_names_too(tmp_path: Path, capsys: Capture) -> None:
    outcome = run_here(capsys, "doctor", "--robot", written(tmp_path), "--arm", ARM.name)
    assert_one_line(outcome, 3, "--robot", "leave out the other options")


def test_a_supply_that_the_servos_do_not_accept(tmp_path: Path, capsys: Capture) -> None:
    outcome = run_here(capsys, "doctor", "--robot", written(tmp_path, supply_voltage=12.0))
    assert_one_line(outcome, 3, "supply_voltage 12 V", "shoulder_pan", "4 to 8 V")
