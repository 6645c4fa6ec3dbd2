"""Whether the fast planner earns as much as PETS as published, on the same learned model: paired over episodes.

Both planners get the ensemble of one training run (`robot-mbrl train pets`), the same horizon and the same episodes.
The reference is the published algorithm with its published numbers. Only its nets are evaluated as the fast planner's
are, in bfloat16 (`NativePets`), so that 20 episodes take minutes and not hours. The figures are interquartile means
over the episodes with 95 % bootstrap intervals, of each planner's returns and of their paired differences.

    python -m robot_mbrl.benchmarks.planner_returns RUN [--episodes 20] [--processes 2] [--json]
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from robot_mbrl.contracts.clock import Clock, MonotonicClock
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.episodes import EVALUATE, PlannerActor, run_episode, seed_for
from robot_mbrl.learning.planning import require_horizon
from robot_mbrl.learning.statistics import iqm_interval
from robot_mbrl.learning.trained_run import load_run
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.fast_planner import FastPlanner, FastPlannerSettings
from robot_mbrl.policies.guide import Guide
from robot_mbrl.policies.icem import IcemSettings
from robot_mbrl.policies.pets import PetsPlanner, PetsSettings
from robot_mbrl.policies.rollouts import Rollouts, RolloutSettings
from robot_mbrl.policies.task_model import TaskModel

Name = Literal["reference", "fast"]
NAMES: tuple[Name, ...] = ("reference", "fast")

SEED = 21
"""Of the episodes, which differ from those of training by their purpose anyway; `FAST` was found with 20."""

FAST = FastPlannerSettings(
    optimizer=IcemSettings(
        iterations=4,
        cold_iterations=12,
        elites=6,
        kept=0.5,
        warm_deviation=0.08,
        colour=2.0,
        momentum=0.0,
        tail="rest",
    ),
    rollouts=RolloutSettings(threads=1, violation_weight=0.0),
)
"""What suits reach, whose actions are velocities; on one thread because episodes run side by side.

The reference knows no limits, so the fast planner is not told of them either.
"""

Announce = Callable[[str], None]
"""Gets one line that says how far it is."""


class NativePets(PetsPlanner):
    """PETS with TS∞ as published, whose particles are carried by `policies.rollouts`.

    Each particle of each candidate draws noise of its own, as published: the fast planner's economies are left out.
    """

    def __init__(
        self,
        task: TaskModel,
        ensemble: ProbabilisticEnsemble,
        settings: PetsSettings,
        generator: torch.Generator,
        clock: Clock,
    ) -> None:
        """Plan on the present weights of `ensemble`.

        Raises:
            ConfigError: TS1 is asked for, or as for `PetsPlanner`.
        """
        super().__init__(task, ensemble, settings, generator, clock)
        if settings.propagation != "TSinf":
            raise ConfigError(f"propagation = {settings.propagation}: these rollouts keep a particle's net, give TSinf")
        self._each = settings.particles // len(ensemble.elites)
        rollouts = RolloutSettings(particles_per_net=self._each, violation_weight=0.0, threads=1)
        self._rollouts = Rollouts(task, ensemble, rollouts, generator)

    def rollout(self, start: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Mean return (n,) and mean states (h + 1, n, d) of the particles, from `start` (d,) by `actions` (n, h, a)."""
        n, h = actions.shape[:2]
        shape = (h, len(self._ensemble.elites), self._each, n, self._task.outputs)
        outcome = self._rollouts(start, actions, torch.randn(shape, generator=self._generator))
        return outcome.values, outcome.states


def make_planner(
    name: Name,
    task: TaskModel,
    ensemble: ProbabilisticEnsemble,
    fast: FastPlannerSettings,
    seed: int,
    guide: Guide | None = None,
) -> FastPlanner | NativePets:
    """The planner `name`; the reference has the published numbers, the fast one's horizon, and no `guide`."""
    random, clock = torch.Generator().manual_seed(seed), MonotonicClock()
    if name == "fast":
        return FastPlanner(task, ensemble, fast, random, clock, guide)
    return NativePets(task, ensemble, PetsSettings(horizon=fast.horizon), random, clock)


