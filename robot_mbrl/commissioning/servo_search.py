"""Who is on the bus: ping every ID at the given baud rates and protocols, then read what answered. Writes nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.contracts.errors import BusError, BusTimeout, ConfigError, PacketCorrupt
from robot_mbrl.contracts.types import HardwareError
from robot_mbrl.drivers.bus import ServoBus, open_bus
from robot_mbrl.drivers.control_tables import CONTROL_TABLES
from robot_mbrl.drivers.dialects import dialect_of
from robot_mbrl.drivers.dynamixel import x_series
from robot_mbrl.drivers.dynamixel.codec import hardware_errors as dynamixel_errors
from robot_mbrl.drivers.feetech import sts3215
from robot_mbrl.drivers.registers import ControlTable
from robot_mbrl.drivers.units import servo_units

PROTOCOLS: Final = ("feetech", "dynamixel")
EVERY_ID: Final = range(253)
FACTORY_BAUD: Final = {"feetech": 1_000_000, "dynamixel": 57_600}
"""What servos are set to when they leave the factory (the defaults of their `baud_rate` registers)."""
DEFAULT_BAUD: Final = 1_000_000
"""What every arm definition that ships with the project is set to."""

UNHURRIED: Final = BusSettings(margin=0.05)
"""For commands that a person waits for: a busy computer may be so late [s] before a servo counts as silent."""
SEARCHING: Final = BusSettings(margin=0.01)
"""For a search over many IDs, of which most are silent."""

_BAUD_CODES: Final = {"feetech": sts3215.BAUD_RATES, "dynamixel": x_series.BAUD_RATES}


@dataclass(frozen=True, slots=True)
class FoundServo:
    """One ID that answered. What could not be read is None, and `problem` says why.

    Attributes:
        protocol: what it speaks.
        baud: at which rate it answered [bit/s].
        id: its ID.
        model_number: as it tells.
        model: name of the control table with that number; None where no table has it.
        firmware: version, as the vendor prints it.
        position: present position [ticks].
        voltage: supply [V].
        temperature: [°C].
        torque: whether its torque is on.
        hardware_errors: names of the errors that it reports, such as `overload`.
        problem: one line, empty when all is well.
    """

    protocol: str
    baud: int
    id: int
    model_number: int | None = None
    model: str | None = None
    firmware: str | None = None
    position: int | None = None
    voltage: float | None = None
    temperature: float | None = None
    torque: bool | None = None
    hardware_errors: tuple[str, ...] = ()
    problem: str = ""


def baud_rates(protocol: str) -> tuple[int, ...]:
    """Baud rates that a protocol's servos can be set to [bit/s]: the likely ones first, then downwards.

    Raises:
        ConfigError: unknown protocol.
    """
    likely = (DEFAULT_BAUD, FACTORY_BAUD[dialect_of(protocol).protocol])
    return tuple(dict.fromkeys((*likely, *sorted(_BAUD_CODES[protocol].values(), reverse=True))))


def baud_code(protocol: str, baud: int) -> int:
    """The value of the register `baud_rate` for `baud` [bit/s].

    Raises:
        ConfigError: these servos have no such rate.
    """
    for code, rate in _BAUD_CODES[dialect_of(protocol).protocol].items():
        if rate == baud:
            return code
    known = ", ".join(str(rate) for rate in sorted(_BAUD_CODES[protocol].values()))
    raise ConfigError(f"{protocol} servos cannot be set to {baud} baud: give one of {known}")


def search(
    port: str,
    sweeps: Sequence[tuple[str, int]],
    ids: Sequence[int],
    clock: Clock,
    settings: BusSettings = SEARCHING,
    progress: Callable[[int], None] = lambda _: None,
) -> list[FoundServo]:
    """Ping `ids` in each sweep (protocol, baud) and read every servo that answered.

    Args:
        port: device or link.
        sweeps: what to try, in order.
        ids: servo IDs.
        clock: for deadlines.
        settings: how to talk; its `baud` must be None.
        progress: called with each ID that has been asked.

    Raises:
        PortError: the port cannot be opened, or went away.
        ConfigError: unknown protocol, or a baud rate that the port cannot do.
    """
    found: list[FoundServo] = []
    for protocol, baud in sweeps:
        bus = open_bus(port, protocol, baud, clock, settings)
        try:
            for servo_id, answer in bus.scan(ids, progress).items():
                if isinstance(answer, BusError):
                    found.append(FoundServo(protocol, baud, servo_id, problem=_collision(servo_id)))
                else:
                    found.append(describe(bus, baud, servo_id))
        finally:
            bus.close()
    return found


def _collision(servo_id: int) -> str:
    return f"answers to ID {servo_id} are not readable: two servos share it, or they are set to another baud rate"


def describe(bus: ServoBus, baud: int, servo_id: int) -> FoundServo:
    """Read a servo that answers: model first, then by its control table the rest.

    Raises:
        PortLost: the port went away.
    """
    protocol = bus.protocol.name
    try:
        number = bus.read_register(servo_id, _any_table(protocol)["model_number"])
    except PacketCorrupt:
        return FoundServo(protocol, baud, servo_id, problem=_collision(servo_id))
    except BusError as error:
        return FoundServo(protocol, baud, servo_id, problem=f"answers a ping but not a read: {error}")
    table = table_of(protocol, number)
    if table is None:
        return FoundServo(protocol, baud, servo_id, number, problem=_unknown_model(protocol, number))
    try:
        return _read_all(bus, baud, servo_id, table)
    except PacketCorrupt:
        return FoundServo(protocol, baud, servo_id, number, table.servo, problem=_collision(servo_id))
    except BusError as error:
        return FoundServo(protocol, baud, servo_id, number, table.servo, problem=f"stopped answering: {error}")


def table_of(protocol: str, model_number: int) -> ControlTable | None:
    """The control table of a model number, None where there is none."""
    for table in CONTROL_TABLES.values():
        if table.protocol == protocol and table.model_number == model_number:
            return table
    return None


def _any_table(protocol: str) -> ControlTable:
    """A table of the protocol: the model number lies at the same address in all of them."""
    return next(table for table in CONTROL_TABLES.values() if table.protocol == protocol)


def _unknown_model(protocol: str, number: int) -> str:
    known = ", ".join(f"{t.servo} ({t.model_number})" for t in CONTROL_TABLES.values() if t.protocol == protocol)
    return f"unknown model number {number}: this program knows {known}"


def _read_all(bus: ServoBus, baud: int, servo_id: int, table: ControlTable) -> FoundServo:
    words = dialect_of(table.protocol)
    units = servo_units(table.servo)

    def read(name: str) -> int:
        return bus.read_register(servo_id, table[name])

    voltage, temperature = words.health[0], words.health[1]
    return FoundServo(
        protocol=table.protocol,
        baud=baud,
        id=servo_id,
        model_number=table.model_number,
        model=table.servo,
        firmware=read_firmware(bus, servo_id, table),
        position=read(words.position),
        voltage=read(voltage) * units.voltage,
        temperature=read(temperature) * units.temperature,
        torque=bool(read("torque_enable")),
        hardware_errors=tuple(str(error.name).lower() for error in read_hardware_error(bus, servo_id, table)),
    )


def read_hardware_error(bus: ServoBus, servo_id: int, table: ControlTable) -> HardwareError:
    """What a servo reports now: Dynamixel in a register, Feetech in the status byte of each of its answers.

    Raises:
        BusError: the servo did not answer.
    """
    name = dialect_of(table.protocol).hardware_error
    if name:
        return dynamixel_errors(bus.read_register(servo_id, table[name]))
    bus.ping(servo_id)
    return bus.protocol.hardware_error(bus.statistics.servo(servo_id).status)


def read_firmware(bus: ServoBus, servo_id: int, table: ControlTable) -> str:
    """Firmware version as the vendor prints it: `3.10` for Feetech, `52` for Dynamixel.

    Raises:
        BusError: the servo did not answer.
    """
    parts = (dialect_of(table.protocol).firmware, "firmware_minor_version")
    return ".".join(str(bus.read_register(servo_id, table[name])) for name in parts if name in table)


def nothing_answers(port: str, sweeps: Sequence[tuple[str, int]], ids: Sequence[int]) -> BusTimeout:
    """The error of a search that found nobody."""
    tried = ", ".join(f"{protocol} at {baud} baud" for protocol, baud in sweeps)
    wider = set(sweeps) < {(protocol, baud) for protocol in PROTOCOLS for baud in baud_rates(protocol)}
    remedy = ", then try `--baud all --protocol both`" if wider else ""
    return BusTimeout(
        f"no servo answers on {port} ({tried}, IDs {min(ids)} to {max(ids)}): check power and cables{remedy}"
    )
