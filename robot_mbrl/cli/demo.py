"""`robot-mbrl demo`."""

from pathlib import Path
from typing import Annotated

import typer

from robot_mbrl.cli.extras import needs_training


def demo(
    *,
    seed: Annotated[int, typer.Option(min=0, help="Draws the emulated arm, the goals and the motion.")] = 7,
    fast: Annotated[
        bool, typer.Option("--fast", help="Less of everything: under 3 minutes, and a weaker promise.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(help="Where report, pictures and logs go, new or empty: ./robot-mbrl-demo-DATE-TIME."),
    ] = None,
) -> None:
    """Show all of it on an emulated SO-101, in about 8 minutes, and write a report. Touches no hardware.

    The arm runs behind a serial port of its own, with physics in MuJoCo. It is found, calibrated and checked; explores
    under the safety monitor; what was learned on the twin is fitted to it; the monitor's thresholds of doubt are taken
    from nominal motion. Then a planner and the trained policy that ships reach for targets in turn. At last a load is
    hung at its tool, a joint is pushed and the wire fails: the monitor stops the arm, which is reset, goes on, and
    parks.

    Driver, control process, monitor, guardian and recorder are those that a real arm gets. The folder keeps the report
    as one HTML file, its pictures, the flight logs and what was learned.

    Ctrl-C ends it at any time, with nothing left running. Exit codes are those of the other commands.
    """
    needs_training("demo", "demo_run").run_demo(seed, folder, fast=fast)
