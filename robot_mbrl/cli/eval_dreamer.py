"""What `robot-mbrl eval dreamer` does once its libraries are there."""

import json
from pathlib import Path

import torch
import typer

from robot_mbrl.cli.terminal import console
from robot_mbrl.learning.dreamer_learner import DreamerLearner
from robot_mbrl.learning.dreamer_run import DreamerFolder
from robot_mbrl.learning.dreamer_training import run_environments
from robot_mbrl.learning.sequence_evaluation import Evaluated, evaluate
from robot_mbrl.learning.task_identity import require_identity


def evaluate_run(folder: Path, episodes: int, seed: int, threads: int, *, newest: bool, as_json: bool) -> None:
    """Evaluate the run in `folder` and print what came of it.

    Raises:
        ConfigError: the folder holds no run that has learned anything yet, or one of another arm or task than it names.
    """
    torch.set_num_threads(threads)
    run = DreamerFolder(folder)
    settings, weights = run.settings(), run.learner(newest=newest)
    require_identity(folder, settings.identity)
    learner = DreamerLearner.from_file(weights)
    environments = run_environments(settings, episodes, threads)
    evaluated = evaluate(environments, learner, seed, kept=1, kept_rows=1)
    environments.close()
    if as_json:
        typer.echo(json.dumps({"task": settings.task, "weights": str(weights), **figures(evaluated)}, indent=2))
    else:
        console().print(f"{folder}, {settings.task}, {weights.name}: {describe(evaluated)}", markup=False)


def figures(evaluated: Evaluated) -> dict[str, object]:
    """All episodes, and their means."""
    return {
        "episodes": len(evaluated.ends),
        "mean_return": evaluated.mean_return,
        "distance": evaluated.distance,
        "success": evaluated.success,
        "returns": [end.returned for end in evaluated.ends],
    }


def describe(evaluated: Evaluated) -> str:
    """The means in one line."""
    told = f"{len(evaluated.ends)} episodes, mean return {evaluated.mean_return:.1f}"
    if evaluated.distance is not None:
        told += f", final distance {evaluated.distance * 1000.0:.1f} mm"
    return told if evaluated.success is None else f"{told}, success {evaluated.success:.0%}"
