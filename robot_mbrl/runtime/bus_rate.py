"""How fast a loop the arm's bus can carry: the wire time of one cycle, from the very packets that it will carry.

A cycle is a sync read of all joints' states, a sync write of all goals, and the health of one servo:

    time = 10 bits x bytes / baud + turnaround x answers
"""

from typing import Final

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.drivers.bus import bus_protocol
from robot_mbrl.drivers.control_tables import control_table
from robot_mbrl.drivers.dialects import dialect_of
from robot_mbrl.drivers.line import BITS_PER_BYTE
from robot_mbrl.drivers.units import servo_units

TURNAROUND: Final = 95e-6
"""Between an instruction, or the answer before, and a servo's answer [s]; derived from a log of real servos."""


def cycle_time(arm: ArmDefinition, baud: int | None = None) -> float:
    """Shortest time [s] that one cycle of the control loop takes on the bus of `arm`; `baud` None is the arm's own."""
    protocol, words = bus_protocol(arm.protocol), dialect_of(arm.protocol)
    ids = [joint.id for joint in arm.joints]
    tables = [control_table(joint.servo) for joint in arm.joints]
    state = words.state_block(tables[0], servo_units(arm.joints[0].servo).load_register)
    health = words.health_block(tables[0])
    goal = tables[0]["goal_position"]
    requests = [
        protocol.sync_read(state.address, state.size, ids),
        protocol.sync_write(goal.address, dict.fromkeys(ids, bytes(goal.size))),
        protocol.read(ids[0], health.address, health.size),
    ]
    answers = [state.size] * len(ids) + [health.size]
    if words.watchdog:
        watchdog = tables[0][words.watchdog]
        requests.append(protocol.read(ids[0], watchdog.address, watchdog.size))
        answers.append(watchdog.size)
    size = sum(map(len, requests)) + sum(answers) + protocol.overhead * len(answers)
    return size * BITS_PER_BYTE / (baud or arm.baud) + TURNAROUND * len(answers)


def check_rate(arm: ArmDefinition, rate: float, baud: int | None = None) -> None:
    """Refuse a loop `rate` [Hz] that the bus cannot carry.

    Raises:
        ConfigError: one cycle takes longer than one tick.
    """
    time = cycle_time(arm, baud)
    if time * rate > 1.0:
        raise ConfigError(
            f"rate {rate:g} Hz: one cycle takes {time * 1e3:.2f} ms on the bus of {arm.name} at "
            f"{baud or arm.baud} baud: give at most {1.0 / time:.0f} Hz"
        )
