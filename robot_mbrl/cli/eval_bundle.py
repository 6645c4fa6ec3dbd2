"""What `robot-mbrl eval bundle` does. It needs no library for training."""

import json
from pathlib import Path

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from robot_mbrl.runtime.bundle_trial import Place, Trial, check_trial, try_bundle


def evaluate_bundle(folder: Path, place: Place, episodes: int, seed: int, arm: str, *, as_json: bool) -> None:
    """Try the bundle in `folder` and print what came of it.

    Raises:
        ConfigError: see `check_trial`.
    """
    check_trial(folder, arm)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task("trying", total=episodes)
        trials = try_bundle(folder, place, episodes, seed, arm, lambda: bar.advance(row))
    if as_json:
        rows = [{"distance": trial.distance, "success": trial.success, "stopped": trial.stopped} for trial in trials]
        typer.echo(json.dumps({"folder": str(folder), "on": place, "seed": seed, "episodes": rows}, indent=2))
        return
    for line in report(trials, folder, place):
        typer.echo(line)


def report(trials: list[Trial], folder: Path, place: Place) -> list[str]:
    """What came of `trials`, in a few lines."""
    distances = 1000.0 * np.array([trial.distance for trial in trials])
    reached = sum(trial.success for trial in trials)
    stops = [trial.stopped for trial in trials if trial.stopped is not None]
    lines = [
        f"{folder} on the {place}: {reached} of {len(trials)} episodes reached the goal ({reached / len(trials):.0%}), "
        f"final distance {np.median(distances):.1f} mm median, {distances.mean():.1f} mm mean"
    ]
    return [*lines, f"{len(stops)} stopped, the first one: {stops[0]}"] if stops else lines
