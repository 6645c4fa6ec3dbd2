"""What an emulated X-series servo's registers do, asked over the line in bytes: packets, access, reading many."""

from robot_mbrl.drivers.arms import RAD_PER_TICK
from robot_mbrl.drivers.control_tables import control_table
from robot_mbrl.drivers.dynamixel import codec
from robot_mbrl.drivers.dynamixel.codec import BROADCAST_ID, ResetMode, ResultCode
from tests.drivers.virtual.dynamixel_bench import VELOCITY_UNIT, XL330, XL430, Dynamixel


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
