"""Is this arm ready: servos, models, firmware, supply, temperature, errors, torque, calibration. Reads only."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from robot_mbrl.commissioning.check import Check, Status, passed
from robot_mbrl.commissioning.servo_search import UNHURRIED, FoundServo, describe
from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.contracts.errors import BusError, BusTimeout, ConfigError, RobotMbrlError
from robot_mbrl.drivers.arm_checks import check_calibration, check_identity
from robot_mbrl.drivers.arms import ArmDefinition, JointDefinition
from robot_mbrl.drivers.bus import ServoBus, open_bus
from robot_mbrl.drivers.calibration import default_path, load_calibration
from robot_mbrl.drivers.dialects import arm_servos, dialect_of

TEMPERATURE_MARGIN = 10.0
"""Closer than this to the arm's limit [°C], a servo is reported as warm."""

REMEDIES: Final = {
    "overload": "free the joint and lighten its load",
    "overheat": "let it cool",
    "overcurrent": "free the joint",
    "voltage": "check the power supply",
    "encoder": "replace the servo if it happens again",
    "shock": "check power and wiring",
}
"""What to do about each hardware error, by its name in lower case."""
RELEASES: Final = {
    "feetech": "support the arm, then switch its torque off and on with `robot-mbrl torque`",
    "dynamixel": "support the arm, then switch its power off and on",
}
"""How an error that stays is cleared."""


def check_arm(
    arm: ArmDefinition, port: str, calibration: Path | None, clock: Clock, settings: BusSettings = UNHURRIED
) -> Iterator[Check]:
    """All checks of one arm on one port.

    Args:
        arm: what should be there.
        port: device or link.
        calibration: the calibration file; None for the default place.
        clock: for deadlines.
        settings: how to talk.
    """
    try:
        bus = open_bus(port, arm.protocol, arm.baud, clock, settings)
    except RobotMbrlError as error:
        yield _failed(f"port {port}", error)
        return
    try:
        yield passed(f"port {port}", f"open at {arm.baud} baud, no other process holds it")
        present = []
        for joint in arm.joints:
            check = check_servo(bus, arm, joint)
            yield check
            present.append(check.status is not Status.FAIL)
        if all(present):
            yield _identity(bus, arm)
            yield _calibration(bus, arm, calibration or default_path(arm))
    finally:
        bus.close()


def check_servo(bus: ServoBus, arm: ArmDefinition, joint: JointDefinition) -> Check:
    """One servo: does it answer, is it the right model, are its supply and temperature in range."""
    name = f"{joint.name} (ID {joint.id})"
    try:
        bus.ping(joint.id)
    except BusTimeout as error:
        return Check(name, Status.FAIL, str(error), "check its cable and ID: robot-mbrl scan")
    except BusError as error:
        return _failed(name, error)
    return judge(describe(bus, arm.baud, joint.id), arm, joint)


def judge(servo: FoundServo, arm: ArmDefinition, joint: JointDefinition) -> Check:
    """Compare what a servo says with the arm's definition."""
    name = f"{joint.name} (ID {joint.id})"
    if servo.problem or servo.voltage is None or servo.temperature is None:
        return Check(name, Status.FAIL, servo.problem or "could not be read", "check its cable, model and ID")
    if servo.model != joint.servo:
        remedy = f"{arm.name} has {joint.servo} there: swap the servo, or give the right --arm"
        return Check(name, Status.FAIL, f"is a {servo.model}", remedy)
    detail = (
        f"{servo.model}, firmware {servo.firmware}, {servo.voltage:.1f} V, {servo.temperature:.0f} °C, "
        f"torque {'on' if servo.torque else 'off'}"
    )
    if servo.hardware_errors:
        detail = f"{detail}, reports {', '.join(servo.hardware_errors)}"
    remedies = list(_remedies(servo, servo.voltage, servo.temperature, arm, joint))
    if remedies:
        return Check(name, Status.FAIL, detail, "; ".join(remedies))
    if servo.temperature >= arm.temperature_limit - TEMPERATURE_MARGIN:
        return Check(name, Status.WARN, detail, f"close to its limit of {arm.temperature_limit:.0f} °C: let it cool")
    return passed(name, detail)


def _remedies(
    servo: FoundServo, voltage: float, temperature: float, arm: ArmDefinition, joint: JointDefinition
) -> Iterator[str]:
    """What must be done before the servo is as it should be."""
    low, high = joint.voltage_limits
    if not low <= voltage <= high:
        yield f"supply must be {low:.1f} to {high:.1f} V: check the power supply"
    if temperature >= arm.temperature_limit:
        yield f"limit {arm.temperature_limit:.0f} °C: let it cool"
    yield from (REMEDIES[error] for error in servo.hardware_errors)
    if servo.hardware_errors:
        yield RELEASES[servo.protocol]


def _identity(bus: ServoBus, arm: ArmDefinition) -> Check:
    words = dialect_of(arm.protocol)
    try:
        check_identity(bus, words, arm_servos(arm))
    except BusError as error:
        return _failed("models and firmware", error)
    return passed("models and firmware", f"all {len(arm.joints)} servos are as {arm.name} says")


def _calibration(bus: ServoBus, arm: ArmDefinition, path: Path) -> Check:
    try:
        check_calibration(bus, arm_servos(arm), load_calibration(path, arm), arm)
    except (ConfigError, BusError) as error:
        return _failed("calibration", error)
    return passed("calibration", f"{path} matches the servos")


def _failed(name: str, error: RobotMbrlError) -> Check:
    """A check that ended in an error, whose text holds the remedy after its last colon."""
    detail, _, remedy = str(error).rpartition(": ")
    return Check(name, Status.FAIL, detail, remedy)
