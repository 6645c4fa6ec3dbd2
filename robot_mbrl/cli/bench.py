"""`robot-mbrl bench`."""

import importlib.util
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from robot_mbrl.benchmarks import bus_host_cost, bus_loop, loop_timing, monitor_cost, recorder_cost, sim_stepping
from robot_mbrl.cli.options import Json
from robot_mbrl.cli.terminal import console
from robot_mbrl.contracts.errors import ConfigError

app = typer.Typer(
    help="Measure and print figures. Touches no hardware: the bus is the emulated one.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

Minutes = Annotated[float, typer.Option(help="Of the loop, for each of the two arms; cyclictest takes as much.")]
Picture = Annotated[Path | None, typer.Option(help="PNG file to draw the histograms to.")]
Seconds = Annotated[float, typer.Option(help="How long to measure [s].")]


@app.callback()
def bench() -> None:
    """Measure and print figures. Touches no hardware: the bus is the emulated one."""


@app.command("bus", epilog="\b\nExample:\n  robot-mbrl bench bus --seconds 10")
def bus(seconds: Seconds = 60.0, as_json: Json = False) -> None:
    """Read-and-write cycles at 200 Hz on emulated arms, beside the wire-time formula, and the emulator's cost."""
    figures = bus_loop.measure(_checked(seconds), announce=_announce)
    _print(figures, bus_loop.table(figures), as_json=as_json)


@app.command("host", epilog="\b\nExample:\n  robot-mbrl bench host --json")
def host(as_json: Json = False) -> None:
    """Host cost of one sync read, ours beside the vendors' SDKs and rustypot.

    Installs those from PyPI, each into an environment of its own under `.crosscheck` in the present folder.
    """
    try:
        figures = bus_host_cost.measure(announce=_announce)
    except subprocess.CalledProcessError as error:
        raise ConfigError(
            f"a peer could not be installed (pip ended with {error.returncode}): check the network"
        ) from error
    _print(figures, bus_host_cost.table(figures), as_json=as_json)


@app.command("sim", epilog="\b\nExample:\n  robot-mbrl bench sim --seconds 20 --json")
def sim(seconds: Seconds = 60.0, as_json: Json = False) -> None:
    """Share of raw `mj_step` speed that batches, tasks and dm_control's environments keep."""
    if importlib.util.find_spec("dm_control") is None:
        raise ConfigError("bench sim compares with dm_control, which is missing: pip install 'robot-mbrl[dm-control]'")
    # Drawn between the blocks only: a bar that refreshes by itself would take time from what is measured.
    with Progress(console=Console(stderr=True), transient=True, auto_refresh=False) as progress:
        task = progress.add_task("stepping", total=1.0)

        def show(share: float) -> None:
            progress.update(task, completed=share)
            progress.refresh()

        figures = sim_stepping.measure(_checked(seconds), progress=show)
    _print(figures, sim_stepping.table(figures), as_json=as_json)


@app.command("loop", epilog="\b\nExample:\n  robot-mbrl bench loop --minutes 10 --picture loop.png")
def loop(minutes: Minutes = 10.0, picture: Picture = None, as_json: Json = False) -> None:
    """How well the control loop keeps its time: 1 kHz on the twin, 200 Hz on the emulated SO-101, beside cyclictest.

    Takes four times the minutes. Run it as root and on a machine that is left alone: it is about microseconds.
    """
    if not 0.0 < minutes < float("inf"):
        raise ConfigError(f"--minutes {minutes}: give a positive number")
    figures = loop_timing.measure(minutes, picture, _announce)
    _print(figures, loop_timing.table(figures), as_json=as_json)


@app.command("monitor", epilog="\b\nExample:\n  robot-mbrl bench monitor --seconds 10")
def monitor(seconds: Seconds = 20.0, as_json: Json = False) -> None:
    """Time of all safety checks of one tick, clearances and an ONNX ensemble of 5 nets included."""
    figures = monitor_cost.measure(_checked(seconds))
    _print(figures, monitor_cost.table(figures), as_json=as_json)


@app.command("recorder", epilog="\b\nExample:\n  robot-mbrl bench recorder --seconds 20 --trials 10")
def recorder(
    seconds: Seconds = 60.0,
    trials: Annotated[int, typer.Option(min=1, help="How often to SIGKILL everything at a random moment.")] = 100,
    as_json: Json = False,
) -> None:
    """What recording 1 kHz frames costs and loses, and what a SIGKILL of everything takes from the log."""
    with Progress(console=Console(stderr=True), transient=True, auto_refresh=False) as progress:
        task = progress.add_task("recording and killing", total=1.0)

        def show(share: float) -> None:
            progress.update(task, completed=share)
            progress.refresh()

        figures = recorder_cost.measure(_checked(seconds), trials, progress=show)
    _print(figures, recorder_cost.table(figures), as_json=as_json)


def _announce(text: str) -> None:
    typer.echo(text, err=True)


def _checked(seconds: float) -> float:
    if not 0.0 < seconds < float("inf"):
        raise ConfigError(f"--seconds {seconds}: give a positive number")
    return seconds


def _print(figures: Mapping[str, Any], table: Table | str, *, as_json: bool) -> None:
    if as_json:
        machine = {"processors": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
        typer.echo(json.dumps({"machine": machine, "figures": figures}, indent=2))
    else:
        console().print(table, markup=False)
