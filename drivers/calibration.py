"""Joint calibration: what one arm's servos were found to be, as our YAML file and as LeRobot's JSON.

LeRobot's file holds, per joint, `{id, drive_mode, homing_offset, range_min, range_max}` in ticks. Its zero is the
middle of the recorded range. A joint is recorded from stop to stop, and the model's limits are those stops, so the
middle of the range is the middle of the model's limits: that is how the two zeros are brought together.
"""

import json
import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from robot_mbrl.contracts.atomic_file import write_atomically
from robot_mbrl.contracts.config import Settings, dump_settings, load_settings, one_line
from robot_mbrl.contracts.errors import CalibrationError, CalibrationMissing, ConfigError
from robot_mbrl.drivers.arms import RAD_PER_TICK, ArmDefinition, JointDefinition, JointMap

HIGHEST_TICK = 4095
MULTI_TURN_TICK = 1_048_575
"""Largest position of Dynamixel's extended mode (e-Manual: ±256 turns)."""


class JointCalibration(Settings):
    """One joint.

    Attributes:
        id: servo ID.
        sign: whether ticks rise with the model's angle.
        homing_offset: value of the servo's own offset register [ticks].
        zero_tick: present position, after the offset, at the model's zero.
        range_min: lowest tick of the recorded range.
        range_max: highest tick of the recorded range.
    """

    id: int = Field(ge=0, le=252)
    sign: Literal[-1, 1]
    homing_offset: int = Field(ge=-MULTI_TURN_TICK, le=MULTI_TURN_TICK)
    zero_tick: int = Field(ge=-MULTI_TURN_TICK, le=MULTI_TURN_TICK)
    range_min: int = Field(ge=-MULTI_TURN_TICK, le=MULTI_TURN_TICK)
    range_max: int = Field(ge=-MULTI_TURN_TICK, le=MULTI_TURN_TICK)

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if not self.range_min < self.range_max:
            raise ValueError(f"range_min {self.range_min} must be below range_max {self.range_max}")
        return self

    @property
    def registers(self) -> dict[str, int]:
        """The servo's registers that hold this calibration [ticks], by name."""
        return {
            "homing_offset": self.homing_offset,
            "min_position_limit": self.range_min,
            "max_position_limit": self.range_max,
        }

    @property
    def joint_map(self) -> JointMap:
        """The map between ticks and radians."""
        return JointMap(self.sign, self.zero_tick)


class ArmCalibration(Settings):
    """All joints of one arm.

    Attributes:
        arm: name of the arm definition that this belongs to.
        joints: by joint name.
    """

    arm: str
    joints: dict[str, JointCalibration]

    def check_fits(self, arm: ArmDefinition, source: str) -> None:
        """Refuse a calibration of another arm.

        Raises:
            CalibrationError: other arm, other joints or other IDs.
        """
        if self.arm != arm.name:
            raise CalibrationError(f"{source}: calibration is of arm {self.arm}, not {arm.name}: give the right file")
        if set(self.joints) != set(arm.joint_names):
            odd = ", ".join(sorted(set(self.joints) ^ set(arm.joint_names)))
            raise CalibrationError(f"{source}: joints {odd} are not the same as in {arm.name}: calibrate again")
        for joint in arm.joints:
            found = self.joints[joint.name].id
            if found != joint.id:
                raise CalibrationError(
                    f"{source}: {joint.name} has ID {found}, {arm.name} says {joint.id}: calibrate again"
                )


def nominal_calibration(arm: ArmDefinition) -> ArmCalibration:
    """The calibration of an arm whose horns are mounted exactly as drawn and whose offsets are 0."""
    joints: dict[str, JointCalibration] = {}
    for joint in arm.joints:
        ticks = sorted(joint.nominal_map.to_tick(limit) for limit in joint.position_limits)
        joints[joint.name] = JointCalibration(
            id=joint.id,
            sign=joint.sign,
            homing_offset=0,
            zero_tick=joint.zero_tick,
            range_min=max(0, ticks[0]),
            range_max=min(HIGHEST_TICK, ticks[1]),
        )
    return ArmCalibration(arm=arm.name, joints=joints)


