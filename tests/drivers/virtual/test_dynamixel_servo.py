"""What an emulated X-series servo's registers do, asked over the line in bytes."""

import math

import pytest

from robot_mbrl.contracts.plant import Bridge
from robot_mbrl.drivers.control_tables import control_table
from robot_mbrl.drivers.dynamixel import codec
from robot_mbrl.drivers.dynamixel.codec import BROADCAST_ID, Packet, ResetMode, ResultCode
from robot_mbrl.drivers.registers import ControlTable
from tests.drivers.virtual.workbench import Workbench

RAD_PER_TICK = 2 * math.pi / 4096
VELOCITY_UNIT = 0.229 * 4096 / 60
ALERT = 0x80
XL430, XL330 = 1, 3
"""IDs of a servo of each kind in the Koch arm."""


class Dynamixel(Workbench):
    """The bench with a Dynamixel host."""

    def packets(self, data: bytes) -> list[Packet]:
        return codec.Decoder().feed(self.ask(data))

    def status(self, data: bytes) -> Packet:
        packets = self.packets(data)
        assert len(packets) == 1
        return packets[0]

    def read(self, name: str, servo_id: int = XL330) -> int:
        register = self._table(servo_id)[name]
        packet = self.status(codec.read(servo_id, register.address, register.size))
        assert packet.result == ResultCode.OK
        return register.decode(packet.params)

    def write(self, name: str, value: int, servo_id: int = XL330) -> int:
        """The error byte of the answer."""
        register = self._table(servo_id)[name]
        return self.status(codec.write(servo_id, register.address, register.encode(value))).error

    def _table(self, servo_id: int) -> ControlTable:
        return control_table("xl430-w250" if servo_id < XL330 else "xl330-m288")


@pytest.fixture
def koch() -> Dynamixel:
    """Two XL430 and four XL330 at tick 2048, position mode."""
    return Dynamixel("koch_follower")


def test_golden_ping() -> None:
    bench = Dynamixel("koch_follower", servos=1)
    # Model 1060 = 0x0424, firmware 46 = 0x2E.
    answer = bench.ask(bytes.fromhex("FFFFFD00010300 01 194E"))
    assert answer == codec.status(1, 0, bytes.fromhex("24042E"))


def test_golden_read_of_the_present_position(koch: Dynamixel) -> None:
    answer = koch.ask(bytes.fromhex("FFFFFD0001070002840004001D15"))
    assert answer == codec.status(1, 0, (2048).to_bytes(4, "little"))


def test_golden_write_of_the_goal_position(koch: Dynamixel) -> None:
    assert codec.write(1, 116, (512).to_bytes(4, "little"))[-2:] == bytes.fromhex("CA89")
    assert koch.ask(codec.write(1, 116, (512).to_bytes(4, "little"))) == codec.status(1, 0)
    assert koch.read("goal_position", 1) == 512


def test_a_broadcast_ping_is_answered_in_order_of_id(koch: Dynamixel) -> None:
    koch.servo(0).burn("id", 7)
    assert [packet.id for packet in koch.packets(codec.ping(BROADCAST_ID))] == [2, 3, 4, 5, 6, 7]


def test_two_servos_with_one_id_are_not_readable(koch: Dynamixel) -> None:
    koch.servo(1).burn("id", 1)
    assert koch.packets(codec.ping(1)) == []


# -- access -------------------------------------------------------------------------------------------------------


def test_eeprom_is_closed_while_torque_is_on(koch: Dynamixel) -> None:
    assert koch.write("id", 9) == ResultCode.OK
    assert koch.packets(codec.ping(3)) == []
    koch.servo(2).burn("id", 3)
    koch.write("torque_enable", 1)
    assert koch.write("id", 9) == ResultCode.ACCESS
    assert koch.read("id") == 3


