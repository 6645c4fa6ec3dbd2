"""Joint calibration, after LeRobot's procedure: half-turn homing in the middle pose, then every joint's range.

1. The torque is off. A person puts every joint to the middle of its range. The servo's own offset register is set so
   that this position reads `HALF_TURN`, which keeps the encoder's end away from the range of motion.
2. A person moves one joint after the other from stop to stop; lowest and highest tick become its limit registers. A
   joint that can turn all the way round has no stops and gets the whole turn.

Source: LeRobot, `robots/so_follower/so_follower.py`, `motors/feetech/feetech.py` and `motors/dynamixel/dynamixel.py`
(offset rule of each vendor, half-turn target, joints that turn all the way round).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Field

from robot_mbrl.commissioning.operator import Operator, Reading
from robot_mbrl.contracts.atomic_file import write_atomically
from robot_mbrl.contracts.config import Settings, dump_settings, load_settings
from robot_mbrl.contracts.errors import CalibrationError, CalibrationStale, ConfigError, NotReady
from robot_mbrl.drivers.arm_checks import check_identity, configure, find_servos, write_registers
from robot_mbrl.drivers.arms import RAD_PER_TICK, TICKS_PER_REVOLUTION, ArmDefinition, JointDefinition
from robot_mbrl.drivers.bus import ServoBus
from robot_mbrl.drivers.calibration import (
    HIGHEST_TICK,
    ArmCalibration,
    JointCalibration,
    middle_zero_tick,
    save_calibration,
)
from robot_mbrl.drivers.dialects import Servo, arm_servos, dialect_of
from robot_mbrl.drivers.torque import read_torque, release

HALF_TURN: Final = 2047
"""What every joint reads in the middle pose (LeRobot: half of 4095, rounded down)."""
LARGEST_STEP: Final = TICKS_PER_REVOLUTION // 2
"""No hand turns a joint by half a turn between two readings: a larger step is the encoder's end passing by."""
SMALLEST_SHARE: Final = 0.95
"""A recorded range below this share of the one in the arm's definition was not moved from stop to stop.

The joint's zero comes from the middle of the recorded range, so what one end lacks shifts the zero by its half: 5 % of
the SO-101's widest range with stops are 0.096 rad of zero. Hands and stops differ by 1 to 3 %.
"""


class CalibrationProgress(Settings):
    """What an unfinished calibration has done; kept in a file beside the calibration's.

    Attributes:
        arm: name of the arm definition.
        homing_offset: offset written to each servo [ticks], by joint.
        ranges: lowest and highest tick of the joints recorded so far.
    """

    arm: str
    homing_offset: dict[str, int]
    ranges: dict[str, tuple[int, int]] = Field(default_factory=dict)


