"""When an emulated STS3215 protects itself: what it reports, what it lets go, what brings it back."""

from robot_mbrl.contracts.plant import Bridge
from robot_mbrl.drivers.feetech import codec
from robot_mbrl.drivers.feetech.codec import StatusBit
from tests.drivers.virtual.feetech_bench import Feetech


def jam(bench: Feetech) -> None:
    """A jammed joint that is sent far away, its set point without limits."""
    bench.write("maximum_acceleration", 0)
    bench.plant.set_stuck(0, stuck=True)
    bench.write("protection_time", 20)
    bench.write("torque_enable", 1)
    bench.write("goal_position", 4000)


def test_overload_after_the_protection_time_leaves_the_protective_torque(one: Feetech) -> None:
    jam(one)
    one.run(0.19)
    assert one.status == 0
    assert one.read("present_load") == 1000
    one.run(0.02)
    assert one.status == StatusBit.OVERLOAD
    assert one.ask(codec.ping(1)) == codec.status(1, StatusBit.OVERLOAD)
    assert one.read("present_load") == 200
    assert one.read("status") == StatusBit.OVERLOAD


def test_an_overload_ends_when_the_goal_backs_off_but_not_when_it_pushes_on(one: Feetech) -> None:
    jam(one)
    one.run(0.3)
    one.write("goal_position", 3900)
    assert one.status == StatusBit.OVERLOAD
    one.write("goal_position", 2000)
    assert one.status == 0


def test_an_overload_ends_with_the_torque_switch(one: Feetech) -> None:
    jam(one)
    one.run(0.3)
    one.write("torque_enable", 0)
    assert one.status == 0


def test_the_unloading_mask_decides_whether_an_overload_acts(one: Feetech) -> None:
    one.write("unloading_condition", 0)
    jam(one)
    one.run(0.3)
    assert one.status == StatusBit.OVERLOAD
    assert one.read("present_load") == 1000


def test_overcurrent_switches_the_torque_off_until_it_is_switched_on_again(one: Feetech) -> None:
    one.write("protection_current", 100)
    one.write("overcurrent_protection_time", 10)
    one.write("overload_torque", 0)
    jam(one)
    one.run(0.2)
    # 2 A at full duty is 308 units of 6.5 mA.
    assert one.status == StatusBit.OVERCURRENT
    assert one.read("torque_enable") == 0
    assert one.servo().bridge == Bridge.OPEN
    one.write("torque_enable", 1)
    assert one.status == 0


def test_overheating_switches_the_torque_off_and_the_status_follows_the_temperature(one: Feetech) -> None:
    one.write("torque_enable", 1)
    one.plant.set_temperature(0, 70.0)
    one.run(0.01)
    assert one.status == StatusBit.OVERHEAT
    assert one.read("torque_enable") == 0
    one.plant.set_temperature(0, 50.0)
    one.run(0.01)
    assert one.status == 0
    assert one.read("torque_enable") == 0


def test_a_supply_outside_its_limits_is_reported_and_by_default_only_that(one: Feetech) -> None:
    one.write("torque_enable", 1)
    one.plant.set_supply(3.5)
    one.run(0.5)
    assert one.status == StatusBit.VOLTAGE
    assert one.read("present_voltage") == 35
    assert one.read("torque_enable") == 1


def test_a_brown_out_restarts_the_servo(one: Feetech) -> None:
    one.write("torque_enable", 1)
    one.plant.set_supply(2.0)
    one.run(0.05)
    assert one.ask(codec.ping(1)) == b""
    assert one.servo().bridge == Bridge.OPEN
    one.plant.set_supply(7.4)
    one.run(0.7)
    assert one.ask(codec.ping(1)) == b""
    one.run(0.2)
    assert one.ask(codec.ping(1)) == codec.status(1, 0)
    assert one.read("torque_enable") == 0


def test_servos_from_the_box_all_have_id_1() -> None:
    bench = Feetech("so101_follower", factory=True)
    assert {servo.id for servo in bench.arm.servos} == {1}
