"""The servo bus: port, transactions with deadlines, statistics."""

from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.bus.dynamixel_protocol import DynamixelProtocol
from robot_mbrl.drivers.bus.feetech_protocol import FeetechProtocol
from robot_mbrl.drivers.bus.port import SerialTransport, Transport
from robot_mbrl.drivers.bus.protocol import Answer, BusProtocol
from robot_mbrl.drivers.bus.servo_bus import ServoBus
from robot_mbrl.drivers.bus.statistics import BusStatistics, ServoStatistics

__all__ = [
    "Answer",
    "BusProtocol",
    "BusSettings",
    "BusStatistics",
    "DynamixelProtocol",
    "FeetechProtocol",
    "SerialTransport",
    "ServoBus",
    "ServoStatistics",
    "Transport",
    "bus_protocol",
    "open_bus",
]


def bus_protocol(name: str) -> BusProtocol:
    """The protocol called `feetech` or `dynamixel`.

    Raises:
        ConfigError: any other name.
    """
    if name == FeetechProtocol.name:
        return FeetechProtocol()
    if name == DynamixelProtocol.name:
        return DynamixelProtocol()
    raise ConfigError(f"unknown protocol {name!r}: give {FeetechProtocol.name} or {DynamixelProtocol.name}")


def open_bus(port: str, protocol: str, baud: int, clock: Clock, settings: BusSettings | None = None) -> ServoBus:
    """Open a serial port and return the bus on it. Sends nothing.

    Args:
        port: device or link.
        protocol: `feetech` or `dynamixel`.
        baud: bits per second; `settings.baud` goes first where it is given.
        clock: for deadlines and time stamps.
        settings: how to talk.

    Raises:
        PortError: the port cannot be opened; see `SerialTransport`.
        ConfigError: unknown protocol or baud rate.
    """
    settings = settings or BusSettings()
    wire = bus_protocol(protocol)
    rate = settings.baud or baud
    transport = SerialTransport(port, rate, clock, low_latency=settings.low_latency, spin=settings.spin)
    return ServoBus(transport, wire, settings, clock)
