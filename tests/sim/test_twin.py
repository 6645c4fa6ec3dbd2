"""The twin: time by its clock, the servos' position loop by hand, stopping, and what its sensors say.

What it shares with every other robot is in `tests/conformance`.
"""

import math

import numpy as np
import pytest

from robot_mbrl.contracts.clock import ManualClock, MonotonicClock, to_ns
from robot_mbrl.contracts.errors import ConfigError, NotReady
from robot_mbrl.contracts.plant import Bridge
from robot_mbrl.contracts.types import FloatArray, HardwareError, JointCommand, StopCategory
from robot_mbrl.drivers.arms import RAD_PER_TICK, load_arm
from robot_mbrl.sim.plant import MujocoPlant
from robot_mbrl.sim.truth import nominal_truth
from robot_mbrl.sim.twin import Twin

SO101 = load_arm("so101_follower")
KOCH = load_arm("koch_follower")
PAN = 0
"""The joint about the vertical: gravity has no say in it."""

UPRIGHT = np.array([0.0, -0.3, 0.3, 0.3, 0.0, 0.2])


def lockstep(position: FloatArray | None = UPRIGHT, *, torque: bool = True, quantise: bool = True) -> Twin:
    twin = Twin(SO101, position=position, quantise=quantise)
    twin.connect()
    twin.set_torque(enabled=torque)
    return twin


def advance(twin: Twin, seconds: float) -> None:
    twin.clock.sleep_until_ns(twin.clock.now_ns() + to_ns(seconds))


def turned(position: FloatArray, angle: float, joint: int = PAN) -> JointCommand:
    goal = position.copy()
    goal[joint] += angle
    return JointCommand(goal)


def test_nothing_moves_unless_the_clock_does() -> None:
    twin = lockstep(torque=False)
    advance(twin, 0.1)
    first, second = twin.read(), twin.read()
    assert first.stamp_ns == second.stamp_ns == to_ns(0.1)
    np.testing.assert_array_equal(first.position, second.position)
    assert np.abs(first.velocity).max() > 0.1
    assert twin.servos.plant.state.time == pytest.approx(0.1)


def test_physics_follow_a_real_clock() -> None:
    """At every call the physics stands within a step behind the time that was read."""
    clock = MonotonicClock()
    start = clock.now_ns()
    twin = Twin(SO101, clock=clock)
    built = clock.now_ns()
    twin.connect()
    for _ in range(3):
        clock.sleep_until_ns(clock.now_ns() + to_ns(0.01))
        before = clock.now_ns()
        state = twin.read()
        physics_ns = to_ns(twin.servos.plant.state.time)
        assert before <= state.stamp_ns
        assert before - built - to_ns(0.001) <= physics_ns <= state.stamp_ns - start


def test_without_torque_the_arm_falls_as_the_bare_plant_does() -> None:
    twin = lockstep(torque=False)
    plant = MujocoPlant(SO101, nominal_truth(SO101), position=UPRIGHT)
    for _ in range(400):
        plant.step(np.zeros(6), np.full(6, Bridge.OPEN, np.uint8))
    advance(twin, 0.4)
    np.testing.assert_array_equal(twin.true_position(), plant.state.position)
    assert np.abs(plant.state.position - UPRIGHT).max() > 0.2


def test_duty_follows_the_error_by_the_servos_gain() -> None:
    """0.166 duty a radian and unit of P, P 16: 0.1 rad of error is a duty of 0.2656; 1 rad is the limit."""
    twin = lockstep(quantise=False)
    advance(twin, 0.5)
    start = twin.true_position()
    twin.write(turned(start, 0.1))
    advance(twin, 0.001)
    assert twin.read().load[PAN] == pytest.approx(0.2656, rel=1e-3)
    twin.write(turned(start, -1.0))
    advance(twin, 0.001)
    assert twin.read().load[PAN] == -1.0


def test_positions_are_whole_ticks_and_half_a_tick_true() -> None:
    twin = lockstep()
    for _ in range(20):
        twin.write(turned(UPRIGHT, 0.3))
        advance(twin, 0.01)
        shown, true = twin.read().position, twin.true_position()
        np.testing.assert_allclose(shown / RAD_PER_TICK, np.rint(shown / RAD_PER_TICK), atol=1e-9)
        assert np.abs(shown - true).max() <= RAD_PER_TICK / 2 + 1e-12
    exact = lockstep(torque=False, quantise=False)
    advance(exact, 0.1)
    np.testing.assert_array_equal(exact.read().position, exact.true_position())


def test_a_delayed_servo_moves_when_its_delay_has_passed() -> None:
    truth = nominal_truth(SO101)
    delays = (0.02, 0.0, 0.0, 0.0, 0.0, 0.0)
    joints = tuple(
        joint.model_copy(update={"command_delay": delay}) for joint, delay in zip(truth.joints, delays, strict=True)
    )
    twin = Twin(SO101, truth.model_copy(update={"joints": joints}), position=UPRIGHT)
    twin.connect()
    twin.set_torque(enabled=True)
    advance(twin, 0.5)
    goal = turned(twin.read().position, 0.2)
    goal.position[4] += 0.2
    rest = twin.read().load[PAN]
    twin.write(goal)
    advance(twin, 0.02)
    assert twin.read().load[PAN] == rest
    assert twin.read().load[4] > 0.1
    advance(twin, 0.001)
    assert twin.read().load[PAN] > 0.1


