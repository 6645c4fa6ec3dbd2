"""What is checked and set before an arm may have torque. Nothing here moves a joint or changes a torque.

Order: who is there, of which model and firmware, healthy, calibrated as the file says; only then are registers
written, and only on servos whose torque is off.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from robot_mbrl.contracts.errors import (
    BusError,
    BusTimeout,
    CalibrationStale,
    DuplicateId,
    FirmwareMismatch,
    ModelMismatch,
    NotReady,
    PacketCorrupt,
    ServoMissing,
)
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition, JointDefinition
from robot_mbrl.drivers.bus import ServoBus
from robot_mbrl.drivers.calibration import ArmCalibration
from robot_mbrl.drivers.dialects import Dialect, Servo, arm_servos, dialect_of

MODE = "operating_mode"
PLAUSIBLE_SLACK = 0.2
"""How far outside its limits a joint may be read before its calibration is doubted [rad]: stops give way, and a range
recorded by hand misses them by a few degrees, but a lost turn is 6.3 rad and a wrong horn spline 0.25 rad."""


def find_servos(bus: ServoBus, servos: Sequence[Servo]) -> None:
    """Ping every servo of the arm.

    Raises:
        ServoMissing: some do not answer; all of them are named.
        DuplicateId: answers to one ID collide while others are readable.
        PacketCorrupt: no answer is readable: wrong baud rate, or broken wiring.
    """
    missing: list[Servo] = []
    garbled: list[tuple[Servo, PacketCorrupt]] = []
    for servo in servos:
        try:
            bus.ping(servo.id)
        except BusTimeout:
            missing.append(servo)
        except PacketCorrupt as error:
            garbled.append((servo, error))
    if len(garbled) == len(servos):
        raise garbled[0][1]
    if garbled:
        raise _duplicate(garbled[0][0], bus.name)
    if missing:
        names = ", ".join(servo.label for servo in missing)
        remedy = "check power, port and baud rate" if len(missing) == len(servos) else "check its cable and ID"
        raise ServoMissing(
            f"{len(missing)} of {len(servos)} servos do not answer on {bus.name}: {names}: {remedy}, "
            f"then `robot-mbrl scan --port {bus.name}`"
        )


def _duplicate(servo: Servo, port: str) -> DuplicateId:
    return DuplicateId(
        f"{servo.label}: answers collide on {port}, two servos share the ID: give one of them its own with "
        "`robot-mbrl setup-motors`"
    )


def check_identity(bus: ServoBus, dialect: Dialect, servos: Sequence[Servo]) -> None:
    """Compare models and firmware with the arm's definition.

    Raises:
        ModelMismatch, FirmwareMismatch: the first servo that is not what it should be.
        DuplicateId: a servo that answered the ping cannot be read: two of them talk at once.
    """
    for servo in servos:
        try:
            model = bus.read_register(servo.id, servo.register("model_number"))
            firmware = bus.read_register(servo.id, servo.register(dialect.firmware))
            bus.read_register(servo.id, servo.register(dialect.position))
        except PacketCorrupt as error:
            raise _duplicate(servo, bus.name) from error
        if model != servo.table.model_number:
            raise ModelMismatch(
                f"{servo.label}: model number {model}, {servo.table.servo} has {servo.table.model_number}: check the "
                "arm's definition, or swap the servo"
            )
        if not dialect.oldest_firmware <= firmware <= dialect.newest_firmware:
            raise FirmwareMismatch(
                f"{servo.label}: firmware {firmware}, this driver knows {dialect.oldest_firmware} to "
                f"{dialect.newest_firmware}: update the servo with the vendor's tool"
            )


def check_calibration(bus: ServoBus, servos: Sequence[Servo], calibration: ArmCalibration, arm: ArmDefinition) -> None:
    """Compare the offset and limit registers with the calibration file.

    Raises:
        CalibrationStale: the first register that differs.
    """
    for servo in servos:
        for name, value in calibration.joints[servo.joint].registers.items():
            found = _read(bus, servo, name)
            if found != value:
                raise CalibrationStale(
                    f"{servo.label}: {name} is {found}, the calibration file says {value}: "
                    f"run `robot-mbrl calibrate joints --arm {arm.name}` again, or give the right file"
                )


def configure(
    bus: ServoBus, dialect: Dialect, servos: Sequence[Servo], joints: Sequence[JointDefinition], torque: Sequence[bool]
) -> None:
    """Bring the registers that the arm's definition names to its values, and read them back.

    Raises:
        NotReady: a register differs on a servo whose torque is on: writing it could move the arm.
        ModelMismatch: a register did not take its value.
    """
    for servo, joint, torque_on in zip(servos, joints, torque, strict=True):
        differing = [name for name in joint.registers if _read(bus, servo, name) != joint.registers[name]]
        if not differing:
            continue
        if torque_on:
            name = differing[0]
            raise NotReady(
                f"{servo.label}: {name} must be {joint.registers[name]} and cannot be written while the torque is on: "
                "support the arm and switch its torque off first"
            )
        # A change of mode resets gains and profile: everything is written then, the mode before the rest.
        names = differing if MODE not in differing else [MODE, *(name for name in joint.registers if name != MODE)]
        write_registers(bus, dialect, servo, {name: joint.registers[name] for name in names})


def install_calibration(bus: ServoBus, arm: ArmDefinition, calibration: ArmCalibration) -> None:
    """Write a calibration into all servos of `arm`, so that it lasts. Nothing is checked before.

    Raises:
        ModelMismatch: a register did not take its value.
    """
    for servo in arm_servos(arm):
        write_registers(bus, dialect_of(arm.protocol), servo, calibration.joints[servo.joint].registers)


def write_registers(bus: ServoBus, dialect: Dialect, servo: Servo, values: dict[str, int]) -> None:
    """Write registers of one servo so that they last, and read them back. The EEPROM lock is closed in any case.

    Raises:
        ModelMismatch: a register did not take its value.
    """
    with eeprom_open(bus, dialect, servo):
        for name, value in values.items():
            bus.write_register(servo.id, servo.register(name), value)
    for name, value in values.items():
        found = _read(bus, servo, name)
        if found != value:
            raise ModelMismatch(
                f"{servo.label}: {name} stayed {found} instead of {value}: the servo does not support it; check the "
                "arm's definition"
            )


@contextmanager
def eeprom_open(bus: ServoBus, dialect: Dialect, servo: Servo) -> Iterator[None]:
    """Let writes to the EEPROM last, where the servo has a lock for that, and close the lock whatever happens."""
    if not dialect.lock:
        yield
        return
    lock = servo.register(dialect.lock)
    bus.write_register(servo.id, lock, 0)
    try:
        yield
    except BusError as error:
        with suppress_into(error):
            bus.write_register(servo.id, lock, 1)
        raise
    bus.write_register(servo.id, lock, 1)


@contextmanager
def suppress_into(error: BusError) -> Iterator[None]:
    """Keep `error` as the one to report, and note on it what else failed meanwhile."""
    try:
        yield
    except BusError as second:
        error.add_note(f"then also: {second}")


def check_plausible(arm: ArmDefinition, position: FloatArray) -> None:
    """Refuse positions that the arm cannot have: a wrong calibration, or turns that a servo forgot without power.

    Args:
        arm: its definition.
        position: (n,) as decoded [rad].

    Raises:
        CalibrationStale: the first joint that is more than `PLAUSIBLE_SLACK` outside its limits.
    """
    for joint, angle in zip(arm.joints, position.tolist(), strict=True):
        low, high = joint.position_limits
        if not low - PLAUSIBLE_SLACK <= angle <= high + PLAUSIBLE_SLACK:
            raise CalibrationStale(
                f"{joint.name} (ID {joint.id}): reads {angle:.2f} rad, its limits are {low}..{high} rad: the "
                f"calibration is wrong or the servo lost its turns; run `robot-mbrl calibrate joints --arm {arm.name}`"
            )


def _read(bus: ServoBus, servo: Servo, name: str) -> int:
    return bus.read_register(servo.id, servo.register(name))