def default_path(arm: ArmDefinition) -> Path:
    """Where an arm's calibration lies when nothing else is said: under `$XDG_DATA_HOME/robot_mbrl/calibration`."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "robot_mbrl" / "calibration" / f"{arm.name}.yaml"


def load_calibration(path: Path, arm: ArmDefinition) -> ArmCalibration:
    """Read our YAML file.

    Raises:
        CalibrationMissing: there is no such file.
        CalibrationError: it is of another arm.
        ConfigError: it is malformed.
    """
    if not path.exists():
        raise CalibrationMissing(
            f"{arm.name}: no joint calibration at {path}: run `robot-mbrl calibrate joints --arm {arm.name}`"
        )
    calibration = load_settings(path, ArmCalibration)
    calibration.check_fits(arm, str(path))
    return calibration


def save_calibration(path: Path, calibration: ArmCalibration) -> None:
    """Write our YAML file, whole or not at all."""
    write_atomically(path, dump_settings(calibration))


class LeRobotJoint(Settings):
    """One joint of LeRobot's calibration JSON, in ticks."""

    id: int
    drive_mode: Literal[0, 1]
    homing_offset: int
    range_min: int
    range_max: int


_LEROBOT_FILE = TypeAdapter(dict[str, LeRobotJoint])


def middle_zero_tick(joint: JointDefinition, sign: int, range_min: int, range_max: int) -> int:
    """Tick of the model's zero when the middle of the recorded range is the middle of the model's limits."""
    middle = sum(joint.position_limits) / 2.0
    return round((range_min + range_max) / 2.0 - sign * middle / RAD_PER_TICK)


def from_lerobot(text: str, arm: ArmDefinition, source: str) -> ArmCalibration:
    """Read LeRobot's JSON.

    Raises:
        ConfigError: malformed JSON, unknown or missing keys.
        CalibrationError: other joints or IDs than the arm's.
    """
    try:
        found = _LEROBOT_FILE.validate_python(json.loads(text))
    except ValidationError as error:
        raise ConfigError(one_line(error, source)) from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{source}: not valid JSON ({error}): give LeRobot's calibration file") from error
    by_name = {joint.name: joint for joint in arm.joints}
    unknown = sorted(set(found) - set(by_name))
    if unknown:
        raise CalibrationError(f"{source}: unknown joints {', '.join(unknown)}: {arm.name} has {', '.join(by_name)}")
    joints: dict[str, JointCalibration] = {}
    for name, entry in found.items():
        sign: Literal[-1, 1] = -1 if (by_name[name].sign < 0) != bool(entry.drive_mode) else 1
        joints[name] = JointCalibration(
            id=entry.id,
            sign=sign,
            homing_offset=entry.homing_offset,
            zero_tick=middle_zero_tick(by_name[name], sign, entry.range_min, entry.range_max),
            range_min=entry.range_min,
            range_max=entry.range_max,
        )
    calibration = ArmCalibration(arm=arm.name, joints=joints)
    calibration.check_fits(arm, source)
    return calibration


def to_lerobot(calibration: ArmCalibration, arm: ArmDefinition) -> str:
    """Write LeRobot's JSON. Its zero is the middle of the range; ours is not kept where it differs."""
    signs = {joint.name: joint.sign for joint in arm.joints}
    entries = {
        name: LeRobotJoint(
            id=joint.id,
            drive_mode=0 if joint.sign == signs[name] else 1,
            homing_offset=joint.homing_offset,
            range_min=joint.range_min,
            range_max=joint.range_max,
        ).model_dump()
        for name, joint in calibration.joints.items()
    }
    return json.dumps(entries, indent=4) + "\n"
