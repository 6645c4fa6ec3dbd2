"""Joint calibration on emulated arms in lockstep: what it finds, what it leaves behind when it ends early."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.commissioning.emulated_hand import EmulatedHand
from robot_mbrl.commissioning.joint_calibration import (
    HALF_TURN,
    JointCalibrator,
    RangeRecorder,
    check_range,
    homing_offset,
    progress_path,
)
from robot_mbrl.commissioning.operator import Reading
from robot_mbrl.contracts.errors import CalibrationError, CalibrationStale, NotReady
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import RAD_PER_TICK, load_arm
from robot_mbrl.drivers.calibration import from_lerobot, load_calibration, to_lerobot
from tests.drivers.emulated import EmulatedArm, emulated_arm


@dataclass
class Hands:
    """An operator whose hand is the emulated one; says no where told to, and can be interrupted."""

    emulated: EmulatedArm
    agrees: bool = True
    interrupted_at: str = ""
    lazy: bool = False
    told: list[str] = field(default_factory=list)
    swept: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._hand = EmulatedHand(self.emulated.arm, self, self.emulated.wire, self.told.append)

    def truth(self) -> tuple[FloatArray, FloatArray]:
        return self.emulated.true_position(), self.emulated.plant.state.velocity.copy()

    def push(self, joint: str, torque: float, duration: float) -> None:
        self.emulated.plant.push(self.emulated.arm.joint_names.index(joint), torque, duration)

    def tell(self, text: str) -> None:
        self.told.append(text)

    def confirm(self, question: str) -> bool:
        self.told.append(question)
        return self.agrees

    def wait(self, request: str) -> None:
        self.told.append(request)

    def hold_middle(self, sample: Callable[[], Reading]) -> None:
        self._hand.hold_middle(sample)

    def sweep(self, joint: str, sample: Callable[[], Reading]) -> None:
        if joint == self.interrupted_at:
            raise KeyboardInterrupt
        self.swept.append(joint)
        if not self.lazy:
            self._hand.sweep(joint, sample)


def calibrator(emulated: EmulatedArm, hands: Hands, path: Path) -> JointCalibrator:
    return JointCalibrator(emulated.arm, emulated.bus, hands, path)


# -- laws -------------------------------------------------------------------------------------------------------


def test_feetech_reads_half_a_turn_after_homing() -> None:
    for actual in range(4096):
        for old in (-2047, -300, 0, 1234, 2047):
            new = homing_offset("feetech", (actual - old) % 4096, old)
            assert -2047 <= new <= 2047
            present = (actual - new) % 4096
            assert present == (HALF_TURN if actual < 4095 else HALF_TURN + 1)


def test_dynamixel_reads_half_a_turn_after_homing() -> None:
    for actual in (0, 2047, 4095):
        for old in (-1000, 0, 777):
            assert actual + homing_offset("dynamixel", actual + old, old) == HALF_TURN


@pytest.mark.parametrize("actual", [-1, 4096])
def test_a_turn_that_a_dynamixel_servo_would_forget_is_refused(actual: int) -> None:
    with pytest.raises(CalibrationError, match=f"{actual} ticks"):
        homing_offset("dynamixel", actual + 50, 50)


def test_the_recorder_keeps_the_extremes() -> None:
    recorder = RangeRecorder("elbow", 2000, 2000, 2000)
    for tick in (2100, 1500, 1700, 3000, 2500):
        recorder.add(tick)
    assert (recorder.lowest, recorder.present, recorder.highest) == (1500, 2500, 3000)


def test_the_recorder_refuses_the_encoders_end() -> None:
    recorder = RangeRecorder("elbow", 4000, 4000, 4000)
    with pytest.raises(CalibrationError, match="elbow: jumped from 4000 to 20"):
        recorder.add(20)


def test_what_a_joint_was_moved_over_is_held_against_its_range() -> None:
    """The shoulder of the SO-101 turns by 3.83972 rad, which are 2503 ticks."""
    pan = load_arm("so101_follower").joints[0]
    assert check_range(pan, 1000, 3453) == "shoulder_pan: moved over 2453 ticks, 98% of the 2503 expected"


def test_a_joint_that_missed_a_stop_is_refused_before_its_zero_is_wrong() -> None:
    """94 % of the range moves the middle, and so the zero, by up to 3 % of it, which are 0.115 rad here."""
    pan = load_arm("so101_follower").joints[0]
    with pytest.raises(CalibrationError, match=r"2353 ticks, 94% of its range of about 2503, at least 95% wanted"):
        check_range(pan, 1000, 3353)


def test_a_range_past_the_encoders_end_is_refused() -> None:
    with pytest.raises(CalibrationError, match=r"moved over -5..2500, outside 0..4095"):
        check_range(load_arm("so101_follower").joints[0], -5, 2500)


# -- the procedure ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "accuracy"), [("so101_follower", 0.03), ("koch_follower", 0.06)])
def test_afterwards_the_driver_agrees_with_the_physics(name: str, accuracy: float, tmp_path: Path) -> None:
    # The emulated hand gives way at table and stops, and the Koch's elbow stop lies behind its table.
    emulated = emulated_arm(name)
    hands = Hands(emulated)
    path = tmp_path / "arm.yaml"
    procedure = calibrator(emulated, hands, path)
    procedure.prepare()
    emulated.calibration = procedure.record()
    assert load_calibration(path, emulated.arm) == emulated.calibration
    assert not progress_path(path).exists()
    assert hands.swept == [joint.name for joint in emulated.arm.joints if not joint.full_turn]
    assert [line.partition(":")[0] for line in hands.told if line.endswith("expected")] == hands.swept
    assert emulated.torque() == [0] * 6
    robot = emulated.new_robot()
    robot.connect()
    assert np.abs(robot.read().position - emulated.true_position()).max() < accuracy


def test_ctrl_c_keeps_what_is_done_and_resume_goes_on(tmp_path: Path) -> None:
    emulated = emulated_arm("so101_follower")
    path = tmp_path / "arm.yaml"
    hands = Hands(emulated, interrupted_at="elbow_flex")
    procedure = calibrator(emulated, hands, path)
    procedure.prepare()
    with pytest.raises(KeyboardInterrupt):
        procedure.record()
    assert not path.exists()
    limits = [(servo.get("min_position_limit"), servo.get("max_position_limit")) for servo in emulated.virtual.servos]
    again = Hands(emulated)
    procedure = calibrator(emulated, again, path)
    procedure.prepare()
    result = procedure.record(resume=True)
    assert hands.swept == ["shoulder_pan", "shoulder_lift"]
    assert again.swept == ["elbow_flex", "wrist_flex", "gripper"]
    for name, limit in zip(hands.swept, limits, strict=False):
        assert (result.joints[name].range_min, result.joints[name].range_max) == limit


def test_resuming_on_servos_that_were_changed_is_refused(tmp_path: Path) -> None:
    emulated = emulated_arm("so101_follower")
    path = tmp_path / "arm.yaml"
    procedure = calibrator(emulated, Hands(emulated, interrupted_at="shoulder_pan"), path)
    procedure.prepare()
    with pytest.raises(KeyboardInterrupt):
        procedure.record()
    emulated.virtual.servos[2].burn("homing_offset", 999)
    with pytest.raises(CalibrationStale, match=r"elbow_flex \(ID 3\): homing_offset is 999"):
        procedure.record(resume=True)


def test_nothing_to_resume_starts_at_the_beginning(tmp_path: Path) -> None:
    emulated = emulated_arm("so101_follower")
    hands = Hands(emulated, interrupted_at="shoulder_pan")
    procedure = calibrator(emulated, hands, tmp_path / "arm.yaml")
    procedure.prepare()
    with pytest.raises(KeyboardInterrupt):
        procedure.record(resume=True)
    assert any("nothing to resume" in line for line in hands.told)


def test_a_joint_that_was_not_moved_is_not_calibrated(tmp_path: Path) -> None:
    emulated = emulated_arm("so101_follower")
    procedure = calibrator(emulated, Hands(emulated, lazy=True), tmp_path / "arm.yaml")
    procedure.prepare()
    with pytest.raises(CalibrationError, match=r"shoulder_pan: moved over 0 ticks.*about 2503.*--resume"):
        procedure.record()


# -- torque -----------------------------------------------------------------------------------------------------


def held(name: str) -> EmulatedArm:
    """An arm that holds its pose."""
    emulated = emulated_arm(name)
    emulated.robot.connect()
    emulated.robot.set_torque(enabled=True)
    return emulated


def test_a_no_leaves_the_torque_on_and_the_servos_unwritten(tmp_path: Path) -> None:
    emulated = held("so101_follower")
    before, memory = emulated.true_position(), [servo.eeprom for servo in emulated.virtual.servos]
    hands = Hands(emulated, agrees=False)
    with pytest.raises(NotReady, match="torque is on and was left on"):
        calibrator(emulated, hands, tmp_path / "arm.yaml").prepare()
    assert "FALLS" in hands.told[0]
    assert emulated.torque() == [1] * 6
    assert [servo.eeprom for servo in emulated.virtual.servos] == memory
    assert np.abs(emulated.true_position() - before).max() <= RAD_PER_TICK


def test_a_yes_lets_go(tmp_path: Path) -> None:
    emulated = held("so101_follower")
    calibrator(emulated, Hands(emulated), tmp_path / "arm.yaml").prepare()
    assert emulated.torque() == [0] * 6


# -- from and to LeRobot ----------------------------------------------------------------------------------------


def test_lerobots_file_is_written_to_servos_and_file(tmp_path: Path) -> None:
    emulated = emulated_arm("so101_follower")
    text = to_lerobot(emulated.calibration, emulated.arm).replace('"homing_offset": 0', '"homing_offset": 42')
    calibration = from_lerobot(text, emulated.arm, "lerobot.json")
    procedure = calibrator(emulated, Hands(emulated), tmp_path / "arm.yaml")
    procedure.prepare()
    procedure.install(calibration)
    assert [servo.get("homing_offset") for servo in emulated.virtual.servos] == [42] * 6
    emulated.calibration = load_calibration(tmp_path / "arm.yaml", emulated.arm)
    emulated.new_robot().connect()
