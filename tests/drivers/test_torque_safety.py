"""Torque under bad luck: lost packets, silent servos, failed power, forgotten turns. No joint jumps, no arm lies."""

import contextlib

import numpy as np
import pytest

from robot_mbrl.contracts.errors import (
    BusError,
    CalibrationStale,
    LimitViolation,
    NotReady,
    PortLost,
    RobotMbrlError,
    ServoFault,
    ServoOverload,
    ServoTorqueLost,
)
from robot_mbrl.contracts.types import FloatArray, JointCommand, StopCategory
from robot_mbrl.drivers.arm_checks import write_registers
from robot_mbrl.drivers.arms import RAD_PER_TICK
from robot_mbrl.drivers.control_tables import control_table
from robot_mbrl.drivers.dialects import FEETECH, Servo
from robot_mbrl.drivers.virtual.wire_faults import Drop
from tests.drivers.emulated import EmulatedArm, emulated_arm, within_limits

ARMS = ("so101_follower", "koch_follower")
RAISED = np.array([0.0, -0.8, 0.8, 0.5, 0.0, 0.5])
"""A pose that falls without torque [rad]."""


@pytest.fixture(params=ARMS)
def emulated(request: pytest.FixtureRequest) -> EmulatedArm:
    return emulated_arm(request.param)


def ready(emulated: EmulatedArm) -> FloatArray:
    emulated.robot.connect()
    emulated.robot.set_torque(enabled=True)
    return within_limits(emulated.arm, emulated.robot.read().position)


def command(emulated: EmulatedArm, goal: FloatArray, cycles: int = 1) -> None:
    for _ in range(cycles):
        emulated.robot.read()
        emulated.robot.write(JointCommand(goal))
        emulated.wait(0.005)


@pytest.mark.parametrize("lost", range(0, 60, 3))
@pytest.mark.parametrize("name", ARMS)
def test_no_single_lost_packet_makes_torque_move_the_arm(name: str, lost: int) -> None:
    """The goals are an old pose, and each third instruction is lost in turn: it may refuse, but not jump."""
    emulated = emulated_arm(name)
    emulated.robot.connect()
    for servo in emulated.virtual.servos:
        servo.burn("goal_position", servo.get("present_position") + 300)
    before = emulated.true_position()
    emulated.virtual.faults.add(Drop(direction="to_servo", skip=lost, count=1))
    with contextlib.suppress(RobotMbrlError):
        emulated.robot.set_torque(enabled=True)
    emulated.wait(0.4)
    assert np.abs(emulated.true_position() - before).max() <= RAD_PER_TICK * 1.001


def test_a_joint_outside_its_servos_range_is_refused_torque() -> None:
    so101 = emulated_arm("so101_follower")
    so101.robot.connect()
    present = so101.virtual.servos[3].get("present_position")
    entry = so101.calibration.joints["wrist_flex"]
    moved = entry.model_copy(update={"range_min": present + 200})
    joints = {**so101.calibration.joints, "wrist_flex": moved}
    so101.calibration = so101.calibration.model_copy(update={"joints": joints})
    so101.virtual.servos[3].burn("min_position_limit", present + 200)
    so101.robot.close()
    robot = so101.new_robot()
    robot.connect()
    before = so101.true_position()
    with pytest.raises(LimitViolation, match=r"wrist_flex \(ID 4\): rests at tick \d+, outside"):
        robot.set_torque(enabled=True)
    so101.wait(0.3)
    assert so101.torque() == [0] * 6
    assert np.abs(so101.true_position() - before).max() <= RAD_PER_TICK


@pytest.mark.parametrize("category", [StopCategory.TORQUE_OFF, StopCategory.RAMP_OFF])
def test_torque_goes_off_on_all_that_hear_it_though_one_is_silent(
    emulated: EmulatedArm, category: StopCategory
) -> None:
    ready(emulated)
    emulated.virtual.servos[5].silent = True
    with pytest.raises(BusError, match=r"gripper \(ID 6\) cannot be asked"):
        emulated.robot.stop(category)
    assert emulated.torque()[:5] == [0] * 5
    with pytest.raises(NotReady):
        emulated.robot.write(JointCommand(np.zeros(6)))


def test_a_ramp_brakes_the_others_though_one_servo_has_lost_its_torque() -> None:
    so101 = emulated_arm("so101_follower", np.array([-0.8, -0.8, 0.8, 0.5, 0.0, 0.5]))
    goal = ready(so101)

    def swing() -> None:
        speed = 0.0
        for cycle in range(400):
            speed = min(speed + 0.1, 3.0)
            goal[0] = min(goal[0] + 0.005 * speed, 1.5)
            if cycle == 60:
                so101.virtual.servos[5].power_on(boot_time=0.0)
            so101.robot.read()
            so101.robot.write(JointCommand(goal))
            so101.wait(0.005)

    with pytest.raises(ServoTorqueLost, match="gripper"):
        swing()
    so101.robot.stop(StopCategory.RAMP_OFF)
    assert so101.torque() == [0] * 6
    let_go = so101.true_position()[0]
    so101.wait(0.5)
    assert abs(so101.true_position()[0] - let_go) < 0.02


def test_one_lost_torque_off_is_made_up_for(emulated: EmulatedArm) -> None:
    ready(emulated)
    emulated.virtual.faults.add(Drop(direction="to_servo", count=1))
    emulated.robot.set_torque(enabled=False)
    assert emulated.torque() == [0] * 6


