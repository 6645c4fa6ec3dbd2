"""Joint calibration: our file, LeRobot's file, and the way between them."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_mbrl.contracts.errors import CalibrationError, CalibrationMissing, ConfigError
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.drivers.calibration import (
    ArmCalibration,
    JointCalibration,
    from_lerobot,
    load_calibration,
    nominal_calibration,
    save_calibration,
    to_lerobot,
)

ARM = load_arm("so101_follower")

ticks = st.integers(0, 4095)


@st.composite
def lerobot_files(draw: st.DrawFn) -> dict[str, dict[str, int]]:
    entries: dict[str, dict[str, int]] = {}
    for joint in ARM.joints:
        low = draw(st.integers(0, 4094))
        entries[joint.name] = {
            "id": joint.id,
            "drive_mode": draw(st.sampled_from([0, 1])),
            "homing_offset": draw(st.integers(-2047, 2047)),
            "range_min": low,
            "range_max": draw(st.integers(low + 1, 4095)),
        }
    return entries


@given(lerobot_files())
def test_lerobots_file_comes_back_as_it_was(entries: dict[str, dict[str, int]]) -> None:
    calibration = from_lerobot(json.dumps(entries), ARM, "file")
    assert json.loads(to_lerobot(calibration, ARM)) == entries


@given(lerobot_files())
def test_our_file_comes_back_as_it_was(entries: dict[str, dict[str, int]]) -> None:
    calibration = from_lerobot(json.dumps(entries), ARM, "file")
    assert ArmCalibration.model_validate(calibration.model_dump(mode="json")) == calibration


def test_the_middle_of_lerobots_range_is_the_middle_of_the_models_limits() -> None:
    """A gripper recorded from 2000 to 3250: middle 2625; model limits -0.17453..1.74533, middle 0.7854 = 512 ticks."""
    entries = json.loads(to_lerobot(nominal_calibration(ARM), ARM))
    entries["gripper"] |= {"range_min": 2000, "range_max": 3250}
    joint = from_lerobot(json.dumps(entries), ARM, "file").joints["gripper"]
    assert joint.zero_tick == 2625 - 512
    assert joint.joint_map.to_rad(2625) == pytest.approx(math.pi / 4, abs=1e-3)


def test_a_saved_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "arm.yaml"
    save_calibration(path, nominal_calibration(ARM))
    assert load_calibration(path, ARM) == nominal_calibration(ARM)
    assert [entry.name for entry in path.parent.iterdir()] == ["arm.yaml"]


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(CalibrationMissing, match="run `robot-mbrl calibrate joints --arm so101_follower`"):
        load_calibration(tmp_path / "none.yaml", ARM)


def test_a_calibration_of_another_arm_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "arm.yaml"
    save_calibration(path, nominal_calibration(load_arm("so101_leader")))
    with pytest.raises(CalibrationError, match="calibration is of arm so101_leader, not so101_follower"):
        load_calibration(path, ARM)


def test_a_calibration_with_other_ids_is_refused() -> None:
    nominal = nominal_calibration(ARM)
    joints = dict(nominal.joints)
    joints["gripper"] = JointCalibration(**(joints["gripper"].model_dump() | {"id": 9}))
    with pytest.raises(CalibrationError, match="gripper has ID 9, so101_follower says 6"):
        ArmCalibration(arm=ARM.name, joints=joints).check_fits(ARM, "file")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"gripper": {"id": 6}}, "gripper.drive_mode is missing"),
        ({"gripper": {"id": 6, "spin": 1}}, "unknown key gripper.spin"),
        (
            {"tail": {"id": 7, "drive_mode": 0, "homing_offset": 0, "range_min": 0, "range_max": 9}},
            "unknown joints tail",
        ),
    ],
)
def test_a_malformed_lerobot_file_is_told_in_one_line(change: dict[str, dict[str, int]], complaint: str) -> None:
    entries = json.loads(to_lerobot(nominal_calibration(ARM), ARM)) | change
    with pytest.raises(ConfigError) as caught:
        from_lerobot(json.dumps(entries), ARM, "file")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_that_is_not_json_is_told_so() -> None:
    with pytest.raises(ConfigError, match="file: not valid JSON"):
        from_lerobot("{", ARM, "file")
