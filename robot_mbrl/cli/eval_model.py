"""What `robot-mbrl eval model` does once its libraries are there."""

import json
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from robot_mbrl.cli.terminal import console
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.episodes import EVALUATE, RandomActor, Transition, run_episode, seed_for
from robot_mbrl.learning.model_analysis import (
    HORIZONS,
    Episode,
    ModelReport,
    analyse_model,
    cut_windows,
    split_episodes,
)
from robot_mbrl.learning.model_plot import draw
from robot_mbrl.learning.run_folder import TRANSITIONS
from robot_mbrl.learning.task_identity import identity_of, require_identity
from robot_mbrl.learning.trained_run import TrainedRun, load_run
from robot_mbrl.learning.transitions import read_transitions

_STARTS: Final = 2000
"""Most starts of predictions: 50 steps of five members from these take a few seconds."""


def analyse_run(
    folder: Path,
    recorded: Path | None,
    plot: Path | None,
    *,
    episodes: int,
    random: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Analyse the model of the run in `folder` and print what came of it.

    Raises:
        ConfigError: the folder holds no trained run, or `recorded` is another task's.
    """
    torch.set_num_threads(1)  # the planner has threads of its own, and figures shall not depend on the processors
    run = load_run(folder)
    cases = _play(run, episodes, seed, random=random) if recorded is None else _read(run, recorded)
    windows = cut_windows(cases, max(HORIZONS), _STARTS, np.random.default_rng(seed))
    report = analyse_model(run.task.model, run.ensemble, read_transitions(folder / TRANSITIONS), windows)
    if plot is not None:
        draw(report, f"{run.settings.task}, {run.steps} steps of training, {len(cases)} episodes").savefig(plot)
    if as_json:
        typer.echo(json.dumps(_figures(run, report, len(cases)), indent=2))
        return
    for table in (_growth_table(report), _output_table(report)):
        console().print(table, markup=False)


def _play(run: TrainedRun, episodes: int, seed: int, *, random: bool) -> list[Episode]:
    """New episodes of the run's task."""
    found = []
    with Progress(console=Console(stderr=True), transient=True) as bar:
        for index in bar.track(range(episodes), description="playing episodes"):
            number = seed_for(seed, EVALUATE, index)
            kept: list[Transition] = []
            noise = RandomActor(run.task, run.settings.random_exponent, np.random.default_rng(number))
            run_episode(run.task, noise if random else run.actors.make(number), number, kept.append)
            states = [kept[0].state, *(transition.next_state for transition in kept)]
            found.append(Episode(np.stack(states), np.stack([transition.action for transition in kept])))
    return found


def _read(run: TrainedRun, path: Path) -> list[Episode]:
    """Episodes of the run that `path` lies in the folder of, which must be of the same task and arm."""
    transitions = read_transitions(path)
    require_identity(path.parent, identity_of(run.task))
    return split_episodes(transitions)


def _figures(run: TrainedRun, report: ModelReport, episodes: int) -> dict[str, Any]:
    return {
        "task": run.settings.task,
        "steps": run.steps,
        "episodes": episodes,
        "horizons": [
            {
                "steps": k,
                "starts": int(report.cases[k - 1]),
                "ensemble": _number(report.ensemble.rms[k - 1]),
                "ensemble_median": _number(report.ensemble.median[k - 1]),
                "persistence": _number(report.persistence.rms[k - 1]),
                "linear": _number(report.linear.rms[k - 1]),
                "disagreement": _number(report.disagreement[k - 1]),
                "rank_correlation": _number(report.rank_correlation[k - 1]),
            }
            for k in report.horizons
        ],
        "outputs": [
            {"name": name, "one_step_error": _number(error), "typical_change": _number(change)}
            for name, error, change in _outputs(report)
        ],
    }


def _growth_table(report: ModelReport) -> Table:
    table = Table(
        "steps",
        "starts",
        "ensemble",
        "its median",
        "persistence",
        "linear",
        "disagreement",
        "rank correlation",
        title="Open-loop error, RMS in typical changes of one step",
        box=SIMPLE,
    )
    for k in report.horizons:
        columns = (
            report.ensemble.rms,
            report.ensemble.median,
            report.persistence.rms,
            report.linear.rms,
            report.disagreement,
            report.rank_correlation,
        )
        table.add_row(str(k), str(int(report.cases[k - 1])), *(f"{column[k - 1]:.3f}" for column in columns))
    return table


def _output_table(report: ModelReport) -> Table:
    table = Table(
        "output", "error, RMS", "typical change", "ratio", title="One step, in each output's unit", box=SIMPLE
    )
    for name, error, change in _outputs(report):
        table.add_row(name, f"{error:.3g}", f"{change:.3g}", f"{error / change:.3f}")
    return table


def _outputs(report: ModelReport) -> list[tuple[str, float, float]]:
    columns: tuple[FloatArray, FloatArray] = (report.output_error, report.output_change)
    return list(zip(report.output_names, *(column.tolist() for column in columns), strict=True))


def _number(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return float(value) if math.isfinite(value) else None
