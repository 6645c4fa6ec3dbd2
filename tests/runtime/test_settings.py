"""What a deployment is told, for who reads it elsewhere."""

from pathlib import Path

import pytest

from robot_mbrl.contracts.config import RobotSettings
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.drivers.calibration import default_path
from robot_mbrl.runtime.settings import DeploySettings, TwinSettings

ARM = "so101_follower"


def test_what_is_relative_is_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    robot = RobotSettings(arm=ARM, port="port", calibration=Path("mine.yaml"))
    settings = DeploySettings(robot=robot, log=Path("logs"))
    monkeypatch.chdir(tmp_path)
    found = settings.anchored()
    assert isinstance(found.robot, RobotSettings)
    assert (found.log, found.robot.port) == (tmp_path / "logs", str(tmp_path / "port"))
    assert (found.robot.arm, found.robot.calibration) == (ARM, tmp_path / "mine.yaml")
    assert DeploySettings.model_validate_json(found.model_dump_json()) == found


def test_the_default_calibration_is_that_of_who_started_the_arm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    found = DeploySettings(robot=RobotSettings(arm=ARM, port="/dev/ttyACM0")).anchored()
    expected = default_path(load_arm(ARM))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "other"))
    assert isinstance(found.robot, RobotSettings)
    assert found.robot.port == "/dev/ttyACM0"
    assert found.robot.calibration == expected != default_path(load_arm(ARM))


def test_an_arm_of_ones_own_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = DeploySettings(robot=TwinSettings(arm="mine.yaml"), log=Path("/var/logs")).anchored()
    assert (settings.robot.arm, settings.log) == (str(tmp_path / "mine.yaml"), Path("/var/logs"))
