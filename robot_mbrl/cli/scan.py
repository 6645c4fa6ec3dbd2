"""`robot-mbrl scan`."""

import dataclasses
import json
import sys
from typing import Annotated, Literal

import typer
from pydantic import ValidationError
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from robot_mbrl.cli.options import Json, Port
from robot_mbrl.cli.terminal import console
from robot_mbrl.commissioning.servo_search import (
    DEFAULT_BAUD,
    EVERY_ID,
    PROTOCOLS,
    FoundServo,
    baud_rates,
    nothing_answers,
    search,
)
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.config import BusSettings, one_line
from robot_mbrl.contracts.errors import BusError, ConfigError


def scan(
    port: Port,
    baud: Annotated[str, typer.Option(help="Bits per second, or `all`.")] = str(DEFAULT_BAUD),
    protocol: Annotated[Literal["feetech", "dynamixel", "both"], typer.Option(help="What the servos speak.")] = "both",
    ids: Annotated[str, typer.Option(help="One ID or a range of them.")] = f"{EVERY_ID[0]}-{EVERY_ID[-1]}",
    margin: Annotated[float, typer.Option(help="What a busy computer may be late [s] with an answer.")] = 0.01,
    as_json: Json = False,
) -> None:
    """List the servos that answer: ID, model, firmware, position, supply, temperature, torque.

    Sends pings and reads, writes nothing: the arm neither moves nor changes. Two servos that share an ID show up as
    unreadable answers. Ends with code 6 when nothing answers or something is not readable.
    """
    chosen = PROTOCOLS if protocol == "both" else (protocol,)
    sweeps = [(name, rate) for name in chosen for rate in _rates(name, baud)]
    wanted = _ids(ids)
    settings = _settings(margin)
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("asking", total=len(sweeps) * len(wanted))
        found = search(port, sweeps, wanted, MonotonicClock(), settings, progress=lambda _: progress.advance(task))
    if as_json:
        typer.echo(json.dumps({"port": port, "servos": [dataclasses.asdict(servo) for servo in found]}, indent=2))
    elif found:
        console().print(_table(found))
    if not found:
        raise nothing_answers(port, sweeps, wanted)
    troubled = [servo for servo in found if servo.problem]
    if troubled:
        raise BusError(f"{port}: ID {troubled[0].id}: {troubled[0].problem}")


def _rates(protocol: str, text: str) -> tuple[int, ...]:
    if text == "all":
        return baud_rates(protocol)
    if not text.isdecimal() or int(text) == 0:
        raise ConfigError(f"--baud {text!r} is no baud rate: give bits per second, such as {DEFAULT_BAUD}, or all")
    return (int(text),)


def _settings(margin: float) -> BusSettings:
    try:
        return BusSettings(margin=margin)
    except ValidationError as error:
        raise ConfigError(one_line(error, "scan")) from error


def _ids(text: str) -> range:
    first, dash, last = text.partition("-")
    if not first.isdecimal() or (dash and not last.isdecimal()):
        raise ConfigError(f"--ids {text!r} is no ID or range of IDs: give one such as 3 or 1-6")
    ids = range(int(first), int(last if dash else first) + 1)
    if not ids or ids[-1] not in EVERY_ID:
        raise ConfigError(f"--ids {text!r}: give IDs from {EVERY_ID[0]} to {EVERY_ID[-1]}, the smaller one first")
    return ids


def _table(found: list[FoundServo]) -> Table:
    table = Table(
        "protocol", "baud", "ID", "model", "firmware", "position", "voltage", "temperature", "torque", box=SIMPLE
    )
    for servo in found:
        row = [servo.protocol, str(servo.baud), str(servo.id)]
        if servo.problem:
            table.add_row(*row, servo.problem)
            continue
        table.add_row(
            *row,
            servo.model,
            servo.firmware,
            f"{servo.position} ticks",
            f"{servo.voltage:.1f} V",
            f"{servo.temperature:.0f} °C",
            "on" if servo.torque else "off",
        )
    return table
