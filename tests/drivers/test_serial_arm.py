"""The real driver on emulated servos, in lockstep: connecting, commanding, stopping, and all that can go wrong."""

import numpy as np
import pytest

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.contracts.errors import (
    BusTimeout,
    CalibrationStale,
    DuplicateId,
    FirmwareMismatch,
    ModelMismatch,
    NotReady,
    RobotMbrlError,
    ServoFault,
    ServoMissing,
    ServoOverheat,
    ServoOverload,
    ServoUndervoltage,
)
from robot_mbrl.contracts.types import HardwareError, JointCommand, StopCategory
from robot_mbrl.drivers.arms import RAD_PER_TICK
from tests.drivers.emulated import EmulatedArm, emulated_arm, make_bus, within_limits

ARMS = ("so101_follower", "koch_follower")


@pytest.fixture(params=ARMS)
def emulated(request: pytest.FixtureRequest) -> EmulatedArm:
    return emulated_arm(request.param)


@pytest.fixture
def so101() -> EmulatedArm:
    return emulated_arm("so101_follower")


def assert_refused_without_a_trace(emulated: EmulatedArm, error: type[RobotMbrlError], *parts: str) -> None:
    """`connect` raises one line with all `parts`; no joint moves by a tick, and the torque stays as it was."""
    before, torque = emulated.true_position(), emulated.torque()
    with pytest.raises(error) as caught:
        emulated.robot.connect()
    text = str(caught.value)
    assert "\n" not in text
    for part in parts:
        assert part in text
    emulated.wait(0.3)
    assert np.abs(emulated.true_position() - before).max() <= RAD_PER_TICK
    assert emulated.torque() == torque


# -- connecting -------------------------------------------------------------------------------------------------


def test_connecting_configures_but_gives_no_torque(emulated: EmulatedArm) -> None:
    emulated.robot.connect()
    assert emulated.torque() == [0] * 6
    for joint, servo in zip(emulated.arm.joints, emulated.virtual.servos, strict=True):
        assert {name: servo.get(name) for name in joint.registers} == joint.registers


def test_connecting_seeds_the_goals_from_the_present_positions(emulated: EmulatedArm) -> None:
    emulated.robot.connect()
    for servo in emulated.virtual.servos:
        assert abs(servo.get("goal_position") - servo.get("present_position")) <= 1


def test_connecting_to_an_arm_that_holds_keeps_its_goals(emulated: EmulatedArm) -> None:
    emulated.robot.connect()
    emulated.robot.set_torque(enabled=True)
    emulated.wait(0.05)
    goals = [servo.get("goal_position") for servo in emulated.virtual.servos]
    emulated.robot.close()
    robot = emulated.new_robot()
    robot.connect()
    assert [servo.get("goal_position") for servo in emulated.virtual.servos] == goals
    assert emulated.torque() == [1] * 6


def test_a_setting_that_differs_under_torque_is_refused(so101: EmulatedArm) -> None:
    so101.robot.connect()
    so101.robot.set_torque(enabled=True)
    so101.virtual.servos[3].burn("p_coefficient", 99)
    so101.robot.close()
    so101.new_robot()
    assert_refused_without_a_trace(so101, NotReady, "wrist_flex (ID 4)", "p_coefficient must be 16", "torque")


def test_a_missing_servo_is_named(emulated: EmulatedArm) -> None:
    emulated.virtual.servos[2].silent = True
    assert_refused_without_a_trace(emulated, ServoMissing, "1 of 6 servos", "elbow_flex (ID 3)")


def test_a_dead_bus_is_told_once_for_all(emulated: EmulatedArm) -> None:
    for servo in emulated.virtual.servos:
        servo.silent = True
    assert_refused_without_a_trace(emulated, ServoMissing, "6 of 6 servos", "power, port and baud rate")


def test_two_servos_with_one_id_are_told(so101: EmulatedArm) -> None:
    so101.virtual.servos[4].burn("id", 4)
    assert_refused_without_a_trace(so101, DuplicateId, "wrist_flex (ID 4)", "share the ID", "setup-motors")


def test_an_unknown_model_is_named(emulated: EmulatedArm) -> None:
    emulated.virtual.servos[1].burn("model_number", 1234)
    assert_refused_without_a_trace(emulated, ModelMismatch, "shoulder_lift (ID 2)", "model number 1234")