def test_what_cannot_be_written_is_refused_with_its_reason(koch: Dynamixel) -> None:
    assert koch.write("present_position", 5) == ResultCode.ACCESS
    assert koch.write("model_number", 5) == ResultCode.ACCESS
    assert koch.write("position_p_gain", 16384) == ResultCode.RANGE
    assert koch.write("return_delay_time", 255) == ResultCode.RANGE
    assert koch.status(codec.write(XL330, 116, b"\x00\x08")).error == ResultCode.LENGTH
    assert koch.status(codec.write(XL330, 226, bytes(8))).error == ResultCode.ACCESS
    assert koch.status(codec.read(XL330, 226, 8)).error == ResultCode.ACCESS
    assert koch.status(codec.encode(XL330, 0x33)).error == ResultCode.INSTRUCTION
    assert koch.status(codec.encode(XL330, codec.Instruction.READ, b"\x01")).error == ResultCode.LENGTH


def test_goals_beyond_their_limits_are_refused_and_change_nothing(koch: Dynamixel) -> None:
    koch.write("max_position_limit", 3000)
    before = koch.read("goal_position")
    assert koch.write("goal_position", 3001) == ResultCode.LIMIT
    assert koch.read("goal_position") == before
    assert koch.write("goal_position", 3000) == ResultCode.OK
    koch.write("pwm_limit", 500)
    assert koch.write("goal_pwm", -501) == ResultCode.LIMIT
    koch.write("velocity_limit", 100)
    assert koch.write("goal_velocity", 101) == ResultCode.LIMIT
    koch.write("current_limit", 800)
    assert koch.write("goal_current", 801) == ResultCode.LIMIT


def test_a_refused_part_refuses_the_whole_write(koch: Dynamixel) -> None:
    # 108 profile acceleration, 112 profile velocity (too large).
    data = (10).to_bytes(4, "little") + (40_000).to_bytes(4, "little")
    assert koch.status(codec.write(XL330, 108, data)).error == ResultCode.RANGE
    assert koch.read("profile_acceleration") == 0


def test_the_xl430_has_no_current_modes(koch: Dynamixel) -> None:
    assert koch.write("operating_mode", 0, XL430) == ResultCode.RANGE
    assert koch.write("operating_mode", 5, XL430) == ResultCode.RANGE
    assert koch.write("operating_mode", 4, XL430) == ResultCode.OK
    assert koch.write("operating_mode", 5) == ResultCode.OK
    assert koch.write("operating_mode", 2) == ResultCode.RANGE


def test_eeprom_outlives_a_reboot_and_ram_does_not(koch: Dynamixel) -> None:
    koch.write("temperature_limit", 60)
    koch.write("position_p_gain", 999)
    assert koch.status(codec.reboot(XL330)).error == ResultCode.OK
    assert koch.packets(codec.ping(XL330)) == []
    koch.run(0.3)
    assert koch.read("temperature_limit") == 60
    assert koch.read("position_p_gain") == 400


def test_status_return_levels(koch: Dynamixel) -> None:
    assert koch.ask(codec.write(XL330, 68, b"\x01")) == b""
    assert koch.packets(codec.write(XL330, 65, b"\x01")) == []
    assert koch.read("led") == 1
    koch.ask(codec.write(XL330, 68, b"\x00"))
    assert koch.packets(codec.read(XL330, 65, 1)) == []
    assert len(koch.packets(codec.ping(XL330))) == 1


def test_registered_writes(koch: Dynamixel) -> None:
    assert koch.status(codec.action(XL330)).error == ResultCode.RESULT
    koch.ask(codec.reg_write(XL330, 65, b"\x01"))
    assert koch.read("registered_instruction") == 1
    assert koch.read("led") == 0
    assert koch.status(codec.action(XL330)).error == ResultCode.OK
    assert koch.read("led") == 1


