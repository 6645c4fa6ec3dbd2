"""Options that several commands share, so that they read the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

Port = Annotated[str, typer.Option(help="Serial device, or the link of a virtual arm.")]
Arm = Annotated[str, typer.Option(help="Name of an arm definition, or the path of a .yaml file.")]
CalibrationFile = Annotated[
    Path | None, typer.Option("--calibration", help="Joint calibration file; the default is the arm's own place.")
]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask first.")]
