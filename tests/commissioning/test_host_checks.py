"""Diagnosis of the computer, on a made-up `/sys`, and judgement of a servo's word."""

from dataclasses import replace
from pathlib import Path

import pytest

from robot_mbrl.commissioning.arm_report import judge
from robot_mbrl.commissioning.check import Status
from robot_mbrl.commissioning.host_checks import (
    UDEV_RULE,
    check_host,
    check_latency,
    check_physics,
    check_ports,
    check_rendering,
)
from robot_mbrl.commissioning.servo_search import FoundServo, baud_code, baud_rates, table_of
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import load_arm


def with_latency_timer(root: Path, value: str) -> Path:
    timer = root / "sys/class/tty/ttyUSB0/device/latency_timer"
    timer.parent.mkdir(parents=True)
    timer.write_text(f"{value}\n", encoding="ascii")
    return root


def test_a_slow_latency_timer_comes_with_the_udev_rule(tmp_path: Path) -> None:
    (check,) = check_latency("/dev/ttyUSB0", with_latency_timer(tmp_path, "16"))
    assert check.status is Status.WARN
    assert "16 ms" in check.detail
    assert UDEV_RULE in check.remedy


def test_a_quick_latency_timer_is_fine(tmp_path: Path) -> None:
    (check,) = check_latency("/dev/ttyUSB0", with_latency_timer(tmp_path, "1"))
    assert check.status is Status.OK


def test_a_port_without_a_latency_timer_has_nothing_to_check(tmp_path: Path) -> None:
    assert list(check_latency("/dev/ttyACM0", tmp_path)) == []


def test_no_port_at_all_is_a_warning(tmp_path: Path) -> None:
    (check,) = check_ports([], tmp_path)
    assert check.status is Status.WARN
    assert "virtual-arm" in check.remedy


def test_the_physics_falls_as_it_should() -> None:
    assert check_physics().status is Status.OK


@pytest.mark.parametrize("library", ["EGL", "OSMesa"])
def test_one_library_to_draw_with_is_enough(library: str) -> None:
    check = check_rendering(lambda name: f"lib{name}.so.1" if name == library else None)
    assert (check.status, check.detail) == (Status.OK, f"lib{library}.so.1")


def test_without_a_library_to_draw_with_there_are_no_pictures() -> None:
    check = check_rendering(lambda _: None)
    assert check.status is Status.WARN
    assert "EGL, OSMesa" in check.detail


def test_every_warning_and_failure_has_a_remedy(tmp_path: Path) -> None:
    for check in check_host(tmp_path):
        assert check.detail
        assert check.status is Status.OK or check.remedy


ARM = load_arm("so101_follower")
ELBOW = ARM.joints[2]
LOW, HIGH = ELBOW.voltage_limits
HEALTHY = FoundServo(
    protocol="feetech",
    baud=1_000_000,
    id=3,
    model_number=777,
    model="sts3215",
    firmware="3.10",
    position=2048,
    voltage=7.4,
    temperature=30.0,
    torque=False,
)


@pytest.mark.parametrize(
    ("servo", "status", "word"),
    [
        (HEALTHY, Status.OK, ""),
        (replace(HEALTHY, model="xl330-m288"), Status.FAIL, "sts3215"),
        (replace(HEALTHY, voltage=HIGH + 1.0), Status.FAIL, f"{LOW:.1f} to {HIGH:.1f} V"),
        (replace(HEALTHY, voltage=LOW - 0.5), Status.FAIL, "power supply"),
        (replace(HEALTHY, temperature=ARM.temperature_limit), Status.FAIL, "cool"),
        (replace(HEALTHY, temperature=ARM.temperature_limit - 5.0), Status.WARN, "cool"),
        (replace(HEALTHY, problem="two servos share it"), Status.FAIL, "cable"),
    ],
)
def test_a_servo_is_judged_by_the_arms_definition(servo: FoundServo, status: Status, word: str) -> None:
    check = judge(servo, ARM, ELBOW)
    assert check.status is status
    assert word in check.remedy


def test_baud_rates_and_codes() -> None:
    # ROBOTIS e-Manual, XL330, address 8: 1 is 57600, 3 is 1 Mbps. Feetech's memory table, address 6: 0 is 1 Mbps.
    assert baud_code("dynamixel", 57_600) == 1
    assert baud_code("dynamixel", 1_000_000) == 3
    assert baud_code("feetech", 1_000_000) == 0
    assert baud_rates("dynamixel")[:2] == (1_000_000, 57_600)
    assert baud_rates("feetech")[0] == 1_000_000
    with pytest.raises(ConfigError, match="123456"):
        baud_code("feetech", 123_456)


def test_tables_are_found_by_protocol_and_number() -> None:
    table = table_of("dynamixel", 1200)
    assert table is not None
    assert table.servo == "xl330-m288"
    assert table_of("feetech", 1200) is None
