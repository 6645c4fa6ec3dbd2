"""Which registers play which part for each protocol: the one place where the arm driver meets vendor names."""

from dataclasses import dataclass
from functools import cached_property

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.drivers.control_tables import control_table
from robot_mbrl.drivers.registers import ControlTable, Register


class RegisterBlock:
    """Neighbouring registers of one control table, read together."""

    def __init__(self, table: ControlTable, names: tuple[str, ...]) -> None:
        """Span from the first to the last of `names`; what lies between is read along and ignored."""
        registers = [table[name] for name in names]
        self.address = min(register.address for register in registers)
        self.size = max(register.address + register.size for register in registers) - self.address
        self._parts = [(register, register.address - self.address) for register in registers]

    def decode(self, data: bytes) -> list[int]:
        """Register values in the order of the names."""
        return [register.decode(data[start : start + register.size]) for register, start in self._parts]


@dataclass(frozen=True)
class Dialect:
    """How one protocol's servos name what an arm driver needs.

    Attributes:
        protocol: `feetech` or `dynamixel`.
        position: register of the present position.
        velocity: register of the present velocity.
        health: registers of voltage and temperature and, where the servo has it, current, read by the slow rota.
        firmware: register of the firmware version to check.
        oldest_firmware: oldest version that this driver is written for.
        newest_firmware: newest one.
        lock: register that must be 0 for an EEPROM write to last, empty where torque-off alone is the rule.
        watchdog: register of the servo's own communication watchdog, empty where it has none.
        hardware_error: register that names the hardware errors, empty where the status byte does.
    """

    protocol: str
    position: str
    velocity: str
    health: tuple[str, ...]
    firmware: str
    oldest_firmware: int
    newest_firmware: int
    lock: str = ""
    watchdog: str = ""
    hardware_error: str = ""

    def state_block(self, table: ControlTable, load_register: str) -> RegisterBlock:
        """Registers read every cycle: position, velocity, and what tells the effort."""
        return RegisterBlock(table, (self.position, self.velocity, load_register))

    def health_block(self, table: ControlTable) -> RegisterBlock:
        """Registers read by the slow rota."""
        return RegisterBlock(table, self.health)


FEETECH = Dialect(
    protocol="feetech",
    position="present_position",
    velocity="present_velocity",
    health=("present_voltage", "present_temperature", "present_current"),
    firmware="firmware_major_version",
    oldest_firmware=3,
    newest_firmware=3,
    lock="lock",
)
"""STS3215. All published field reports are of firmware 3.x (3.9, 3.10)."""

DYNAMIXEL = Dialect(
    protocol="dynamixel",
    position="present_position",
    velocity="present_velocity",
    health=("present_input_voltage", "present_temperature"),
    firmware="firmware_version",
    oldest_firmware=38,
    newest_firmware=99,
    watchdog="bus_watchdog",
    hardware_error="hardware_error_status",
)
"""X series. Firmware 38 brought the bus watchdog (e-Manual, address 98)."""


def dialect_of(protocol: str) -> Dialect:
    """The dialect of a protocol.

    Raises:
        ConfigError: unknown protocol.
    """
    for candidate in (FEETECH, DYNAMIXEL):
        if candidate.protocol == protocol:
            return candidate
    raise ConfigError(f"unknown protocol {protocol!r}: give feetech or dynamixel")


@dataclass(frozen=True)
class Servo:
    """One servo on the bus: which joint it turns, its ID, its table."""

    joint: str
    id: int
    table: ControlTable

    @cached_property
    def label(self) -> str:
        """Name for messages, such as `gripper (ID 6)`."""
        return f"{self.joint} (ID {self.id})"

    def register(self, name: str) -> Register:
        """A register of its table."""
        return self.table[name]


def arm_servos(arm: ArmDefinition) -> list[Servo]:
    """The servos of an arm, in the order of its joints.

    Raises:
        ConfigError: the definition names a servo that has no control table.
    """
    return [Servo(joint.name, joint.id, control_table(joint.servo)) for joint in arm.joints]
