"""What the doctor says of servos that report an error, on emulated arms in lockstep."""

import pytest

from robot_mbrl.commissioning.arm_report import REMEDIES, check_servo
from robot_mbrl.commissioning.check import Status
from robot_mbrl.contracts.types import HardwareError
from tests.drivers.emulated import emulated_arm

ELBOW = 2


@pytest.mark.parametrize(
    ("name", "release"), [("so101_follower", "torque off and on"), ("koch_follower", "power off and on")]
)
@pytest.mark.parametrize(
    ("error", "remedy"), [("overload", "free the joint and lighten its load"), ("overheat", "let it cool")]
)
def test_a_latched_error_fails_with_its_remedy(name: str, release: str, error: str, remedy: str) -> None:
    emulated = emulated_arm(name)
    joint = emulated.arm.joints[ELBOW]
    assert check_servo(emulated.bus, emulated.arm, joint).status is Status.OK
    emulated.virtual.servos[ELBOW].trip(error)
    check = check_servo(emulated.bus, emulated.arm, joint)
    assert check.status is Status.FAIL
    assert error in check.detail
    assert remedy in check.remedy
    assert release in check.remedy
    assert all(check_servo(emulated.bus, emulated.arm, other).status is Status.OK for other in emulated.arm.joints[:2])


def test_every_error_has_a_remedy() -> None:
    assert {str(error.name).lower() for error in HardwareError if error} == set(REMEDIES)
