"""What an emulated STS3215's registers do, asked over the line in bytes."""

import pytest

from robot_mbrl.contracts.plant import Bridge
from robot_mbrl.drivers.arms import RAD_PER_TICK
from robot_mbrl.drivers.feetech import codec
from tests.drivers.virtual.feetech_bench import Feetech


def test_golden_ping(one: Feetech) -> None:
    assert one.ask(bytes.fromhex("FFFF010201FB")) == bytes.fromhex("FFFF010200FC")


def test_golden_read_of_the_present_position(one: Feetech) -> None:
    # 2048 = 0x0800, little-endian.
    assert one.ask(bytes.fromhex("FFFF0104023802BE")) == bytes.fromhex("FFFF0104000008F2")


def test_the_table_holds_model_and_defaults(one: Feetech) -> None:
    assert one.read("model_number") == 777
    assert one.read("p_coefficient") == 32
    assert one.read("lock") == 1
    assert one.read("torque_enable") == 0
    assert one.read("present_voltage") == 74
    assert one.read("present_temperature") == 30


def test_read_only_registers_are_left_alone(one: Feetech) -> None:
    assert one.write("present_position", 7) == 0
    assert one.write("model_number", 1) == 0
    assert one.read("present_position") == 2048
    assert one.read("model_number") == 777


def test_a_write_over_several_registers_and_a_reserved_gap(one: Feetech) -> None:
    # Addresses 48 (torque limit, 2 bytes), 50 to 54 (reserved), 55 (lock).
    one.ask(codec.write(1, 48, (700).to_bytes(2, "little") + bytes(5) + b"\x00"))
    assert one.read("torque_limit") == 700
    assert one.read("lock") == 0


def test_one_byte_of_a_two_byte_register_can_be_written(one: Feetech) -> None:
    one.write("goal_position", 0x0102)
    one.ask(codec.write(1, 43, b"\x03"))
    assert one.read("goal_position") == 0x0302


def test_values_outside_a_register_s_range_are_clamped(one: Feetech) -> None:
    one.write("torque_limit", 5000)
    assert one.read("torque_limit") == 1000
    one.write("torque_enable", 7)
    assert one.read("torque_enable") == 0


def test_a_locked_eeprom_forgets_at_a_reboot(one: Feetech) -> None:
    one.write("p_coefficient", 16)
    assert one.read("p_coefficient") == 16
    one.ask(codec.reboot(1))
    one.run(1.0)
    assert one.read("p_coefficient") == 32


def test_an_unlocked_eeprom_keeps(one: Feetech) -> None:
    one.write("lock", 0)
    one.write("p_coefficient", 16)
    one.ask(codec.reboot(1))
    one.run(1.0)
    assert one.read("p_coefficient") == 16
    assert one.read("lock") == 1


def test_the_factory_area_past_the_feedback_is_eeprom_too(one: Feetech) -> None:
    one.write("lock", 0)
    one.write("maximum_acceleration", 100)
    one.ask(codec.reboot(1))
    one.run(1.0)
    assert one.read("maximum_acceleration") == 100


def test_a_reboot_takes_800_ms_of_silence(one: Feetech) -> None:
    one.write("torque_enable", 1)
    assert one.ask(codec.reboot(1)) == codec.status(1, 0)
    one.run(0.79)
    assert one.ask(codec.ping(1)) == b""
    one.run(0.02)
    assert one.ask(codec.ping(1)) == codec.status(1, 0)
    assert one.read("torque_enable") == 0


def test_an_id_change_acts_at_once_and_is_acknowledged_with_the_old_one(one: Feetech) -> None:
    one.write("lock", 0)
    assert one.write("id", 9) == 0
    assert one.ask(codec.ping(1)) == b""
    assert one.ask(codec.ping(9)) == codec.status(9, 0)


def test_a_baud_change_acts_after_its_acknowledgement(one: Feetech) -> None:
    assert one.write("baud_rate", 1) == 0
    assert one.ask(codec.ping(1)) == b""
    one.baud = 500_000
    assert one.ask(codec.ping(1)) == codec.status(1, 0)


def test_restore_brings_factory_values_back_and_keeps_the_id(one: Feetech) -> None:
    one.write("lock", 0)
    one.write("id", 5)
    one.write("p_coefficient", 16, servo_id=5)
    one.ask(codec.restore(5))
    one.run(1.0)
    assert one.read("p_coefficient", servo_id=5) == 32