def episode(run: Path, fast: FastPlannerSettings, actions_per_plan: int, index: int) -> dict[str, dict[str, float]]:
    """Return, final distance [m] and seconds a step of both planners in one episode."""
    torch.set_num_threads(1)
    trained = load_run(run)
    figures: dict[str, dict[str, float]] = {}
    for name in NAMES:
        number = seed_for(SEED, EVALUATE, index)
        planner = make_planner(name, trained.task.model, trained.ensemble, fast, number, trained.guide)
        actor = PlannerActor(planner, actions_per_plan)
        start = time.process_time()
        outcome = run_episode(trained.task, actor, number)
        figures[name] = {
            "return": outcome.total_reward,
            "distance": float("nan") if outcome.distance is None else outcome.distance,
            "processor_seconds_a_step": (time.process_time() - start) / outcome.steps,
        }
    return figures


def summary(episodes: list[dict[str, dict[str, float]]], random: np.random.Generator) -> dict[str, Any]:
    """Interquartile means and 95 % intervals of returns, distances and the paired difference of returns."""

    def column(name: Name, quantity: str) -> FloatArray:
        return np.array([[figures[name][quantity]] for figures in episodes])

    def interval(values: FloatArray) -> dict[str, float]:
        return iqm_interval(values, random)._asdict()

    told: dict[str, Any] = {"episodes": len(episodes)}
    for name in NAMES:
        told[name] = {"return": interval(column(name, "return"))}
        if np.isfinite(column(name, "distance")).all():
            told[name]["distance"] = interval(column(name, "distance"))
        told[name]["processor_seconds_a_step"] = float(np.median(column(name, "processor_seconds_a_step")))
    told["fast minus reference"] = interval(column("fast", "return") - column("reference", "return"))
    return told


def compare(
    run: Path,
    episodes: int = 20,
    actions_per_plan: int = 1,
    processes: int = 2,
    announce: Announce = lambda _: None,
    fast: FastPlannerSettings = FAST,
) -> dict[str, Any]:
    """Run both planners through `episodes` episodes, some at a time; see `summary`.

    Raises:
        ConfigError: `run` is no training run with an ensemble, or plans are shorter than what is executed of them.
    """
    require_horizon(actions_per_plan, fast)
    load_run(run)
    results = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for figures in pool.map(partial(episode, run, fast, actions_per_plan), range(episodes)):
            results.append(figures)
            announce(f"{len(results)} of {episodes} episodes")
    told = summary(results, np.random.default_rng(0))
    return {
        **told,
        "actions_per_plan": actions_per_plan,
        "fast_settings": fast.model_dump(mode="json"),
        "each": results,
    }


def table(figures: dict[str, Any]) -> str:
    """`measure`'s figures as lines of text."""
    lines = [f"{figures['episodes']} episodes, interquartile mean [95 % interval]"]
    for name in NAMES:
        row = figures[name]
        text = f"{name:22} return {_interval(row['return'])}"
        if "distance" in row:
            text += f", final distance {_interval(row['distance'])} m"
        lines.append(text + f", {row['processor_seconds_a_step'] * 1e3:.0f} ms of processor time a step")
    lines.append(f"{'fast minus reference':22} return {_interval(figures['fast minus reference'])}")
    return "\n".join(lines)


def _interval(row: dict[str, float]) -> str:
    return f"{row['estimate']:.4g} [{row['low']:.4g}, {row['high']:.4g}]"


def main() -> None:
    """Print the table or, with `--json`, the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path, help="folder of a training run")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--actions-per-plan", type=int, default=1, help="actions executed before the next plan")
    parser.add_argument("--processes", type=int, default=2, help="episodes at a time")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    figures = compare(
        arguments.run,
        arguments.episodes,
        arguments.actions_per_plan,
        arguments.processes,
        lambda text: print(text, file=sys.stderr),
    )
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
