"""How an emulated X-series servo moves in each of its operating modes."""

import math

import pytest

from robot_mbrl.drivers.arms import RAD_PER_TICK
from robot_mbrl.drivers.dynamixel import codec
from robot_mbrl.drivers.dynamixel.codec import ResultCode
from tests.drivers.virtual.dynamixel_bench import XL330, Dynamixel

# -- position -----------------------------------------------------------------------------------------------------


def test_torque_on_makes_the_present_position_the_goal(koch: Dynamixel) -> None:
    koch.write("goal_position", 2500)
    koch.write("torque_enable", 1)
    assert koch.read("goal_position") == 2048
    koch.run(0.5)
    assert koch.read("present_position") == 2048


def test_a_goal_is_reached(koch: Dynamixel) -> None:
    koch.write("torque_enable", 1)
    koch.write("goal_position", 2400)
    koch.run(2.0)
    assert koch.read("present_position") == pytest.approx(2400, abs=1)
    assert koch.read("moving_status") & 0x01
    assert koch.plant.state.position[2] == pytest.approx(352 * RAD_PER_TICK, abs=RAD_PER_TICK)


def test_velocity_based_profile_takes_its_hand_computed_time(koch: Dynamixel) -> None:
    koch.write("profile_velocity", 64)
    koch.write("profile_acceleration", 20)
    koch.write("position_p_gain", 3000)
    koch.write("torque_enable", 1)
    koch.write("goal_position", 3048)
    # 64 units are 1000.5 ticks/s, 20 units are 4882.8 ticks/s²: 1000 / 1000.5 + 1000.5 / 4882.8 = 1.204 s.
    koch.run(0.602)
    assert koch.read("position_trajectory") == pytest.approx(2548, abs=5)
    assert koch.read("velocity_trajectory") == 64
    assert koch.read("moving_status") & 0x32 == 0x32
    koch.run(0.58)
    assert koch.read("moving_status") & 0x02
    koch.run(0.05)
    assert not koch.read("moving_status") & 0x02
    assert koch.read("position_trajectory") == 3048


def test_time_based_profile_arrives_in_the_time_given(koch: Dynamixel) -> None:
    koch.write("drive_mode", 4)
    koch.write("profile_velocity", 800)
    koch.write("profile_acceleration", 200)
    koch.write("torque_enable", 1)
    koch.write("goal_position", 3000)
    koch.run(0.77)
    assert koch.read("moving_status") & 0x02
    koch.run(0.05)
    assert not koch.read("moving_status") & 0x02


def test_homing_offset_is_added(koch: Dynamixel) -> None:
    koch.write("homing_offset", 100)
    assert koch.read("present_position") == 2148
    koch.write("homing_offset", 1025)
    assert koch.read("present_position") == 2048
    koch.write("operating_mode", 4)
    assert koch.read("present_position") == 3073


def test_reverse_mode_turns_the_other_way() -> None:
    bench = Dynamixel("koch_follower", position=100 * RAD_PER_TICK)
    assert bench.read("present_position") == 2148
    bench.write("drive_mode", 1)
    bench.ask(codec.reboot(XL330))
    bench.run(0.3)
    start = bench.read("present_position")
    assert start == 4096 - 2148
    bench.write("torque_enable", 1)
    bench.write("goal_position", start + 200)
    bench.run(2.0)
    assert bench.read("present_position") == pytest.approx(start + 200, abs=1)
    assert bench.plant.state.position[2] == pytest.approx((100 - 200) * RAD_PER_TICK, abs=2 * RAD_PER_TICK)


def test_extended_position_counts_turns_and_position_mode_forgets_them(koch: Dynamixel) -> None:
    koch.write("operating_mode", 4)
    koch.write("torque_enable", 1)
    koch.write("goal_position", 2048 + 3 * 4096)
    koch.run(4.0)
    assert koch.read("present_position") == pytest.approx(2048 + 3 * 4096, abs=1)
    koch.write("torque_enable", 0)
    koch.write("operating_mode", 3)
    assert koch.read("present_position") == pytest.approx(2048, abs=1)


def test_clear_brings_a_resting_shaft_back_into_one_turn(koch: Dynamixel) -> None:
    koch.write("operating_mode", 4)
    koch.plant.state.position[2] += 2 * 2 * math.pi
    koch.run(0.002)
    assert koch.read("present_position") == 2048 + 2 * 4096
    assert koch.status(codec.clear(XL330)).error == ResultCode.OK
    assert koch.read("present_position") == 2048
    assert koch.status(codec.encode(XL330, codec.Instruction.CLEAR, b"\x01\x00\x00\x00\x00")).error == ResultCode.RANGE


def test_a_mode_change_resets_gains_profile_and_goals(koch: Dynamixel) -> None:
    koch.write("position_p_gain", 900)
    koch.write("profile_velocity", 50)
    koch.write("goal_pwm", 100)
    koch.write("operating_mode", 4)
    assert koch.read("position_p_gain") == 400
    assert koch.read("profile_velocity") == 0
    assert koch.read("goal_pwm") == 885


def test_the_i_gain_removes_what_gravity_leaves(koch: Dynamixel) -> None:
    koch.plant.gravity = 20.0
    koch.write("position_p_gain", 40)
    koch.write("torque_enable", 1)
    koch.run(2.0)
    sagged = 2048 - koch.read("present_position")
    koch.write("position_i_gain", 20)
    koch.run(4.0)
    assert sagged > 10
    assert koch.read("present_position") == pytest.approx(2048, abs=1)


# -- velocity, current, PWM ---------------------------------------------------------------------------------------


def test_velocity_mode_follows_its_ramp(koch: Dynamixel) -> None:
    koch.write("operating_mode", 1)
    koch.write("profile_acceleration", 10)
    koch.write("torque_enable", 1)
    koch.write("goal_velocity", 100)
    # 100 units at 10 x 244.14 ticks/s² take 1563 / 2441 = 0.64 s.
    koch.run(0.32)
    assert koch.read("velocity_trajectory") == pytest.approx(50, abs=2)
    koch.run(2.0)
    assert koch.read("present_velocity") == pytest.approx(100, abs=2)


def test_current_mode_holds_the_goal_current(koch: Dynamixel) -> None:
    koch.write("operating_mode", 0)
    koch.write("torque_enable", 1)
    koch.write("goal_current", 500)
    koch.run(0.2)
    assert koch.read("present_current") == pytest.approx(500, abs=5)


def test_current_based_position_does_not_exceed_its_goal_current(koch: Dynamixel) -> None:
    koch.write("operating_mode", 5)
    koch.write("torque_enable", 1)
    koch.write("goal_current", 300)
    koch.plant.set_stuck(2, stuck=True)
    koch.write("goal_position", 4000)
    koch.run(0.5)
    assert koch.read("present_current") == pytest.approx(300, abs=5)


def test_pwm_mode_starts_at_rest_and_obeys_the_goal(koch: Dynamixel) -> None:
    koch.write("operating_mode", 16)
    koch.write("torque_enable", 1)
    koch.run(0.01)
    assert koch.servo(2).duty == 0.0
    koch.write("goal_pwm", 443)
    koch.run(0.002)
    assert koch.servo(2).duty == pytest.approx(443 / 885)
    assert koch.read("present_pwm") == 443


def test_goal_pwm_limits_position_control(koch: Dynamixel) -> None:
    koch.write("torque_enable", 1)
    koch.write("goal_pwm", 177)
    koch.write("goal_position", 4000)
    koch.run(0.01)
    assert koch.servo(2).duty == pytest.approx(0.2)