def test_after_a_watchdog_trip_neither_reset_nor_stop_drives_to_the_old_goal() -> None:
    koch = emulated_arm("koch_follower")
    goal = ready(koch)
    goal[0] += 1.8
    command(koch, goal)
    koch.wait(0.5)
    tripped = koch.true_position()
    assert tripped[0] < goal[0] - 0.3
    with pytest.raises(NotReady, match="bus watchdog"):
        command(koch, goal, cycles=20)
    koch.robot.reset()
    assert np.abs(koch.robot.goal_position - koch.robot.read().position).max() < 0.05
    koch.robot.stop()
    koch.wait(0.3)
    assert np.abs(koch.true_position() - tripped)[0] < 0.03


def test_an_old_trip_is_cleared_before_torque_goes_on() -> None:
    koch = emulated_arm("koch_follower")
    ready(koch)
    koch.wait(0.5)
    koch.robot.close()
    for servo in koch.virtual.servos:
        assert servo.get("bus_watchdog") == -1
        servo.burn("torque_enable", 0)
    koch.wait(0.5)
    robot = koch.new_robot()
    robot.connect()
    robot.set_torque(enabled=True)
    assert [servo.get("bus_watchdog") for servo in koch.virtual.servos] == [10] * 6
    goal = within_limits(koch.arm, robot.read().position)
    command(koch, goal, cycles=10)


def test_a_servo_that_forgot_its_turns_is_not_believed() -> None:
    koch = emulated_arm("koch_follower")
    servo = koch.virtual.servos[0]
    servo.burn("homing_offset", 4096)
    entry = koch.calibration.joints["shoulder_pan"]
    joints = {**koch.calibration.joints, "shoulder_pan": entry.model_copy(update={"homing_offset": 4096})}
    koch.calibration = koch.calibration.model_copy(update={"joints": joints})
    koch.robot.close()
    with pytest.raises(CalibrationStale, match=r"shoulder_pan \(ID 1\): reads 6\.2\d rad, its limits"):
        koch.new_robot().connect()


def test_a_power_glitch_of_one_servo_is_noticed_and_ends_the_motion(emulated: EmulatedArm) -> None:
    goal = ready(emulated)
    command(emulated, goal, cycles=3)
    emulated.virtual.servos[1].power_on(boot_time=0.0)
    with pytest.raises(ServoTorqueLost, match=r"shoulder_lift \(ID 2\): lost its torque by itself"):
        command(emulated, goal, cycles=40)
    with pytest.raises(ServoTorqueLost):
        emulated.robot.write(JointCommand(goal))
    assert not emulated.robot.has_torque


def test_what_a_power_glitch_made_a_servo_forget_is_set_again() -> None:
    so101 = emulated_arm("so101_follower")
    goal = ready(so101)
    so101.virtual.servos[1].power_on(boot_time=0.0)
    with pytest.raises(ServoTorqueLost):
        command(so101, goal, cycles=40)
    so101.robot.set_torque(enabled=False)
    so101.robot.reset()
    so101.robot.set_torque(enabled=True)
    wanted = so101.arm.joints[1].registers
    assert {name: so101.virtual.servos[1].get(name) for name in wanted} == wanted


def test_a_stop_stays_latched_though_the_port_is_lost_meanwhile(emulated: EmulatedArm) -> None:
    goal = ready(emulated)
    command(emulated, goal, cycles=2)
    emulated.wire.close()
    with pytest.raises(PortLost):
        emulated.robot.stop()
    emulated.wire.open()
    with pytest.raises(NotReady, match="stopped"):
        emulated.robot.write(JointCommand(goal))


def test_a_reset_that_fails_leaves_the_fault_latched(emulated: EmulatedArm) -> None:
    goal = ready(emulated)
    emulated.virtual.servos[2].trip("overload")
    with pytest.raises(ServoFault):
        command(emulated, goal, cycles=3)
    emulated.virtual.servos[4].silent = True
    with pytest.raises(BusError):
        emulated.robot.reset()
    emulated.virtual.servos[4].silent = False
    with pytest.raises(ServoFault):
        emulated.robot.write(JointCommand(goal))


def test_connecting_again_neither_forgets_a_stop_nor_a_fault(emulated: EmulatedArm) -> None:
    goal = ready(emulated)
    emulated.robot.stop()
    emulated.robot.connect()
    with pytest.raises(NotReady, match="stopped"):
        emulated.robot.write(JointCommand(goal))
    emulated.virtual.servos[2].trip("overload")
    emulated.wait(0.05)
    for _ in range(2):
        with pytest.raises(ServoOverload):
            emulated.robot.connect()


def test_the_eeprom_lock_is_closed_though_a_write_fails() -> None:
    so101 = emulated_arm("so101_follower")
    servo = Servo("elbow_flex", 3, control_table("sts3215"))
    # The unlocking passes, and so does its answer; three attempts at the first write do not, nor do their barriers.
    so101.virtual.faults.add(Drop(direction="to_servo", skip=1, count=3))
    with pytest.raises(BusError):
        write_registers(so101.bus, FEETECH, servo, {"homing_offset": 5})
    assert so101.virtual.servos[2].get("lock") == 1


def test_a_change_of_mode_brings_all_settings_back_that_it_resets() -> None:
    koch = emulated_arm("koch_follower")
    koch.robot.connect()
    elbow = koch.virtual.servos[2]
    elbow.burn("operating_mode", 3)
    koch.robot.close()
    koch.new_robot().connect()
    wanted = koch.arm.joints[2].registers
    assert {name: elbow.get(name) for name in wanted} == wanted


def test_an_arm_that_is_let_go_falls() -> None:
    """So that the tests above would see it: a raised arm without torque does not stay."""
    so101 = emulated_arm("so101_follower", RAISED)
    ready(so101)
    before = so101.true_position()
    so101.robot.stop(StopCategory.TORQUE_OFF)
    so101.wait(1.0)
    assert np.abs(so101.true_position() - before).max() > 0.3
