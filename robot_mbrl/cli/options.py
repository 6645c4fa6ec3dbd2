"""Options that several commands share, so that they read the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer
from serial.tools import list_ports

from robot_mbrl.drivers.arms import arm_names


def _ports() -> list[str]:
    """What the shell offers for a port: the serial ports that are there."""
    return sorted(port.device for port in list_ports.comports())


def _arms() -> list[str]:
    """What the shell offers for an arm: those that ship with the project."""
    return list(arm_names())


_PORT = typer.Option(help="Serial device, or the link of a virtual arm.", autocompletion=_ports)
_ARM = typer.Option(help="Name of an arm definition, or the path of a .yaml file.", autocompletion=_arms)
Port = Annotated[str, _PORT]
OptionalPort = Annotated[str | None, _PORT]
Arm = Annotated[str, _ARM]
OptionalArm = Annotated[str | None, _ARM]
CalibrationFile = Annotated[
    Path | None, typer.Option("--calibration", help="Joint calibration file; the default is the arm's own place.")
]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask first.")]
