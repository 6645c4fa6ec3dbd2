"""What `robot-mbrl eval run` does once its libraries are there."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from robot_mbrl.cli.terminal import console
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.episodes import ScriptedActors
from robot_mbrl.learning.evaluation import Judged, Summary, evaluate, summarize
from robot_mbrl.learning.statistics import Interval
from robot_mbrl.learning.trained_run import TrainedRun, load_run


def evaluate_runs(
    folders: Sequence[Path], episodes: int, seed: int, threads: int, *, recorded: bool, scripted: bool, as_json: bool
) -> None:
    """Evaluate the runs in `folders` on the same episodes, or take those they recorded, and print what came of it.

    Raises:
        ConfigError: a folder holds no trained run, or one that has recorded no evaluation; or the hand-written
            controller is wanted for a task that has none, or on episodes that are not run.
    """
    if recorded and scripted:
        raise ConfigError("--recorded with --scripted: episodes that a run recorded are not played, leave one out")
    torch.set_num_threads(threads)
    runs = {folder: load_run(folder) for folder in folders}
    by_hand = {run.settings.task: ScriptedActors(run.task) for run in runs.values()} if scripted else {}
    outcomes: dict[Path, Sequence[Judged]] = {}
    yardsticks: dict[str, Sequence[Judged]] = {}
    if recorded:
        outcomes = {folder: _recorded(folder, run) for folder, run in runs.items()}
    else:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            row = bar.add_task("evaluating", total=(len(runs) + len(by_hand)) * episodes)
            for folder, run in runs.items():
                outcomes[folder] = evaluate(run.task, run.actors, seed, episodes, lambda _: bar.advance(row))
            for task, actors in by_hand.items():
                yardsticks[task] = evaluate(actors.task, actors, seed, episodes, lambda _: bar.advance(row))
    summaries = _summaries(runs, outcomes, seed)
    if as_json:
        typer.echo(json.dumps(_figures(runs, outcomes, summaries, yardsticks), indent=2))
    else:
        console().print(_table(runs, outcomes, summaries, yardsticks), markup=False)


def _recorded(folder: Path, run: TrainedRun) -> Sequence[Judged]:
    if not run.recorded:
        raise ConfigError(f"{folder}: has recorded no evaluation yet: evaluate it without --recorded")
    return run.recorded


def _summaries(
    runs: dict[Path, TrainedRun], outcomes: Mapping[Path, Sequence[Judged]], seed: int
) -> dict[str, Summary]:
    """Of each task, over its runs."""
    by_task: dict[str, list[Sequence[Judged]]] = {}
    for folder, run in runs.items():
        by_task.setdefault(run.settings.task, []).append(outcomes[folder])
    return {task: summarize(group, np.random.default_rng(seed)) for task, group in by_task.items()}


def _figures(
    runs: dict[Path, TrainedRun],
    outcomes: Mapping[Path, Sequence[Judged]],
    summaries: dict[str, Summary],
    yardsticks: Mapping[str, Sequence[Judged]],
) -> dict[str, Any]:
    return {
        "runs": {
            str(folder): {
                "task": run.settings.task,
                "seed": run.settings.seed,
                "steps": run.steps,
                **_episodes(outcomes[folder]),
            }
            for folder, run in runs.items()
        },
        "scripted": {task: _episodes(outcomes) for task, outcomes in yardsticks.items()},
        "tasks": {
            task: {
                "runs": summary.runs,
                "episodes": summary.episodes,
                "return": summary.total_reward._asdict(),
                "distance": None if summary.distance is None else summary.distance._asdict(),
                "success": None if summary.success is None else summary.success._asdict(),
            }
            for task, summary in summaries.items()
        },
    }


def _episodes(outcomes: Sequence[Judged]) -> dict[str, Any]:
    return {
        "returns": [outcome.total_reward for outcome in outcomes],
        "distances": [outcome.distance for outcome in outcomes],
        "successes": [outcome.success for outcome in outcomes],
    }


def _table(
    runs: dict[Path, TrainedRun],
    outcomes: Mapping[Path, Sequence[Judged]],
    summaries: dict[str, Summary],
    yardsticks: Mapping[str, Sequence[Judged]],
) -> Table:
    names = (Column("run", overflow="fold"), Column("task", overflow="fold"))
    table = Table(*names, "steps", "return", "final distance [mm]", "success [%]", box=SIMPLE)
    for folder, run in runs.items():
        table.add_row(str(folder), run.settings.task, str(run.steps), *_means(outcomes[folder]))
    for task, by_hand in yardsticks.items():
        table.add_row("scripted", task, "", *_means(by_hand))
    for task, summary in summaries.items():
        cells = (_range(summary.total_reward), _range(summary.distance, 1000.0), _range(summary.success, 100.0))
        table.add_row(f"IQM of {summary.runs}", task, "", *cells)
    return table


def _means(outcomes: Sequence[Judged]) -> tuple[str, str, str]:
    summary = summarize([outcomes], np.random.default_rng(0))
    return _number(summary.total_reward), _number(summary.distance, 1000.0), _number(summary.success, 100.0)


def _number(interval: Interval | None, unit: float = 1.0) -> str:
    return "" if interval is None else f"{interval.estimate * unit:.1f}"


def _range(interval: Interval | None, unit: float = 1.0) -> str:
    if interval is None:
        return ""
    return f"{interval.estimate * unit:.1f} ({interval.low * unit:.1f} to {interval.high * unit:.1f})"