def test_firmware_that_is_too_old_is_named(emulated: EmulatedArm) -> None:
    register = "firmware_major_version" if emulated.arm.protocol == "feetech" else "firmware_version"
    emulated.virtual.servos[5].burn(register, 2)
    assert_refused_without_a_trace(emulated, FirmwareMismatch, "gripper (ID 6)", "firmware 2", "update")


def test_a_stale_calibration_is_told_with_both_values(emulated: EmulatedArm) -> None:
    emulated.virtual.servos[0].burn("homing_offset", 17)
    assert_refused_without_a_trace(
        emulated, CalibrationStale, "shoulder_pan (ID 1)", "homing_offset is 17, the calibration file says 0"
    )


def test_a_supply_out_of_range_is_named_with_its_value(so101: EmulatedArm) -> None:
    so101.plant.set_supply(3.5)
    so101.wait(0.5)
    assert_refused_without_a_trace(so101, ServoUndervoltage, "3.5 V", "4.0..8.0 V")


# -- commanding -------------------------------------------------------------------------------------------------


def ready(emulated: EmulatedArm) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    emulated.robot.connect()
    emulated.robot.set_torque(enabled=True)
    return within_limits(emulated.arm, emulated.robot.read().position)


def run(emulated: EmulatedArm, seconds: float, turn: float = 0.0) -> None:
    """Command the present goal for `seconds` [s] at 100 Hz while the first joint turns by `turn` [rad]."""
    start = within_limits(emulated.arm, emulated.robot.read().position)
    steps = round(seconds / 0.01)
    start_ns = emulated.wire.now_ns()
    for step in range(1, steps + 1):
        goal = start.copy()
        goal[0] += turn * step / steps
        emulated.robot.read()
        emulated.robot.write(JointCommand(goal))
        emulated.wire.sleep_until_ns(start_ns + step * to_ns(0.01))


def test_the_slow_rota_visits_every_servo_in_turn(emulated: EmulatedArm) -> None:
    ready(emulated)
    before = emulated.robot.health().stamp_ns
    run(emulated, 0.2)
    after = emulated.robot.health()
    assert (after.stamp_ns > before).all()
    # The supply sags by what the motors draw, so the figure is that of the plant at the time, to the unit.
    assert np.abs(after.voltage - emulated.plant.state.voltage).max() <= 0.2
    assert (after.temperature >= 25.0).all()


def test_a_read_and_write_cycle_uses_only_the_wire_time_that_it_must(so101: EmulatedArm) -> None:
    """14 + 72 bytes and six turnarounds of 95 µs for the state, 26 bytes of goals, 23 bytes for one servo's health."""
    goal = ready(so101)
    so101.robot.read()
    so101.robot.write(JointCommand(goal))
    start = so101.wire.now_ns()
    so101.robot.read()
    so101.robot.write(JointCommand(goal))
    expected = (14 + 72 + 26 + 8 + 15) * 10e-6 + 7 * 95e-6
    assert (so101.wire.now_ns() - start) * 1e-9 == pytest.approx(expected, rel=0.01)


def test_fast_sync_reads_give_the_same_state_in_less_wire_time() -> None:
    koch = emulated_arm("koch_follower")
    plain = make_bus(koch.wire, koch.arm)
    fast = make_bus(koch.wire, koch.arm, BusSettings(fast_sync_read=True))
    ids = [joint.id for joint in koch.arm.joints]
    times: list[int] = []
    answers: list[dict[int, bytes]] = []
    for bus in (plain, fast):
        start = koch.wire.now_ns()
        answers.append(bus.sync_read(132, 4, ids))
        times.append(koch.wire.now_ns() - start)
    assert answers[0] == answers[1]
    # N (11 + D) bytes against 8 + N (D + 4), and one turnaround with the default return delay instead of six.
    assert times[0] - times[1] == to_ns((6 * 15 - (8 + 6 * 8)) * 10e-6 + 5 * (500e-6 + 95e-6))


def test_one_lost_packet_does_not_end_the_loop(so101: EmulatedArm) -> None:
    ready(so101)
    so101.virtual.servos[3].silent = True
    with pytest.raises(BusTimeout, match="servo 4"):
        so101.robot.read()
    so101.virtual.servos[3].silent = False
    run(so101, 0.05)
    assert so101.bus.statistics.failures == 1


# -- faults -----------------------------------------------------------------------------------------------------


