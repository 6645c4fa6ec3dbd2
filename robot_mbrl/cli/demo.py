"""`robot-mbrl demo`."""

import typer

from robot_mbrl.runtime.demo import run_demo


def demo() -> None:
    """Show what works today without hardware: find, calibrate, move and park an emulated SO-101 over its serial port.

    Driver, calibration and moves are the ones that a real arm gets; only the arm behind the serial port is emulated,
    with physics in MuJoCo. Nothing is learned and nothing is planned in it. Touches no hardware and leaves no files.
    """
    run_demo(typer.echo)