def test_factory_reset_keeps_what_it_is_told_to(koch: Dynamixel) -> None:
    koch.write("temperature_limit", 60)
    koch.ask(codec.factory_reset(XL330, ResetMode.ALL_BUT_ID_AND_BAUD))
    koch.run(0.3)
    assert koch.read("temperature_limit") == 70
    koch.ask(codec.factory_reset(XL330, ResetMode.ALL))
    koch.run(0.3)
    koch.baud = 57_600
    assert [packet.id for packet in koch.packets(codec.ping(1))] == [1]
    assert koch.ask(codec.factory_reset(BROADCAST_ID, ResetMode.ALL)) == b""


def test_servos_from_the_box_speak_57600_baud_with_id_1() -> None:
    bench = Dynamixel("koch_follower", factory=True)
    assert {(servo.id, servo.baud) for servo in bench.arm.servos} == {(1, 57_600)}


# -- reading many -------------------------------------------------------------------------------------------------


def test_sync_and_bulk_reads_come_in_the_order_asked_for(koch: Dynamixel) -> None:
    sync = koch.packets(codec.sync_read(132, 4, (4, 1, 6)))
    assert [(packet.id, packet.params) for packet in sync] == [(i, bytes.fromhex("00080000")) for i in (4, 1, 6)]
    bulk = koch.packets(codec.bulk_read([(2, 0, 2), (5, 146, 1)]))
    assert [(packet.id, packet.params) for packet in bulk] == [(2, b"\x24\x04"), (5, b"\x1e")]


def test_fast_reads_give_the_same_data_in_one_frame(koch: Dynamixel) -> None:
    (frame,) = koch.packets(codec.fast_sync_read(132, 4, range(1, 7)))
    assert codec.parse_fast_status(frame, 4) == [(0, i, bytes.fromhex("00080000")) for i in range(1, 7)]
    (frame,) = koch.packets(codec.fast_bulk_read([(2, 0, 2), (5, 146, 1)]))
    assert codec.parse_fast_status(frame, (2, 1)) == [(0, 2, b"\x24\x04"), (0, 5, b"\x1e")]


def test_a_servo_missing_from_a_fast_read_cuts_the_frame_off(koch: Dynamixel) -> None:
    whole = koch.ask(codec.fast_sync_read(132, 4, range(1, 7)))
    koch.servo(2).silent = True
    cut = koch.ask(codec.fast_sync_read(132, 4, range(1, 7)))
    assert cut == whole[: 8 + 2 * 8]


def test_bulk_and_sync_writes_reach_each_servo(koch: Dynamixel) -> None:
    assert koch.ask(codec.sync_write(65, {1: b"\x01", 4: b"\x01"})) == b""
    assert koch.ask(codec.bulk_write([(2, 65, b"\x01"), (3, 84, b"\x07\x00")])) == b""
    assert [koch.read("led", i) for i in range(1, 7)] == [1, 1, 0, 1, 0, 0]
    assert koch.read("position_p_gain", 3) == 7


def test_a_pattern_in_the_data_is_stuffed(koch: Dynamixel) -> None:
    # The field fault: current -1 and a velocity whose low byte is 0xFD.
    koch.plant.state.velocity[2] = 0xFD * VELOCITY_UNIT * RAD_PER_TICK
    koch.plant.state.current[2] = -0.001
    koch.run(0.001)
    answer = koch.ask(codec.read(XL330, 126, 10))
    assert b"\xff\xff\xfd\xfd" in answer[4:]
    (packet,) = codec.Decoder().feed(answer)
    assert packet.params[:6] == bytes.fromhex("fffffd000000")


def test_indirect_data_stand_for_what_they_point_to(koch: Dynamixel) -> None:
    table = control_table("xl330-m288")
    for i in range(4):
        koch.write(f"indirect_address_{1 + i}", table["present_position"].address + i)
    koch.write("indirect_address_5", table["led"].address)
    data = koch.status(codec.read(XL330, table["indirect_data_1"].address, 5)).params
    assert data == bytes.fromhex("0008000000")
    assert koch.write("indirect_data_5", 1) == ResultCode.OK
    assert koch.read("led") == 1
    assert koch.write("indirect_data_1", 1) == ResultCode.LENGTH


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


