"""Is this arm ready: servos, models, firmware, supply, temperature, errors, torque, calibration. Reads only."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from robot_mbrl.commissioning.check import Check, Status, passed
from robot_mbrl.commissioning.servo_search import UNHURRIED, FoundServo, describe
from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.contracts.errors import BusError, BusTimeout, ConfigError, RobotMbrlError
from robot_mbrl.contracts.monitor_settings import Grades
from robot_mbrl.drivers.arm_checks import check_calibration, check_identity
from robot_mbrl.drivers.arms import ArmDefinition, JointDefinition
from robot_mbrl.drivers.arms.supply import refusing_joint
from robot_mbrl.drivers.bus import ServoBus, open_bus
from robot_mbrl.drivers.calibration import default_path, load_calibration
from robot_mbrl.drivers.dialects import arm_servos, dialect_of

TEMPERATURE_MARGIN = 10.0
"""Closer than this to the arm's limit [°C], a servo is reported as warm."""

HARDWARE_PAGE: Final = "docs/hardware.md"
"""Where remedies send whose servos have another supply."""

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
        arm: what should be there; supplies are judged by the nominal ones of its joints.
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
        yield passed(f"port {port}", f"open at {settings.baud or arm.baud} baud, no other process holds it")
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
    advice = list(_advice(servo.voltage, servo.temperature, arm, joint))
    if advice:
        return Check(name, Status.WARN, detail, "; ".join(advice))
    return passed(name, detail)


def _remedies(
    servo: FoundServo, voltage: float, temperature: float, arm: ArmDefinition, joint: JointDefinition
) -> Iterator[str]:
    """What must be done before the servo is as it should be."""
    low, high = joint.voltage_limits
    if not low <= voltage <= high:
        yield (
            f"supply must be {low:.1f} to {high:.1f} V: check the power supply; servos that are made for {voltage:.1f} "
            f"V need a definition of their own as --arm, see Supply in {HARDWARE_PAGE}"
        )
    if temperature >= arm.temperature_limit:
        yield f"limit {arm.temperature_limit:.0f} °C: let it cool"
    yield from (REMEDIES[error] for error in servo.hardware_errors)
    if servo.hardware_errors:
        yield RELEASES[servo.protocol]


def _advice(voltage: float, temperature: float, arm: ArmDefinition, joint: JointDefinition) -> Iterator[str]:
    """What should be done, though the servo is as it should be."""
    if temperature >= arm.temperature_limit - TEMPERATURE_MARGIN:
        yield f"close to its limit of {arm.temperature_limit:.0f} °C: let it cool"
    deviation = voltage / joint.supply_voltage - 1.0
    health = arm.safety.health
    verdict = _verdict(health.voltage_sag, -deviation) or _verdict(health.voltage_excess, deviation)
    if verdict is not None:
        change = (
            f"`supply_voltage: {voltage:.1f}` in robot.yaml, for deploy --robot and doctor --robot"
            if refusing_joint(arm, voltage) is None
            else "another supply_voltage in a definition of their own as --arm"
        )
        yield (
            f"the monitor would {verdict} the arm, whose nominal supply is {joint.supply_voltage:.1f} V: check the "
            f"power supply; servos that are meant to have {voltage:.1f} V need {change}, see Supply in {HARDWARE_PAGE}"
        )


def _verdict(grades: Grades, share: float) -> str | None:
    """What the monitor does to an arm whose supply deviates by `share` for long; None where it lets it pass."""
    for name, limit in (("stop", grades.stop), ("hold", grades.hold), ("slow", grades.slow)):
        if limit is not None and share > limit:
            return name
    return None


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
