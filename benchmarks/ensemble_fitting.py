"""What fitting an ensemble costs, and how good it gets, beside what was published: the twin's reach task.

All contestants fit the same transitions of random actions to the end, by their own early stopping, and are then tested
on transitions of other episodes. Times are of one processor thread, its own time and not the wall's, so that other
programs hardly matter.

    python -m robot_mbrl.benchmarks.ensemble_fitting [--rows 1500] [--json]
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from robot_mbrl.learning.episodes import RandomActor, Transition, run_episode
from robot_mbrl.learning.pets_training import fitting_data
from robot_mbrl.learning.tasks import LearningTask, make_learning_task
from robot_mbrl.learning.transitions import Transitions
from robot_mbrl.policies.ensemble import EnsembleSettings, ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_training import EnsembleTrainer
from robot_mbrl.policies.task_model import Float32Array

CONTESTANTS: Final[dict[str, EnsembleSettings]] = {
    "defaults": EnsembleSettings(),
    "published batch and rate": EnsembleSettings(batch_size=32, learning_rate=7.5e-4),
    "published first weights": EnsembleSettings(initial_deviation=0.5),
    "published loss": EnsembleSettings(beta=0.0),
    "all three": EnsembleSettings(batch_size=32, learning_rate=7.5e-4, initial_deviation=0.5, beta=0.0),
}
TEST_ROWS: Final = 1000
_OPERATIONS: Final = 6
"""Of a fitted row and a weight: a multiplication and an addition forwards, and twice as many backwards."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Data to fit and to test on: inputs (n, i) and targets (n, o) of each."""

    inputs: Float32Array
    targets: Float32Array
    test_inputs: Float32Array
    test_targets: Float32Array


def measure(
    rows: int, contestants: dict[str, EnsembleSettings] | None = None, announce: Callable[[str], None] | None = None
) -> dict[str, dict[str, float]]:
    """Fit each of `contestants` to `rows` transitions.

    Returns:
        By contestant: `epochs`; `seconds` of the fit and `epoch_seconds` [s]; `gflops`, 10⁹ operations a second in the
        products; `held_out_error` and `test_error`, mean squared errors in the targets' variances.
    """
    data = collect(make_learning_task("reach"), rows)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        figures = {}
        for name, settings in (contestants or CONTESTANTS).items():
            if announce is not None:
                announce(name)
            figures[name] = _fit(settings, data)
        return figures
    finally:
        torch.set_num_threads(threads)


def collect(task: LearningTask, rows: int) -> Rows:
    """Random episodes of `task`: the first `rows` transitions to fit, the next `TEST_ROWS` to test."""
    kept = Transitions(task.model.states, task.model.actions, rows + TEST_ROWS)

    def keep(step: Transition) -> None:
        if len(kept) < rows + TEST_ROWS:
            kept.add(step.state, step.action, step.next_state, step.reward)

    episode = 0
    while len(kept) < rows + TEST_ROWS:
        run_episode(task, RandomActor(task, 1.0, np.random.default_rng(episode)), episode, keep)
        episode += 1
    inputs, targets = fitting_data(task, kept)
    return Rows(inputs[:rows], targets[:rows], inputs[rows:], targets[rows:])


def _fit(settings: EnsembleSettings, data: Rows) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    ensemble = ProbabilisticEnsemble(data.inputs.shape[1], data.targets.shape[1], settings, generator)
    trainer = EnsembleTrainer(ensemble, settings, generator)
    started = time.process_time()
    report = trainer.fit(data.inputs, data.targets)
    seconds = time.process_time() - started
    mean = ensemble.predict(torch.from_numpy(data.test_inputs)).mean
    error = (torch.from_numpy(data.test_targets) - mean) / ensemble.target_deviation
    weights = sum(matrix.numel() for matrix in ensemble.weights)
    return {
        "epochs": float(report.epochs),
        "seconds": seconds,
        "epoch_seconds": seconds / report.epochs,
        "gflops": _OPERATIONS * weights * report.rows * report.epochs / seconds / 1e9,
        "held_out_error": float(np.mean(report.held_out_error)),
        "test_error": float(error.square().mean()),
    }


def table(figures: dict[str, dict[str, float]]) -> str:
    """`measure`'s figures as lines of text."""
    lines = [f"{'':26} {'epochs':>7} {'fit [s]':>8} {'epoch [s]':>10} {'GFLOP/s':>8} {'held out':>9} {'test':>7}"]
    for name, row in figures.items():
        lines.append(
            f"{name:26} {row['epochs']:7.0f} {row['seconds']:8.1f} {row['epoch_seconds']:10.3f} {row['gflops']:8.0f} "
            f"{row['held_out_error']:9.4f} {row['test_error']:7.4f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table or, with `--json`, the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1500, help="transitions to fit")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    figures: dict[str, Any] = measure(arguments.rows)
    print(json.dumps({"torch": torch.__version__, "figures": figures}, indent=2) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
