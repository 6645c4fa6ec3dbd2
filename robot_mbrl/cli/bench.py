"""`robot-mbrl bench`."""

import importlib
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

from robot_mbrl.benchmarks import (
    bus_host_cost,
    bus_loop,
    dreamer,
    loop_timing,
    monitor_cost,
    recorder_cost,
    replay_memory,
    sim_stepping,
)
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


@app.command("dreamer", epilog="\b\nExample:\n  robot-mbrl bench dreamer --seconds 20 --json")
def dreamer_updates(
    seconds: Seconds = 20.0,
    size: Annotated[list[str] | None, typer.Option(help="1M, 12M or 25M; may be repeated. 1M when not given.")] = None,
    device: Annotated[str, typer.Option(help="Where torch computes: cpu or cuda.")] = "cpu",
    every_manner: Annotated[bool, typer.Option("--every-manner", help="Also uncompiled, and in float32.")] = False,
    as_json: Json = False,
) -> None:
    """Updates a second of Dreamer on batches of 16x64 steps, beside the official implementation's.

    Before the first update its code is compiled, which takes minutes the first time and seconds from the cache.
    """
    if importlib.util.find_spec("torch") is None:
        raise ConfigError("bench dreamer needs torch, which is not installed here: pip install 'robot-mbrl[train]'")
    figures = dreamer.measure(_checked(seconds), size or ["1M"], device, every_manner, _announce)
    _print(figures, dreamer.table(figures), as_json=as_json)


@app.command("planner", epilog="\b\nExample:\n  robot-mbrl bench planner --rounds 10 --json")
def planner(
    rounds: Annotated[int, typer.Option(min=1, help="Plans of each contestant.")] = 10,
    threads: Annotated[int, typer.Option(min=1, help="Processors that each planner may use.")] = 2,
    returns: Annotated[
        Path | None, typer.Option(help="Compare returns on this training run's ensemble instead.")
    ] = None,
    episodes: Annotated[int, typer.Option(min=2, help="To compare returns over.")] = 20,
    actions_per_plan: Annotated[int, typer.Option(min=1, help="Executed before the next plan, in those.")] = 1,
    as_json: Json = False,
) -> None:
    """Plans and model evaluations a second, beside mbrl-lib; or the fast planner's returns beside PETS as published.

    Installs mbrl-lib from PyPI into an environment of its own under `.crosscheck` in the present folder. Published
    PETS takes most of a second a plan: 20 episodes of returns keep one processor busy for 20 minutes, and half as long
    with `--actions-per-plan 2`.
    """
    if importlib.util.find_spec("torch") is None:
        raise ConfigError("bench planner needs torch, which is not installed here: pip install 'robot-mbrl[train]'")
    # Imported only here: they import torch, which other benchmarks do without.
    if returns is not None:
        planner_returns = importlib.import_module("robot_mbrl.benchmarks.planner_returns")
        figures = planner_returns.compare(returns, episodes, actions_per_plan, threads, _announce)
        _print(figures, planner_returns.table(figures), as_json=as_json)
        return
    speed = importlib.import_module("robot_mbrl.benchmarks.planner")
    try:
        figures = speed.measure(rounds, threads, announce=_announce)
    except subprocess.CalledProcessError as error:
        raise ConfigError(
            f"mbrl-lib could not be installed (pip ended with {error.returncode}): check the network"
        ) from error
    _print(figures, speed.table(figures), as_json=as_json)


@app.command("policy", epilog="\b\nExample:\n  robot-mbrl bench policy --seconds 10 --parity-steps 10000")
def policy(
    seconds: Seconds = 10.0,
    parity_steps: Annotated[int, typer.Option(min=1, help="Random recurrent steps to compare with torch.")] = 10_000,
    as_json: Json = False,
) -> None:
    """Time of a step of an exported Dreamer of size 1M on one thread, beside torch, and how far the two are apart."""
    if importlib.util.find_spec("torch") is None:
        raise ConfigError("bench policy needs torch, which is not installed here: pip install 'robot-mbrl[train]'")
    # Imported only here: it imports torch, which other benchmarks do without.
    onnx_policy = importlib.import_module("robot_mbrl.benchmarks.onnx_policy")
    figures = onnx_policy.measure(_checked(seconds), parity_steps)
    _print(figures, onnx_policy.table(figures), as_json=as_json)


@app.command("replay", epilog="\b\nExample:\n  robot-mbrl bench replay --steps 1000000")
def replay(
    steps: Annotated[int, typer.Option(min=16, help="Steps of an arm to fill the replay with.")] = 1_000_000,
    batches: Annotated[int, typer.Option(min=1, help="Batches to sample and to write latents back to.")] = 2000,
    as_json: Json = False,
) -> None:
    """Resident memory of Dreamer's replay, filled with steps of an arm, and how fast it takes and gives them."""
    figures = replay_memory.measure(steps, batches)
    _print(figures, replay_memory.table(figures), as_json=as_json)


@app.command("doubt", epilog="\b\nExample:\n  robot-mbrl bench doubt --folder doubt --workers 4")
def doubt(
    folder: Annotated[Path, typer.Option(help="Where flights, ensemble and report are kept, and found again.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes that fly.")] = 2,
    test: Annotated[int, typer.Option(min=1, help="Nominal episodes to test the promise on.")] = 500,
    shifted: Annotated[int, typer.Option(min=1, help="Episodes of each shift.")] = 20,
    as_json: Json = False,
) -> None:
    """What the monitor's doubt is worth on an emulated arm: false stops, shifts told from nominal episodes, delays.

    Flies some thousand episodes over the emulated wire, faster than real time, which takes half an hour on two idle
    cores; what was interrupted goes on where it was. Trains the model, calibrates the thresholds, writes a report.
    """
    if importlib.util.find_spec("torch") is None:
        raise ConfigError("bench doubt needs torch, which is not installed here: pip install 'robot-mbrl[train]'")
    # Imported only here: it imports torch, which other benchmarks do without.
    campaign = importlib.import_module("robot_mbrl.benchmarks.doubt.campaign")
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("flying")

        def show(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        size = campaign.Size(test=test, shifted=shifted)
        figures = campaign.measure(folder, size, campaign.CalibrationSettings(), workers, show)
    _print(figures, campaign.table(figures), as_json=as_json)


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
