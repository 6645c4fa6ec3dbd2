"""`robot-mbrl doctor`."""

import json

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from robot_mbrl.cli.options import CalibrationFile, Json, OptionalArm, OptionalPort
from robot_mbrl.cli.terminal import console
from robot_mbrl.commissioning.arm_report import check_arm
from robot_mbrl.commissioning.check import Check, Status
from robot_mbrl.commissioning.host_checks import check_host
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.real_time_checks import check_real_time

COLOURS = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red"}


def doctor(
    port: OptionalPort = None,
    arm: OptionalArm = None,
    calibration: CalibrationFile = None,
    as_json: Json = False,
) -> None:
    """Check this computer and, with --port and --arm, the arm on that port. Each finding comes with its remedy.

    Of real time it asks for everything that a control process asks for, and gives it back at once. Of the arm it
    only reads: nothing is written to the servos, nothing moves, torque stays as it is. Ends with code 1 when a check
    fails; warnings do not count.
    """
    if (port is None) != (arm is None):
        raise ConfigError("doctor checks an arm only with both --port and --arm: give both, or neither")
    checks = [*check_host(), *check_real_time()]
    if port is not None and arm is not None:
        checks += check_arm(load_arm(arm), port, calibration, MonotonicClock())
    if as_json:
        rows = [{"name": c.name, "status": c.status.value, "detail": c.detail, "remedy": c.remedy} for c in checks]
        typer.echo(json.dumps({"checks": rows}, indent=2))
    else:
        console().print(_table(checks))
    failures = sum(check.status is Status.FAIL for check in checks)
    if failures:
        typer.echo(f"error: {failures} of {len(checks)} checks failed: follow the remedies above", err=True)
        raise typer.Exit(1)


def _table(checks: list[Check]) -> Table:
    table = Table("check", "", Column("found", overflow="fold"), Column("remedy", overflow="fold"), box=SIMPLE)
    for check in checks:
        colour = COLOURS[check.status]
        table.add_row(check.name, f"[{colour}]{check.status.value}[/]", _plain(check.detail), _plain(check.remedy))
    return table


def _plain(text: str) -> str:
    """`text` with rich's markup switched off."""
    return text.replace("[", "\\[")