def test_an_overheated_servo_is_named_with_its_temperature_and_then_still_read(emulated: EmulatedArm) -> None:
    goal = ready(emulated)
    emulated.plant.set_temperature(1, 90.0)
    with pytest.raises(ServoOverheat) as caught:
        run(emulated, 2.0)
    assert "shoulder_lift (ID 2)" in str(caught.value)
    assert "limit 70 °C" in str(caught.value)
    assert emulated.robot.health().hardware_error[1] == HardwareError.OVERHEAT
    emulated.robot.read()
    with pytest.raises(ServoOverheat):
        emulated.robot.write(JointCommand(goal))
    with pytest.raises(ServoOverheat):
        emulated.robot.set_torque(enabled=True)


def test_a_reset_does_not_forgive_a_fault_that_is_still_there(so101: EmulatedArm) -> None:
    ready(so101)
    so101.plant.set_temperature(1, 90.0)
    with pytest.raises(ServoOverheat):
        run(so101, 2.0)
    with pytest.raises(ServoOverheat):
        so101.robot.reset()
    so101.plant.set_temperature(1, 30.0)
    so101.wait(0.5)
    so101.robot.set_torque(enabled=False)
    so101.robot.reset()
    so101.robot.set_torque(enabled=True)


def test_an_overload_is_named(emulated: EmulatedArm) -> None:
    ready(emulated)
    emulated.virtual.servos[2].trip("overload")
    with pytest.raises(ServoOverload, match=r"elbow_flex \(ID 3\): overload"):
        run(emulated, 0.5)


def test_every_fault_stops_further_commands(emulated: EmulatedArm) -> None:
    goal = ready(emulated)
    emulated.virtual.servos[0].trip("overload")
    with pytest.raises(ServoFault):
        run(emulated, 0.5)
    with pytest.raises(ServoFault):
        emulated.robot.write(JointCommand(goal))


# -- stopping ---------------------------------------------------------------------------------------------------


def test_a_stop_brakes_along_the_commanded_path_within_the_acceleration_and_jerk_limits(so101: EmulatedArm) -> None:
    ready(so101)
    run(so101, 0.5, turn=1.0)
    before = so101.virtual.servos[0].get("goal_position")
    so101.robot.stop()
    after = so101.virtual.servos[0].get("goal_position")
    joint = so101.arm.joints[0]
    braking = 2.0 / 2 * (2.0 / joint.acceleration_limit + joint.acceleration_limit / joint.jerk_limit) / RAD_PER_TICK
    assert after - before == pytest.approx(braking, abs=1.5)


def test_a_stop_at_rest_changes_no_goal(emulated: EmulatedArm) -> None:
    ready(emulated)
    run(emulated, 0.1)
    emulated.wait(0.2)
    goals = [servo.get("goal_position") for servo in emulated.virtual.servos]
    emulated.robot.stop()
    assert [servo.get("goal_position") for servo in emulated.virtual.servos] == goals


@pytest.mark.parametrize(
    ("category", "torque"),
    [(StopCategory.TORQUE_OFF, 0), (StopCategory.RAMP_OFF, 0), (StopCategory.HOLD, 1)],
)
def test_the_stop_categories_differ_in_what_becomes_of_the_torque(
    emulated: EmulatedArm, category: StopCategory, torque: int
) -> None:
    ready(emulated)
    emulated.robot.stop(category)
    assert emulated.torque() == [torque] * 6


def test_dynamixels_stop_by_themselves_when_the_host_falls_silent() -> None:
    koch = emulated_arm("koch_follower")
    goal = ready(koch)
    assert [servo.get("bus_watchdog") for servo in koch.virtual.servos] == [10] * 6
    koch.wait(0.5)
    with pytest.raises(NotReady, match="stopped by its own bus watchdog"):
        run(koch, 0.1)
    with pytest.raises(NotReady):
        koch.robot.write(JointCommand(goal))
    before = koch.true_position()
    koch.robot.reset()
    run(koch, 0.1)
    assert np.abs(koch.true_position() - before).max() < 0.05


def test_the_watchdog_is_disarmed_with_the_torque() -> None:
    koch = emulated_arm("koch_follower")
    ready(koch)
    koch.robot.set_torque(enabled=False)
    assert [servo.get("bus_watchdog") for servo in koch.virtual.servos] == [0] * 6
