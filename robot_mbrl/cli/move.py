"""`robot-mbrl move`."""

from typing import Annotated

import typer

from robot_mbrl.cli.options import Arm, CalibrationFile, Port, Yes
from robot_mbrl.cli.terminal import Terminal
from robot_mbrl.commissioning.joint_move import move_joints, plan_from_here
from robot_mbrl.commissioning.servo_search import UNHURRIED
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.config import RobotSettings
from robot_mbrl.contracts.errors import NotReady
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.drivers.serial_arm import open_arm
from robot_mbrl.sim.geometry import MujocoGeometry


def move(
    port: Port,
    arm: Arm,
    joint: Annotated[str, typer.Option(help="Which joint.")],
    to: Annotated[float, typer.Option(help="Where to [rad].")],
    speed: Annotated[float, typer.Option(help="Highest speed on the way [rad/s].")] = 0.5,
    release: Annotated[bool, typer.Option("--release", help="Torque off at the end: the arm FALLS.")] = False,
    calibration: CalibrationFile = None,
    yes: Yes = False,
) -> None:
    """Move one joint to an angle, slowly, while all others hold. THIS MOVES THE ARM.

    Switches the torque on (the arm stiffens where it is), moves along a smooth path, and leaves the torque on, so that
    the arm holds; `--release`, or `robot-mbrl torque off`, lets it go, and an arm without torque falls. Ctrl-C stops
    the arm and holds it. Keep a hand on the power switch. A way that leads into the table or the arm itself is refused;
    what else stands there is not known.
    """
    terminal = Terminal()
    definition = load_arm(arm)
    # The servos' own watchdog would stop them as soon as this command has ended, and the arm is to hold.
    settings = RobotSettings(arm=arm, port=port, calibration=calibration, bus=UNHURRIED, watchdog=0.0)
    clock = MonotonicClock()
    geometry = MujocoGeometry(definition)
    robot = open_arm(settings, clock)
    try:
        robot.connect()
        plan_from_here(robot, definition, {joint: to}, speed, geometry)
        question = f"{arm} on {port}: torque on, then {joint} moves to {to:.3f} rad at up to {speed} rad/s. Go?"
        if not yes and not terminal.confirm(question):
            raise NotReady(f"{joint} was not moved: answer y, or give --yes")
        robot.set_torque(enabled=True)
        terminal.tell("torque is ON: the arm holds")
        # The arm may have been moved by hand since the first look: it is looked at again.
        report = move_joints(robot, definition, {joint: to}, speed, clock, geometry)
        index = definition.joint_names.index(joint)
        start, end = report.start[index], report.end[index]
        terminal.tell(
            f"{joint}: {start:+.4f} -> {end:+.4f} rad in {report.duration:.1f} s, {end - to:+.4f} rad off the goal"
        )
        if not report.settled:
            terminal.tell(f"{joint} has not come to rest: look for what is in its way")
        if release:
            robot.set_torque(enabled=False)
            terminal.tell("torque is OFF")
        else:
            terminal.tell(f"torque stays ON: `robot-mbrl torque off --port {port} --arm {arm}` lets go, the arm falls")
    finally:
        robot.close()