# -- watchdog and shutdown ----------------------------------------------------------------------------------------


def test_the_bus_watchdog_stops_the_servo_and_locks_its_goals(koch: Dynamixel) -> None:
    koch.write("profile_velocity", 20)
    koch.write("torque_enable", 1)
    koch.write("bus_watchdog", 5)
    koch.write("goal_position", 4000)
    koch.run(0.09)
    koch.ask(codec.ping(1))
    koch.run(0.09)
    assert koch.read("bus_watchdog") == 5
    koch.run(0.11)
    assert koch.read("bus_watchdog") == -1
    assert koch.write("goal_position", 4000) == ResultCode.RANGE
    assert koch.write("bus_watchdog", 5) == ResultCode.RANGE
    stopped = koch.read("present_position")
    koch.run(0.3)
    assert koch.read("present_position") == pytest.approx(stopped, abs=3)
    assert koch.write("bus_watchdog", 0) == ResultCode.OK
    assert koch.write("goal_position", 4000) == ResultCode.OK


def test_the_watchdog_sleeps_while_torque_is_off(koch: Dynamixel) -> None:
    koch.write("bus_watchdog", 1)
    koch.run(0.5)
    assert koch.read("bus_watchdog") == 1


def test_overheating_shuts_down_and_only_a_reboot_helps(koch: Dynamixel) -> None:
    koch.write("torque_enable", 1)
    koch.plant.set_temperature(2, 71.0)
    koch.run(0.01)
    assert koch.status(codec.ping(XL330)).error == ALERT
    assert koch.read("hardware_error_status") == 0x04
    assert koch.read("torque_enable") == 0
    assert koch.servo(2).bridge == Bridge.OPEN
    koch.plant.set_temperature(2, 30.0)
    koch.run(0.01)
    assert koch.write("torque_enable", 1) == ResultCode.RESULT | ALERT
    assert koch.read("torque_enable") == 0
    koch.ask(codec.reboot(XL330))
    koch.run(0.3)
    assert koch.status(codec.ping(XL330)).error == 0
    assert koch.write("torque_enable", 1) == ResultCode.OK


def test_a_stall_at_full_output_is_an_overload(koch: Dynamixel) -> None:
    koch.plant.set_stuck(2, stuck=True)
    koch.write("torque_enable", 1)
    koch.write("goal_position", 4095)
    koch.run(1.4)
    assert koch.read("hardware_error_status") == 0
    koch.run(0.2)
    assert koch.read("hardware_error_status") == 0x20
    assert koch.read("torque_enable") == 0


def test_errors_outside_the_shutdown_mask_only_report(koch: Dynamixel) -> None:
    # XL430's mask is 52 from the factory: an input voltage error does not shut it down.
    koch.write("torque_enable", 1, XL430)
    koch.plant.set_supply(5.0)
    koch.run(0.5)
    assert koch.read("hardware_error_status", XL430) == 0x01
    assert koch.read("torque_enable", XL430) == 1


def test_startup_configuration_brings_torque_on_at_power_on(koch: Dynamixel) -> None:
    koch.write("startup_configuration", 1)
    koch.ask(codec.reboot(XL330))
    koch.run(0.3)
    assert koch.read("torque_enable") == 1


def test_torque_on_by_goal_update(koch: Dynamixel) -> None:
    koch.write("drive_mode", 8)
    koch.write("goal_position", 2300)
    assert koch.read("torque_enable") == 1
    koch.run(2.0)
    assert koch.read("present_position") == pytest.approx(2300, abs=1)


def test_the_realtime_tick_counts_milliseconds_in_15_bits(koch: Dynamixel) -> None:
    first = koch.read("realtime_tick")
    koch.run(0.5)
    assert koch.read("realtime_tick") - first == pytest.approx(500, abs=2)
    koch.run(32.768)
    assert koch.read("realtime_tick") < 0x8000