def test_broadcasts_are_not_answered_but_obeyed() -> None:
    bench = Feetech("so101_follower", servos=2)
    assert bench.ask(codec.write(codec.BROADCAST_ID, 40, b"\x01")) == b""
    assert [bench.read("torque_enable", i) for i in (1, 2)] == [1, 1]


def test_response_level_0_answers_only_pings_and_reads(one: Feetech) -> None:
    one.ask(codec.write(1, 8, b"\x00"))
    assert one.ask(codec.write(1, 40, b"\x01")) == b""
    assert one.read("torque_enable") == 1


def test_a_registered_write_waits_for_action(one: Feetech) -> None:
    assert one.ask(codec.reg_write(1, 40, b"\x01")) == codec.status(1, 0)
    assert one.read("torque_enable") == 0
    assert one.read("registered_instruction") == 1
    assert one.ask(codec.action()) == b""
    assert one.read("torque_enable") == 1
    assert one.read("registered_instruction") == 0


def test_sync_write_and_sync_read() -> None:
    bench = Feetech("so101_follower")
    goals = {servo_id: (2000 + servo_id).to_bytes(2, "little") for servo_id in range(1, 7)}
    assert bench.ask(codec.sync_write(42, goals)) == b""
    answers = codec.Decoder().feed(bench.ask(codec.sync_read(42, 2, (6, 2, 4))))
    assert [(packet.id, packet.params) for packet in answers] == [(i, goals[i]) for i in (6, 2, 4)]


def test_two_servos_with_one_id_are_not_readable() -> None:
    bench = Feetech("so101_follower", servos=2)
    bench.servo(1).burn("id", 1)
    assert codec.Decoder().feed(bench.ask(codec.ping(1))) == []
    assert bench.ask(codec.ping(2)) == b""


def test_malformed_instructions_are_ignored(one: Feetech) -> None:
    assert one.ask(codec.encode(1, 0x77)) == b""
    assert one.ask(codec.encode(1, codec.Instruction.READ, b"\x38")) == b""
    assert one.ask(b"\x00\xff\x13" + codec.ping(1)) == codec.status(1, 0)
    broken = bytearray(codec.ping(1))
    broken[-1] ^= 1
    assert one.ask(bytes(broken)) == b""


# -- torque and position ------------------------------------------------------------------------------------------


def test_switching_torque_on_without_a_new_goal_does_not_move(one: Feetech) -> None:
    one.write("torque_enable", 1)
    one.run(0.5)
    assert one.read("present_position") == 2048


def test_a_stale_goal_is_driven_to_when_torque_comes_on() -> None:
    bench = Feetech("so101_follower", servos=1)
    bench.write("goal_position", 2148)
    bench.run(0.5)
    assert bench.read("present_position") == 2048
    bench.write("torque_enable", 1)
    bench.run(1.5)
    assert bench.read("present_position") == pytest.approx(2148, abs=1)


def test_a_goal_is_reached_and_the_shaft_is_where_the_register_says(one: Feetech) -> None:
    one.write("torque_enable", 1)
    one.write("goal_position", 2500)
    assert one.read("moving") == 1
    one.run(2.0)
    assert one.read("present_position") == pytest.approx(2500, abs=1)
    assert one.plant.state.position[0] / RAD_PER_TICK == pytest.approx(2500 - 2048, abs=1.5)
    assert one.read("moving") == 0


def test_acceleration_and_speed_make_the_hand_computed_time(one: Feetech) -> None:
    one.write("p_coefficient", 200)
    one.write("acceleration", 50)
    one.write("goal_velocity", 1000)
    one.write("torque_enable", 1)
    one.write("goal_position", 3048)
    # Trapezoid: 1000 ticks at 1000 ticks/s and 50 x 100 ticks/s² take 1.0 + 1000 / 5000 = 1.2 s.
    one.run(0.6)
    assert one.read("present_position") == pytest.approx(2548, abs=60)
    assert one.read("present_velocity") == pytest.approx(1000, abs=50)
    one.run(0.9)
    assert one.read("present_position") == pytest.approx(3048, abs=2)


def test_goals_are_held_to_the_position_limits(one: Feetech) -> None:
    one.write("min_position_limit", 1900)
    one.write("max_position_limit", 2200)
    one.write("torque_enable", 1)
    one.write("goal_position", 4000)
    one.run(2.0)
    assert one.read("present_position") == pytest.approx(2200, abs=1)
    assert one.read("goal_position") == 4000


