"""The one error tree.

Every error that a user can meet is a `RobotMbrlError`. Its text is one line that names the thing, the value,
the limit and the remedy. `exit_code` is what the command line ends with.

RobotMbrlError                 1
├── ConfigError                3   a settings file, arm definition, scenario or argument is wrong
│   ├── CalibrationError       4   joint calibration
│   │   ├── CalibrationMissing     there is none for this arm
│   │   └── CalibrationStale       it does not match what the servos hold
│   └── DeadlineTooShort           no time for a single iteration of a plan
├── PortError                  5   the serial port itself
│   ├── PortNotFound
│   ├── PortPermission
│   ├── PortBusy                   another process holds it
│   └── PortLost                   unplugged, or the pty's other end went away
├── BusError                   6   a conversation on the bus
│   ├── BusTimeout                 no complete answer by the deadline
│   ├── PacketCorrupt              an answer came with a wrong checksum or CRC
│   ├── StaleAnswer                the line never fell quiet, answers cannot be told apart
│   ├── ServoMissing               a servo of the arm does not answer
│   ├── DuplicateId                two servos answer to one ID
│   ├── ModelMismatch              a servo is not of the model that the arm's definition names
│   ├── FirmwareMismatch           firmware that this driver does not know
│   └── InstructionRejected        the servo refused: access, range, length, unknown instruction
├── ServoFault                 7   a servo reports a hardware error
│   ├── ServoUndervoltage          the supply is out of the servo's range, low or high
│   ├── ServoOverheat
│   ├── ServoOverload
│   ├── ServoOvercurrent
│   ├── ServoEncoderFault
│   ├── ServoShock                 electrical shock or motor driver fault
│   └── ServoTorqueLost            a servo let go by itself
├── CommandRefused             8   a command that must not reach the servos
│   ├── NonFiniteCommand
│   ├── LimitViolation
│   └── NotReady                   not connected, torque off, or stopped
├── PacketValueError           9   a value that does not fit its packet or register
├── SimulationError            10  the physics diverged or the model is wrong
├── ChannelError               11  the channels between an arm's processes
├── ProcessFailed              12  a process that the arm needs did not start, or ended
└── ArmStopped                 13  the arm was stopped and latched: by the monitor, a fault or an emergency stop
"""

from typing import ClassVar

__all__ = [
    "ArmStopped",
    "BusError",
    "BusTimeout",
    "CalibrationError",
    "CalibrationMissing",
    "CalibrationStale",
    "ChannelError",
    "CommandRefused",
    "ConfigError",
    "DeadlineTooShort",
    "DuplicateId",
    "FirmwareMismatch",
    "InstructionRejected",
    "LimitViolation",
    "ModelMismatch",
    "NonFiniteCommand",
    "NotReady",
    "PacketCorrupt",
    "PacketValueError",
    "PortBusy",
    "PortError",
    "PortLost",
    "PortNotFound",
    "PortPermission",
    "ProcessFailed",
    "RobotMbrlError",
    "ServoEncoderFault",
    "ServoFault",
    "ServoMissing",
    "ServoOvercurrent",
    "ServoOverheat",
    "ServoOverload",
    "ServoShock",
    "ServoTorqueLost",
    "ServoUndervoltage",
    "SimulationError",
    "StaleAnswer",
]


class RobotMbrlError(Exception):
    """Root of the tree: one line naming the thing, the value, the limit and the remedy."""

    exit_code: ClassVar[int] = 1


class ConfigError(RobotMbrlError):
    """A settings file, arm definition, scenario or argument is wrong."""

    exit_code = 3


class CalibrationError(ConfigError):
    """The joint calibration cannot be used."""

    exit_code = 4


class CalibrationMissing(CalibrationError):
    """There is no joint calibration for this arm."""


class CalibrationStale(CalibrationError):
    """The calibration file and the servos' registers disagree."""


class DeadlineTooShort(ConfigError):
    """A deadline leaves no time for a single iteration of a plan."""


class PortError(RobotMbrlError):
    """The serial port cannot be used."""

    exit_code = 5


class PortNotFound(PortError):
    """No such port."""


class PortPermission(PortError):
    """The user may not open the port."""


class PortBusy(PortError):
    """Another process holds the port."""


class PortLost(PortError):
    """The port went away while in use."""


class BusError(RobotMbrlError):
    """A conversation on the servo bus failed."""

    exit_code = 6


class BusTimeout(BusError):
    """No complete answer came before the transaction's deadline."""


class PacketCorrupt(BusError):
    """An answer came with a wrong checksum or CRC, also after the retries."""


class StaleAnswer(BusError):
    """The line never fell quiet, so that a late answer could be taken for a new one."""


class ServoMissing(BusError):
    """A servo that the arm's definition names does not answer."""


class DuplicateId(BusError):
    """Two servos answer to one ID."""


class ModelMismatch(BusError):
    """A servo is of another model than the arm's definition says."""


class FirmwareMismatch(BusError):
    """A servo runs firmware that this driver does not know."""


class InstructionRejected(BusError):
    """The servo refused an instruction: access, range, length or an unknown one."""


class ServoFault(RobotMbrlError):
    """A servo reports a hardware error."""

    exit_code = 7


class ServoUndervoltage(ServoFault):
    """The supply voltage is outside the servo's range."""


class ServoOverheat(ServoFault):
    """The servo's temperature is above its limit."""


class ServoOverload(ServoFault):
    """The servo gave more torque than it may, for longer than it may."""


class ServoOvercurrent(ServoFault):
    """The motor current is above its limit."""


class ServoEncoderFault(ServoFault):
    """The position sensor failed."""


class ServoShock(ServoFault):
    """Electrical shock on the circuit, or too little power for the motor."""


class ServoTorqueLost(ServoFault):
    """A servo lost its torque by itself: its power failed for a moment, or a protection let go."""


class CommandRefused(RobotMbrlError):
    """A command that must not reach the servos."""

    exit_code = 8


class NonFiniteCommand(CommandRefused):
    """A command holds NaN or infinity."""


class LimitViolation(CommandRefused):
    """A command lies outside the arm's limits."""


class NotReady(CommandRefused):
    """The robot is not connected, has no torque, or is stopped."""


class PacketValueError(RobotMbrlError):
    """A value does not fit its packet or register."""

    exit_code = 9


class SimulationError(RobotMbrlError):
    """The physics diverged, or its model is wrong."""

    exit_code = 10


class ChannelError(RobotMbrlError):
    """The channels between an arm's processes cannot be used."""

    exit_code = 11


class ProcessFailed(RobotMbrlError):
    """A process that the arm needs did not start, or ended while it was needed."""

    exit_code = 12


class ArmStopped(RobotMbrlError):
    """The arm was stopped and latched: by the monitor, a fault or an emergency stop."""

    exit_code = 13
