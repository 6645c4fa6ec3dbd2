"""`robot-mbrl twin`."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.live import Live
from rich.table import Table

from robot_mbrl.cli.options import Arm
from robot_mbrl.cli.terminal import console
from robot_mbrl.contracts.clock import NANOSECONDS, MonotonicClock, Ticker
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import JointState
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.sim.truth import load_truth
from robot_mbrl.sim.twin import Twin

PERIOD = 0.05
"""Between two readings [s]."""


def twin(
    arm: Arm = "so101_follower",
    seconds: Annotated[float, typer.Option(help="How long [s].")] = 10.0,
    truth: Annotated[Path | None, typer.Option(help="YAML file with the arm's physical parameters.")] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Torque on: the twin holds its pose.")] = False,
) -> None:
    """Step the MuJoCo twin of an arm in real time and show its joints. Touches no hardware.

    The twin starts in the arm's park position. Prints the state at the end, and how much of real time was kept.
    """
    if not seconds > 0.0:
        raise ConfigError(f"--seconds {seconds}: give a positive number")
    definition = load_arm(arm)
    clock = MonotonicClock()
    robot = Twin(definition, None if truth is None else load_truth(truth, definition), clock)
    robot.connect()
    robot.set_torque(enabled=hold)
    screen = console()
    ticker = Ticker(PERIOD, clock)
    started, used = clock.now_ns(), time.process_time()
    state = robot.read()
    with Live(console=screen, auto_refresh=False, transient=True) as live:
        while state.stamp_ns - started < seconds * NANOSECONDS:
            ticker.wait()
            state = robot.read()
            if screen.is_terminal:
                live.update(_table(definition.joint_names, state), refresh=True)
    screen.print(_table(definition.joint_names, state))
    wall = (clock.now_ns() - started) / NANOSECONDS
    share = (time.process_time() - used) / wall
    typer.echo(f"{wall:.1f} s in real time, {ticker.missed} readings late, {share:.0%} of one core")
    robot.close()


def _table(names: tuple[str, ...], state: JointState) -> Table:
    table = Table("joint", "position", "velocity", "load", box=SIMPLE)
    for name, position, velocity, load in zip(names, state.position, state.velocity, state.load, strict=True):
        table.add_row(name, f"{position:+.4f} rad", f"{velocity:+.3f} rad/s", f"{load:+.1%}")
    return table
