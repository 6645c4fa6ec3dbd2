"""When an emulated X-series servo stops or starts by itself: watchdog, shutdown, start-up."""

import pytest

from robot_mbrl.contracts.plant import Bridge
from robot_mbrl.drivers.dynamixel import codec
from robot_mbrl.drivers.dynamixel.codec import ResultCode
from tests.drivers.virtual.dynamixel_bench import ALERT, XL330, XL430, Dynamixel


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
