"""Switching torque: what must be true before it goes on, and that it goes off whatever else is broken."""

from collections.abc import Mapping, Sequence

from robot_mbrl.contracts.errors import BusError, LimitViolation
from robot_mbrl.drivers.bus import ServoBus
from robot_mbrl.drivers.calibration import ArmCalibration
from robot_mbrl.drivers.dialects import Dialect, Servo

RANGE_SLACK = 12
"""How far outside its servo's range a joint may rest when its torque goes on [ticks], about one degree: the servo then
pulls it that far into the range. A joint that rests on its stop can be read a few ticks beyond it."""

REST_SLACK = 57
"""How far a joint may have moved between reading its position and switching its torque on [ticks], five degrees, by
which torque then pulls it back: a hand is not perfectly still, and an arm that has begun to fall should be caught."""

OFF_REPEATS = 2
"""How often torque-off is sent: nobody answers to it, and a lost packet must not keep an arm powered."""


def read_torque(bus: ServoBus, servos: Sequence[Servo]) -> list[bool]:
    """Which servos have torque."""
    register = servos[0].register("torque_enable")
    data = bus.sync_read(register.address, register.size, [servo.id for servo in servos])
    return [bool(register.decode(data[servo.id])) for servo in servos]


def held_goals(bus: ServoBus, servos: Sequence[Servo]) -> list[int]:
    """The goals in the servos' registers [ticks]."""
    goal = servos[0].register("goal_position")
    data = bus.sync_read(goal.address, goal.size, [servo.id for servo in servos])
    return [goal.decode(data[servo.id]) for servo in servos]


def seed_goal(bus: ServoBus, dialect: Dialect, servo: Servo) -> int:
    """Set one servo's goal to its present position, with its acknowledgement; returns the position [ticks].

    A trip of its bus watchdog is cleared first: it makes goals read-only.
    """
    set_watchdog(bus, dialect, [servo], 0)
    present = bus.read_register(servo.id, servo.register(dialect.position))
    bus.write_register(servo.id, servo.register("goal_position"), present)
    return present


def engage(
    bus: ServoBus, dialect: Dialect, servos: Sequence[Servo], calibration: ArmCalibration, watchdog: int
) -> list[int]:
    """Switch the torque of all servos on without moving a joint; returns the goals that they hold [ticks].

    Servos that hold already keep their goals. For the others the goal is the present position, acknowledged and read
    back; only then the torque goes on.

    Args:
        bus: the servo bus.
        dialect: of its protocol.
        servos: all servos of the arm.
        calibration: for the range that each servo keeps its goals in.
        watchdog: value of the servos' own bus watchdog from now on, in its unit; 0 is off.

    Raises:
        LimitViolation: a joint rests outside its servo's range, and torque would pull it in.
        BusError: a goal or a torque switch was not taken; all servos concerned are named.
    """
    limp = [servo for servo, on in zip(servos, read_torque(bus, servos), strict=True) if not on]
    seeds = {servo.id: seed_goal(bus, dialect, servo) for servo in limp}
    for servo in limp:
        _check_range(servo, calibration, seeds[servo.id])
    goals = held_goals(bus, servos)
    _check_seeds(bus, dialect, servos, seeds, goals)
    switch = servos[0].register("torque_enable")
    if limp:
        bus.sync_write(switch.address, {servo.id: switch.encode(1) for servo in limp})
    off = [servo.label for servo, on in zip(servos, read_torque(bus, servos), strict=True) if not on]
    set_watchdog(bus, dialect, servos, watchdog)
    if off:
        raise BusError(f"{', '.join(off)}: torque did not go on: check the servo's status, then try again")
    return goals


def _check_range(servo: Servo, calibration: ArmCalibration, present: int) -> None:
    joint = calibration.joints[servo.joint]
    if not joint.range_min - RANGE_SLACK <= present <= joint.range_max + RANGE_SLACK:
        raise LimitViolation(
            f"{servo.label}: rests at tick {present}, outside {joint.range_min}..{joint.range_max}: torque would pull "
            "it in; move it into its range by hand first"
        )


def _check_seeds(
    bus: ServoBus, dialect: Dialect, servos: Sequence[Servo], seeds: Mapping[int, int], goals: Sequence[int]
) -> None:
    """The servos hold the goals that they were given, and the joints are still where those were read."""
    position = servos[0].register(dialect.position)
    data = bus.sync_read(position.address, position.size, [servo.id for servo in servos])
    for servo, goal in zip(servos, goals, strict=True):
        present, seed = position.decode(data[servo.id]), seeds.get(servo.id, goal)
        if goal != seed:
            raise BusError(
                f"{servo.label}: goal {seed} was written and {goal} is there: try again, then check the cable"
            )
        if servo.id in seeds and abs(goal - present) > REST_SLACK:
            raise BusError(f"{servo.label}: moved from tick {goal} to {present} meanwhile: hold the arm still")


def release(bus: ServoBus, dialect: Dialect, servos: Sequence[Servo]) -> None:
    """Switch the torque of all servos off, first of all, then see who did.

    Raises:
        BusError: some servos still have torque or do not answer; all of them are named, the others are limp.
    """
    switch = servos[0].register("torque_enable")
    for _ in range(OFF_REPEATS):
        bus.sync_write(switch.address, {servo.id: switch.encode(0) for servo in servos})
    troubles: list[str] = []
    for servo in servos:
        try:
            if bus.read_register(servo.id, switch):
                troubles.append(f"{servo.label} still has torque")
                continue
            set_watchdog(bus, dialect, [servo], 0)
        except BusError as error:
            troubles.append(f"{servo.label} cannot be asked ({error})")
    if troubles:
        raise BusError(f"torque off went to all servos, but {'; '.join(troubles)}: cut the arm's power to be sure")


def set_watchdog(bus: ServoBus, dialect: Dialect, servos: Sequence[Servo], value: int) -> None:
    """Set the servos' own bus watchdog; 0 disarms it and clears a trip. Nothing where the servos have none."""
    if dialect.watchdog:
        for servo in servos:
            bus.write_register(servo.id, servo.register(dialect.watchdog), value)
