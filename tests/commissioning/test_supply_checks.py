"""What the doctor says of a supply: what the monitor would do for it, and what to change for either remedy."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from robot_mbrl.commissioning.arm_report import HARDWARE_PAGE, check_servo, judge
from robot_mbrl.commissioning.check import Status
from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.drivers.arms.supply import with_supply
from robot_mbrl.runtime.monitor_setup import monitor_settings
from robot_mbrl.safety.frame_view import FrameView
from robot_mbrl.safety.health import Overvoltage, Undervoltage
from tests.commissioning.test_host_checks import HEALTHY
from tests.docs.pages import ROOT
from tests.drivers.emulated import emulated_arm

ARM = load_arm("so101_follower")
KOCH = load_arm("koch_follower")


def monitored(arm: ArmDefinition, index: int, voltage: float) -> VerdictLevel:
    """What the monitor of `arm` makes of one joint's lasting `voltage` [V], all others at their nominal one."""
    settings = monitor_settings(arm)
    supplies = [joint.supply_voltage for joint in arm.joints]
    supplies[index] = voltage
    checks = (Undervoltage(settings), Overvoltage(settings))
    level = VerdictLevel.PASS
    for seconds in (0.0, 1.0):
        view = cast(FrameView, SimpleNamespace(voltage=supplies, now_ns=to_ns(seconds)))
        level = max(check.judge(view).level for check in checks)
    return level


@pytest.mark.parametrize("arm", [ARM, with_supply(ARM, 5.0), KOCH], ids=["7.4 V", "5 V", "two rails"])
def test_the_doctor_warns_exactly_where_the_monitor_would_act(arm: ArmDefinition) -> None:
    found = set()
    for index, joint in enumerate(arm.joints):
        low, high = joint.voltage_limits
        for step in range(round(low * 10.0), round(high * 10.0) + 1):
            level = monitored(arm, index, step / 10.0)
            check = judge(replace(HEALTHY, model=joint.servo, voltage=step / 10.0), arm, joint)
            assert check.status is (Status.OK if level is VerdictLevel.PASS else Status.WARN), (joint.name, step)
            assert level is VerdictLevel.PASS or f"the monitor would {level.name.lower()} the arm" in check.remedy
            found.add(level)
    # On 5 V the servos' own lowest supply, 4 V, is where the monitor would begin to slow.
    slowed = set() if arm.joints[0].supply_voltage == 5.0 else {VerdictLevel.SLOW}
    assert found == {VerdictLevel.PASS, VerdictLevel.STOP, *slowed}


def on(voltage: float, arm: ArmDefinition = ARM, index: int = 2) -> Any:
    joint = arm.joints[index]
    return judge(replace(HEALTHY, model=joint.servo, voltage=voltage), arm, joint)


def test_a_supply_of_5_volts_is_to_be_named_in_the_robots_file() -> None:
    check = on(5.0)
    assert (check.status, "5.0 V" in check.detail) == (Status.WARN, True)
    for part in ("slow", "7.4 V", "check the power supply", "`supply_voltage: 5.0` in robot.yaml", HARDWARE_PAGE):
        assert part in check.remedy
    assert on(5.0, with_supply(ARM, 5.0)).status is Status.OK
    assert "stop" in on(7.4, with_supply(ARM, 5.0)).remedy


def test_a_supply_that_is_not_every_servos_is_not_to_be_named_there() -> None:
    check = on(9.0, KOCH, 0)
    assert check.status is Status.WARN
    assert "in robot.yaml" not in check.remedy
    assert "definition" in check.remedy


def test_a_supply_that_the_servo_does_not_accept_fails_with_both_remedies() -> None:
    check = on(12.1)
    assert check.status is Status.FAIL
    for part in ("4.0 to 8.0 V", "check the power supply", "made for 12.1 V", "definition", "--arm", HARDWARE_PAGE):
        assert part in check.remedy


def test_both_remedies_are_told_for_a_servo_that_is_warm_too() -> None:
    joint = ARM.joints[2]
    check = judge(replace(HEALTHY, voltage=5.0, temperature=ARM.temperature_limit - 5.0), ARM, joint)
    assert check.status is Status.WARN
    assert "let it cool" in check.remedy
    assert "supply_voltage: 5.0" in check.remedy


def test_an_emulated_arm_on_5_volts_is_found() -> None:
    emulated = emulated_arm("so101_follower")
    emulated.plant.set_supply(5.0)
    emulated.wait(0.1)
    supplied = with_supply(emulated.arm, 5.0)
    for joint, expected in zip(emulated.arm.joints, supplied.joints, strict=True):
        assert check_servo(emulated.bus, emulated.arm, joint).status is Status.WARN
        assert check_servo(emulated.bus, supplied, expected).status is Status.OK


def test_the_remedies_lead_to_a_page_that_has_the_section() -> None:
    assert "\n## Supply\n" in (ROOT / HARDWARE_PAGE).read_text(encoding="utf-8")
