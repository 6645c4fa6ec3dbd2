"""`robot-mbrl setup-motors`."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from robot_mbrl.cli.options import Arm, Port
from robot_mbrl.cli.terminal import Terminal
from robot_mbrl.commissioning.motor_setup import MotorSetup
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import ArmDefinition, JointDefinition, load_arm


def setup_motors(
    port: Port,
    arm: Arm,
    joint: Annotated[list[str] | None, typer.Option(help="Only this joint; may be given again.")] = None,
) -> None:
    """Give each servo the ID and baud rate of the arm's definition, one servo on the bus at a time.

    Asks for each servo to be connected alone, from the gripper to the base, finds it at whatever ID and baud rate it
    has, checks its model, writes ID and baud rate into its permanent memory and reads them back. Moves nothing and
    switches no torque; a servo whose torque is on is refused. What is right already is left alone, so that the command
    can be run again after a break.
    """
    definition = load_arm(arm)
    joints = _chosen(definition, joint or list(reversed(definition.joint_names)))
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("looking for the servo", total=None)
        setup = MotorSetup(definition, port, Terminal(), MonotonicClock(), lambda _: progress.advance(task))
        setup.run(joints)
    typer.echo(f"done: connect all servos, then `robot-mbrl scan --port {port} --protocol {definition.protocol}`")


def _chosen(arm: ArmDefinition, names: list[str]) -> list[JointDefinition]:
    by_name = {joint.name: joint for joint in arm.joints}
    for name in names:
        if name not in by_name:
            raise ConfigError(f"{arm.name} has no joint {name!r}: give one of {', '.join(by_name)}")
    return [by_name[name] for name in names]
