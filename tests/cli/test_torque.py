"""`robot-mbrl torque off` on an arm that is not all there."""

from pathlib import Path

import pytest

from robot_mbrl.runtime.virtual_arm import VirtualArmProcess
from tests.cli.program import assert_one_line, calibrate, run_here


def test_a_silent_servo_does_not_keep_the_others_stiff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with VirtualArmProcess("so101_follower", link=tmp_path / "port") as process:
        arm = calibrate(process, "so101_follower", tmp_path / "calibration.yaml")
        assert run_here(capsys, "torque", "on", *arm.flags()).code == 0
        assert process.control.truth().torque.all()
        process.control.fault({"fault": "silent", "servo": "elbow_flex"})
        outcome = run_here(capsys, "torque", "off", *arm.flags(), "--yes")
        torque = process.control.truth().torque.tolist()
    assert_one_line(outcome, 6, "went to all servos", "elbow_flex (ID 3) cannot be asked", "cut the arm's power")
    assert torque == [False, False, True, False, False, False]
    assert "torque is OFF" not in outcome.out