def test_a_stop_brakes_along_the_commanded_path_within_the_acceleration_and_jerk_limits() -> None:
    """From 1 rad/s at 38 rad/s² and 1900 rad/s³: 1/38 + 38/1900 s = 46.3 ms, 23.2 mrad, by goals 5 ms apart."""
    twin = lockstep(quantise=False)
    goal = UPRIGHT.copy()
    for _ in range(20):
        goal[PAN] += 0.01
        twin.write(JointCommand(goal.copy()))
        advance(twin, 0.01)
    before = twin.clock.now_ns()
    twin.stop(StopCategory.HOLD)
    assert twin.servos.goal[PAN] == pytest.approx(goal[PAN] + (1.0 / 38.0 + 38.0 / 1900.0) / 2, rel=1e-9)
    assert twin.clock.now_ns() - before == to_ns(0.005) * math.ceil((1.0 / 38.0 + 38.0 / 1900.0) / 0.005)
    assert twin.servos.torque
    held = twin.servos.goal.copy()
    twin.stop(StopCategory.HOLD)
    np.testing.assert_array_equal(twin.servos.goal, held)


def test_a_stop_at_rest_stays_at_the_goal() -> None:
    twin = lockstep()
    twin.write(turned(UPRIGHT, 0.2))
    advance(twin, 1.0)
    held = twin.servos.goal.copy()
    twin.stop()
    np.testing.assert_allclose(twin.servos.goal, held, atol=1e-12)


def test_categories_0_and_1_let_go_and_a_held_stop_can_be_made_one() -> None:
    twin = lockstep()
    before = twin.clock.now_ns()
    twin.stop(StopCategory.TORQUE_OFF)
    torque = [twin.servos.torque]
    assert twin.clock.now_ns() == before
    twin.reset()
    twin.set_torque(enabled=True)
    for category in (StopCategory.HOLD, StopCategory.RAMP_OFF):
        twin.stop(category)
        torque.append(twin.servos.torque)
    assert torque == [False, True, False]
    advance(twin, 0.01)
    assert not twin.read().load.any()


def test_torque_goes_on_at_the_present_position_not_at_an_old_goal() -> None:
    twin = lockstep()
    twin.write(turned(UPRIGHT, 0.5))
    twin.set_torque(enabled=False)
    advance(twin, 1.0)
    twin.set_torque(enabled=True)
    np.testing.assert_array_equal(twin.servos.goal, twin.read().position)


def test_closing_keeps_the_torque_and_connecting_keeps_the_goals() -> None:
    twin = lockstep()
    twin.write(turned(UPRIGHT, 0.2))
    advance(twin, 0.5)
    goal = twin.servos.goal.copy()
    twin.close()
    with pytest.raises(NotReady, match="call connect"):
        twin.read()
    twin.connect()
    assert twin.servos.torque
    np.testing.assert_array_equal(twin.servos.goal, goal)


def test_load_is_duty_or_current_as_the_servo_measures() -> None:
    """XL430 reports duty; XL330 reports current, here as a share of 1.75 A."""
    twin = Twin(KOCH, position=np.zeros(6))
    twin.connect()
    twin.set_torque(enabled=True)
    advance(twin, 0.3)
    load, state = twin.read().load, twin.servos.plant.state
    np.testing.assert_array_equal(load[:2], twin.servos.duty[:2])
    np.testing.assert_allclose(load[2:], state.current[2:] / 1.75)
    assert np.abs(load[1:4]).min() > 1e-3


def test_health_is_unknown_before_the_first_reading_and_names_what_is_wrong_after() -> None:
    twin = Twin(KOCH, clock=ManualClock(5))
    unknown = twin.health()
    assert unknown.stamp_ns.tolist() == [-1] * 6
    assert np.isnan(unknown.temperature).all()
    twin.connect()
    twin.read()
    healthy = twin.health()
    assert healthy.stamp_ns.tolist() == [5] * 6
    assert healthy.hardware_error == (HardwareError.NONE,) * 6
    np.testing.assert_allclose(healthy.temperature, 25.0)
    np.testing.assert_allclose(healthy.voltage, [12.0] * 2 + [5.0] * 4)
    assert np.isnan(healthy.current).tolist() == [True, True, False, False, False, False]
    twin.servos.plant.set_temperature(2, 80.0)
    twin.servos.plant.set_supply(4.0)
    advance(twin, 0.001)
    twin.read()
    errors = twin.health().hardware_error
    assert errors[2] == HardwareError.OVERHEAT
    assert errors[0] == HardwareError.VOLTAGE
    assert errors[3] == HardwareError.NONE


def test_a_start_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ConfigError, match="give 6 angles"):
        Twin(SO101, position=np.zeros(5))