def progress_path(path: Path) -> Path:
    """Where the progress of a calibration that will end up at `path` is kept."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def homing_offset(protocol: str, present: int, offset: int) -> int:
    """The offset register that makes the present position read `HALF_TURN`.

    Feetech: present = actual - offset, within one turn; the register holds ±2047, so at one position of the
    4096 the result is one tick off. Dynamixel: present = actual + offset; in extended mode actual counts turns,
    until the power goes.

    Args:
        protocol: `feetech` or `dynamixel`.
        present: what the servo reads now [ticks].
        offset: what its offset register holds now [ticks].

    Raises:
        CalibrationError: a Dynamixel servo is not in its first turn.
    """
    if protocol == "dynamixel":
        actual = present - offset
        if not 0 <= actual <= HIGHEST_TICK:
            raise CalibrationError(
                f"a servo is at {actual} ticks, outside its first turn 0..{HIGHEST_TICK}, which it forgets without "
                "power: switch the arm's power off and on in the middle pose, then calibrate again"
            )
        return HALF_TURN - actual
    actual = (present + offset) % TICKS_PER_REVOLUTION
    return min(actual - HALF_TURN, HALF_TURN)


@dataclass
class RangeRecorder:
    """Lowest and highest tick of one joint while it is moved by hand."""

    joint: str
    lowest: int
    highest: int
    present: int

    def add(self, tick: int) -> None:
        """Take one reading.

        Raises:
            CalibrationError: the encoder's end passed by.
        """
        if abs(tick - self.present) > LARGEST_STEP:
            raise CalibrationError(
                f"{self.joint}: jumped from {self.present} to {tick} ticks, past the encoder's end: start again with "
                "the arm nearer to the middle of its ranges"
            )
        self.present = tick
        self.lowest = min(self.lowest, tick)
        self.highest = max(self.highest, tick)


def check_range(joint: JointDefinition, lowest: int, highest: int) -> str:
    """Compare a recorded range [ticks] with the joint's own, and say how they compare.

    Raises:
        CalibrationError: it is too small to have gone from stop to stop, or reaches past the encoder's end.
    """
    low, high = joint.position_limits
    expected, moved = (high - low) / RAD_PER_TICK, highest - lowest
    share = moved / expected
    if share < SMALLEST_SHARE:
        raise CalibrationError(
            f"{joint.name}: moved over {moved} ticks, {share:.0%} of its range of about {expected:.0f}, at least "
            f"{SMALLEST_SHARE:.0%} wanted: run this again with --resume and move it from stop to stop"
        )
    if lowest < 0 or highest > HIGHEST_TICK:
        raise CalibrationError(
            f"{joint.name}: moved over {lowest}..{highest}, outside 0..{HIGHEST_TICK} ticks: calibrate again with the "
            "arm nearer to the middle of its ranges at the start"
        )
    return f"{joint.name}: moved over {moved} ticks, {share:.0%} of the {expected:.0f} expected"


class JointCalibrator:
    """Calibrates the joints of one arm. Never switches the torque on and never moves the arm."""

    def __init__(self, arm: ArmDefinition, bus: ServoBus, operator: Operator, path: Path) -> None:
        """Use `bus`, which stays the caller's.

        Args:
            arm: its definition.
            bus: the open servo bus.
            operator: whose hands move the arm.
            path: where the calibration file will be; its progress is kept beside it.
        """
        self._arm = arm
        self._bus = bus
        self._operator = operator
        self._path = path
        self._dialect = dialect_of(arm.protocol)
        self._servos = {servo.joint: servo for servo in arm_servos(arm)}

    def prepare(self) -> None:
        """Check who is there, make sure that no servo has torque, and write the arm's own settings.

        Raises:
            ConfigError: the calibration file cannot be written.
            BusError: a servo is missing, doubled, of another model or firmware.
            NotReady: the torque is on and the operator did not want it off.
        """
        self._check_writable()
        servos = list(self._servos.values())
        find_servos(self._bus, servos)
        check_identity(self._bus, self._dialect, servos)
        torque = read_torque(self._bus, servos)
        if any(torque):
            self._switch_off([servo for servo, on in zip(servos, torque, strict=True) if on])
        configure(self._bus, self._dialect, servos, self._arm.joints, [False] * len(servos))

    def _check_writable(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{self._path}: its folder cannot be made ({error.strerror}): give another path"
            ) from error
        if not os.access(self._path.parent, os.W_OK):
            raise ConfigError(f"{self._path}: this user may not write there: give another path")

    def _switch_off(self, servos: Sequence[Servo]) -> None:
        names = ", ".join(servo.joint for servo in servos)
        if not self._operator.confirm(f"The torque of {names} is on. The arm FALLS when it goes off. Is it supported?"):
            raise NotReady(f"{names}: the torque is on and was left on: support the arm, then calibrate again")
        release(self._bus, self._dialect, servos)

    def record(self, *, resume: bool = False) -> ArmCalibration:
        """Home and record all joints, write registers and file.

        Args:
            resume: go on where the progress file says that an earlier run ended.

        Raises:
            CalibrationError: a joint was not moved over its range, or passed the encoder's end.
            CalibrationStale: the servos do not hold what the progress file says.
        """
        progress = self._load_progress() if resume else None
        if progress is None:
            progress = self._home()
        for joint in self._arm.joints:
            if joint.name in progress.ranges:
                self._operator.tell(f"{joint.name}: recorded before, left alone")
                continue
            recorded = self._record_range(joint)
            progress = progress.model_copy(update={"ranges": {**progress.ranges, joint.name: recorded}})
            self._write_range(joint, recorded)
            self._save_progress(progress)
        calibration = self._calibration(progress)
        save_calibration(self._path, calibration)
        progress_path(self._path).unlink()
        return calibration

    def install(self, calibration: ArmCalibration) -> None:
        """Write a calibration from elsewhere into the servos and the file."""
        for joint in self._arm.joints:
            values = calibration.joints[joint.name].registers
            write_registers(self._bus, self._dialect, self._servos[joint.name], values)
        save_calibration(self._path, calibration)

    # -- steps --------------------------------------------------------------------------------------------------

    def _home(self) -> CalibrationProgress:
        middle: dict[str, int] = {}

        def sample() -> Reading:
            middle.update((name, self._tick(name)) for name in self._servos)
            return [(name, "", str(tick), "") for name, tick in middle.items()]

        sample()
        self._operator.hold_middle(sample)
        offsets: dict[str, int] = {}
        for name, servo in self._servos.items():
            old = self._bus.read_register(servo.id, servo.register("homing_offset"))
            offsets[name] = homing_offset(self._arm.protocol, middle[name], old)
            write_registers(self._bus, self._dialect, servo, {"homing_offset": offsets[name]})
        progress = CalibrationProgress(arm=self._arm.name, homing_offset=offsets)
        self._save_progress(progress)
        return progress

    def _record_range(self, joint: JointDefinition) -> tuple[int, int]:
        if joint.full_turn:
            self._operator.tell(f"{joint.name}: turns all the way round, gets the whole turn")
            return 0, HIGHEST_TICK
        tick = self._tick(joint.name)
        recorder = RangeRecorder(joint.name, tick, tick, tick)

        def sample() -> Reading:
            recorder.add(self._tick(joint.name))
            row = (recorder.lowest, recorder.present, recorder.highest)
            return [(joint.name, *(str(value) for value in row))]

        self._operator.sweep(joint.name, sample)
        self._operator.tell(check_range(joint, recorder.lowest, recorder.highest))
        return recorder.lowest, recorder.highest

    def _write_range(self, joint: JointDefinition, recorded: tuple[int, int]) -> None:
        values = {"min_position_limit": recorded[0], "max_position_limit": recorded[1]}
        write_registers(self._bus, self._dialect, self._servos[joint.name], values)

    def _calibration(self, progress: CalibrationProgress) -> ArmCalibration:
        joints: dict[str, JointCalibration] = {}
        for joint in self._arm.joints:
            low, high = progress.ranges[joint.name]
            joints[joint.name] = JointCalibration(
                id=joint.id,
                sign=joint.sign,
                homing_offset=progress.homing_offset[joint.name],
                zero_tick=middle_zero_tick(joint, joint.sign, low, high),
                range_min=low,
                range_max=high,
            )
        return ArmCalibration(arm=self._arm.name, joints=joints)

    def _tick(self, name: str) -> int:
        servo = self._servos[name]
        return self._bus.read_register(servo.id, servo.register("present_position"))

    # -- progress -----------------------------------------------------------------------------------------------

    def _save_progress(self, progress: CalibrationProgress) -> None:
        write_atomically(progress_path(self._path), dump_settings(progress))

    def _load_progress(self) -> CalibrationProgress | None:
        path = progress_path(self._path)
        if not path.exists():
            self._operator.tell(f"nothing to resume at {path}: starting from the beginning")
            return None
        progress = load_settings(path, CalibrationProgress)
        if progress.arm != self._arm.name or set(progress.homing_offset) != set(self._servos):
            raise CalibrationStale(f"{path} is of arm {progress.arm}, not {self._arm.name}: run this without --resume")
        for name, servo in self._servos.items():
            found = self._bus.read_register(servo.id, servo.register("homing_offset"))
            if found != progress.homing_offset[name]:
                raise CalibrationStale(
                    f"{servo.label}: homing_offset is {found}, {path} says {progress.homing_offset[name]}: "
                    "run this without --resume"
                )
        return progress