def test_torque_off_lets_the_joint_fall_and_damping_brakes_it(one: Feetech) -> None:
    one.plant.gravity = 5.0
    one.run(0.2)
    free = one.plant.state.velocity[0]
    assert free == pytest.approx(-5.0 * 0.2, rel=0.02)
    one.write("torque_enable", 2)
    one.run(1.0)
    # Shorted: a = -10 v - 5 settles at -0.5 rad/s.
    assert one.plant.state.velocity[0] == pytest.approx(-0.5, rel=0.01)
    assert one.servo().bridge == Bridge.DRIVEN


def test_torque_limit_caps_the_duty_and_comes_from_max_torque_at_power_on(one: Feetech) -> None:
    one.write("lock", 0)
    one.write("max_torque_limit", 300)
    one.ask(codec.reboot(1))
    one.run(1.0)
    assert one.read("torque_limit") == 300
    one.write("maximum_acceleration", 0)
    one.write("torque_enable", 1)
    one.write("goal_position", 4000)
    one.run(0.01)
    assert one.read("present_load") == 300
    assert one.servo().duty == pytest.approx(0.3)


def test_the_dead_zone_is_not_corrected_and_the_startup_force_is_the_least(one: Feetech) -> None:
    one.write("maximum_acceleration", 0)
    one.write("cw_dead_zone", 10)
    one.write("p_coefficient", 1)
    one.write("minimum_startup_force", 50)
    one.write("torque_enable", 1)
    one.write("goal_position", 2058)
    one.run(0.01)
    assert one.servo().duty == 0.0
    one.write("goal_position", 2059)
    one.run(0.001)
    assert one.servo().duty == pytest.approx(0.05)


def test_homing_offset_is_subtracted_and_wraps(one: Feetech) -> None:
    one.write("homing_offset", 100)
    assert one.read("present_position") == 1948
    one.write("homing_offset", -2047)
    assert one.read("present_position") == 4095
    one.write("homing_offset", 2047)
    assert one.read("present_position") == 1


def test_128_makes_the_present_position_the_middle_and_survives_a_reboot() -> None:
    bench = Feetech("so101_follower", servos=1, position=300 * RAD_PER_TICK)
    assert bench.read("present_position") == 2348
    bench.write("torque_enable", 128)
    assert bench.read("present_position") == 2048
    assert bench.read("homing_offset") == 300
    assert bench.read("torque_enable") == 0
    bench.ask(codec.reboot(1))
    bench.run(1.0)
    assert bench.read("present_position") == 2048


def test_single_turn_wraps_and_multi_turn_counts_on() -> None:
    bench = Feetech("so101_follower", servos=1, position=2000 * RAD_PER_TICK)
    bench.plant.state.position[0] = 2100 * RAD_PER_TICK
    bench.run(0.002)
    assert bench.read("present_position") == 2048 + 2100 - 4096
    bench.write("phase", bench.read("phase") | 16)
    assert bench.read("present_position") == 2048 + 2100


def test_phase_bit_2_chooses_the_unit_of_speed(one: Feetech) -> None:
    one.plant.state.velocity[0] = 1000 * RAD_PER_TICK
    one.run(0.002)
    assert one.read("present_velocity") == 1000
    one.write("phase", one.read("phase") & ~4)
    assert one.read("present_velocity") == 20


# -- other modes --------------------------------------------------------------------------------------------------


def test_speed_mode_holds_the_goal_speed_in_both_directions(one: Feetech) -> None:
    one.write("operating_mode", 1)
    one.write("torque_enable", 1)
    for speed in (800, -800):
        one.write("goal_velocity", speed)
        one.run(3.0)
        assert one.read("present_velocity") == pytest.approx(speed, abs=20)


def test_pwm_mode_puts_the_duty_of_register_44_on_the_bridge(one: Feetech) -> None:
    one.write("operating_mode", 2)
    one.write("torque_enable", 1)
    one.write("goal_time", -250)
    one.run(0.002)
    assert one.servo().duty == pytest.approx(-0.25)


def test_step_mode_moves_by_the_goal(one: Feetech) -> None:
    one.write("operating_mode", 3)
    one.write("torque_enable", 1)
    for expected in (2248, 2448):
        one.write("goal_position", 200)
        one.run(2.0)
        assert one.read("present_position") == pytest.approx(expected, abs=2)
