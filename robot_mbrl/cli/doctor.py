"""`robot-mbrl doctor`."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from robot_mbrl.cli.options import CalibrationFile, Json, OptionalArm, OptionalPort
from robot_mbrl.cli.terminal import console
from robot_mbrl.commissioning.arm_report import check_arm
from robot_mbrl.commissioning.check import Check, Status
from robot_mbrl.commissioning.host_checks import check_host
from robot_mbrl.commissioning.servo_search import UNHURRIED
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.config import RobotSettings, load_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms.supply import load_robot
from robot_mbrl.runtime.real_time_checks import check_real_time

COLOURS = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red"}


def doctor(
    port: OptionalPort = None,
    arm: OptionalArm = None,
    calibration: CalibrationFile = None,
    robot: Annotated[
        Path | None, typer.Option(help="A robot.yaml, as `deploy` takes it; instead of --arm and --port.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check this computer and, with --port and --arm or with --robot, an arm. Each finding comes with its remedy.

    Of real time it asks for everything that a control process asks for, and gives it back at once. Of the arm it
    only reads: nothing is written to the servos, nothing moves, torque stays as it is. Ends with code 1 when a check
    fails; warnings do not count.
    """
    settings = _robot(robot, arm, port, calibration)
    checks = [*check_host(), *check_real_time()]
    if settings is not None:
        bus = UNHURRIED.model_copy(update={"baud": settings.bus.baud})
        checks += check_arm(load_robot(settings), settings.port, settings.calibration, MonotonicClock(), bus)
    if as_json:
        rows = [{"name": c.name, "status": c.status.value, "detail": c.detail, "remedy": c.remedy} for c in checks]
        typer.echo(json.dumps({"checks": rows}, indent=2))
    else:
        console().print(_table(checks))
    failures = sum(check.status is Status.FAIL for check in checks)
    if failures:
        typer.echo(f"error: {failures} of {len(checks)} checks failed: follow the remedies above", err=True)
        raise typer.Exit(1)


def _robot(robot: Path | None, arm: str | None, port: str | None, calibration: Path | None) -> RobotSettings | None:
    """The arm that the options name; None when they name none."""
    if robot is not None:
        if arm is not None or port is not None or calibration is not None:
            raise ConfigError(f"--robot {robot} names arm, port and calibration: leave out the other options")
        return load_settings(robot, RobotSettings)
    if (port is None) != (arm is None):
        raise ConfigError("doctor checks an arm only with both --port and --arm: give both, or neither")
    return None if arm is None or port is None else RobotSettings(arm=arm, port=port, calibration=calibration)


def _table(checks: list[Check]) -> Table:
    table = Table("check", "", Column("found", overflow="fold"), Column("remedy", overflow="fold"), box=SIMPLE)
    for check in checks:
        colour = COLOURS[check.status]
        table.add_row(check.name, f"[{colour}]{check.status.value}[/]", _plain(check.detail), _plain(check.remedy))
    return table


def _plain(text: str) -> str:
    """`text` with rich's markup switched off."""
    return text.replace("[", "\\[")
