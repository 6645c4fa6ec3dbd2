"""What is checked and set before an arm may have torque. Nothing here moves a joint or changes a torque.

Order: who is there, of which model and firmware, healthy, calibrated as the file says; only then are registers
written, and only on servos whose torque is off.
"""

from collections.abc import Sequence

from robot_mbrl.contracts.errors import (
    BusTimeout,
    CalibrationStale,
    DuplicateId,
    FirmwareMismatch,
    ModelMismatch,
    NotReady,
    PacketCorrupt,
    ServoMissing,
)
from robot_mbrl.drivers.arms import ArmDefinition, JointDefinition
from robot_mbrl.drivers.bus import ServoBus
from robot_mbrl.drivers.calibration import ArmCalibration
from robot_mbrl.drivers.dialects import Dialect, Servo


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
        joint = calibration.joints[servo.joint]
        expected = {
            "homing_offset": joint.homing_offset,
            "min_position_limit": joint.range_min,
            "max_position_limit": joint.range_max,
        }
        for name, value in expected.items():
            found = bus.read_register(servo.id, servo.register(name))
            if found != value:
                raise CalibrationStale(
                    f"{servo.label}: {name} is {found}, the calibration file says {value}: "
                    f"run `robot-mbrl calibrate joints --arm {arm.name}` again, or give the right file"
                )


def read_torque(bus: ServoBus, servos: Sequence[Servo]) -> list[bool]:
    """Which servos have torque."""
    register = servos[0].register("torque_enable")
    data = bus.sync_read(register.address, register.size, [servo.id for servo in servos])
    return [bool(register.decode(data[servo.id])) for servo in servos]


def configure(
    bus: ServoBus, dialect: Dialect, servos: Sequence[Servo], joints: Sequence[JointDefinition], torque: Sequence[bool]
) -> None:
    """Bring the registers that the arm's definition names to its values, and read them back.

    Raises:
        NotReady: a register differs on a servo whose torque is on: writing it could move the arm.
        ModelMismatch: a register did not take its value.
    """
    for servo, joint, torque_on in zip(servos, joints, torque, strict=True):
        differing = {
            name: value
            for name, value in joint.registers.items()
            if bus.read_register(servo.id, servo.register(name)) != value
        }
        if not differing:
            continue
        if torque_on:
            name, value = next(iter(differing.items()))
            raise NotReady(
                f"{servo.label}: {name} must be {value} and cannot be written while the torque is on: "
                "support the arm and switch its torque off first"
            )
        write_registers(bus, dialect, servo, differing)


def write_registers(bus: ServoBus, dialect: Dialect, servo: Servo, values: dict[str, int]) -> None:
    """Write registers of one servo so that they last, and read them back.

    Raises:
        ModelMismatch: a register did not take its value.
    """
    if dialect.lock:
        bus.write_register(servo.id, servo.register(dialect.lock), 0)
    for name, value in values.items():
        bus.write_register(servo.id, servo.register(name), value)
    if dialect.lock:
        bus.write_register(servo.id, servo.register(dialect.lock), 1)
    for name, value in values.items():
        found = bus.read_register(servo.id, servo.register(name))
        if found != value:
            raise ModelMismatch(
                f"{servo.label}: {name} stayed {found} instead of {value}: the servo does not support it; check the "
                "arm's definition"
            )


def seed_goals(bus: ServoBus, dialect: Dialect, servos: Sequence[Servo], torque: Sequence[bool]) -> list[int]:
    """Set the goal of every servo whose torque is off to its present position; returns all goals [ticks].

    A servo that holds keeps its goal: under gravity goal and position differ, and the difference is what holds.
    """
    ids = [servo.id for servo in servos]
    position, goal = servos[0].register(dialect.position), servos[0].register("goal_position")
    present = bus.sync_read(position.address, position.size, ids)
    held = bus.sync_read(goal.address, goal.size, ids)
    seeds = {
        servo.id: goal.encode(position.decode(present[servo.id]))
        for servo, torque_on in zip(servos, torque, strict=True)
        if not torque_on
    }
    if seeds:
        bus.sync_write(goal.address, seeds)
    return [goal.decode(seeds.get(servo_id, held[servo_id])) for servo_id in ids]
