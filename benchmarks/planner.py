"""How fast plans are made: ours beside mbrl-lib at its own sizes, and ours against the sizes that matter.

Contestants take turns plan by plan, so that a change in the machine's load meets all of them, and medians are reported;
ratios are medians over the turns. A model evaluation is one forward pass of one net for one particle in one step. The
nets are untrained, which costs the same. Each plan is timed twice: on the clock, and in processor seconds of its
process, of which a loaded machine disturbs less.

    python -m robot_mbrl.benchmarks.planner [--rounds 10] [--threads 2] [--json]
"""

import argparse
import json
import statistics
import sys
import sysconfig
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robot_mbrl.benchmarks.crosscheck import environments
from robot_mbrl.benchmarks.crosscheck.peer_process import PeerProcess
from robot_mbrl.benchmarks.planner_returns import FAST
from robot_mbrl.benchmarks.planner_sizes import BLOCKS, MBRL_SIZES, SWEEP_BASE, SWEEPS, FlatTask, Sizes
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.learning.task_models_arm import arm_model
from robot_mbrl.policies.ensemble import EnsembleSettings, ProbabilisticEnsemble
from robot_mbrl.policies.fast_planner import FastPlanner, FastPlannerSettings
from robot_mbrl.policies.icem import IcemSettings, population
from robot_mbrl.policies.native_kernel import KERNEL
from robot_mbrl.policies.native_library import native_instructions
from robot_mbrl.policies.packed_ensemble import best_kernel
from robot_mbrl.policies.pets import PetsPlanner, PetsSettings
from robot_mbrl.policies.rollouts import RolloutSettings
from robot_mbrl.policies.task_model import Planner, TaskModel
from robot_mbrl.sim.tasks import make_task

PEER = "mbrl-lib"
SILENCE = 600.0
"""Longest time that the peer may take for one plan [s]."""

PENALTY = 0.1
"""Epistemic weight of the row that has one."""

REPETITIONS = 5
"""Products that a ceiling is the best of."""
CEILING_SIZE = 2048

Announce = Callable[[str], None]
"""Gets one line that says what begins."""

Stopwatch = Callable[[], tuple[float, float]]
"""Makes one plan and gives its time on the clock and its processor time [s]."""


def fast_settings(sizes: Sizes, threads: int, *, decays: bool) -> FastPlannerSettings:
    """Settings of the fast planner for `sizes`; without decay it evaluates as often as plain CEM."""
    optimizer = IcemSettings(
        population=sizes.population,
        iterations=sizes.iterations,
        elites=sizes.elites,
        decay=1.25 if decays else 1.0,
        kept=0.3 if decays else 0.0,
    )
    rollouts = RolloutSettings(
        particles_per_net=sizes.particles // sizes.members, threads=threads, violation_weight=0.0
    )
    return FastPlannerSettings(horizon=sizes.horizon, optimizer=optimizer, rollouts=rollouts)


def fast_planner(task: TaskModel, ensemble: EnsembleSettings, settings: FastPlannerSettings) -> FastPlanner:
    """A fast planner on untrained nets."""
    random = torch.Generator().manual_seed(0)
    return FastPlanner(task, untrained(task, ensemble), settings, random, MonotonicClock())


def untrained(task: TaskModel, settings: EnsembleSettings) -> ProbabilisticEnsemble:
    """Nets whose predictions are small, so that nothing overflows in a long plan."""
    ensemble = ProbabilisticEnsemble(task.inputs, task.outputs, settings, torch.Generator().manual_seed(0))
    ensemble.output_deviation.fill_(0.01)
    return ensemble


def stopwatch(planner: Planner, states: int, threads: int = 1) -> Stopwatch:
    """Times one plan of `planner` at a time, from a state of zeros, while torch has `threads` for each operation.

    The fast planner has threads of its own, which torch's would only be in the way of.
    """
    state = np.zeros(states, np.float32)

    def run() -> tuple[float, float]:
        torch.set_num_threads(threads)
        wall, cpu = time.perf_counter(), time.process_time()
        planner.plan(state)
        return time.perf_counter() - wall, time.process_time() - cpu

    return run


def prepare_peer(root: Path) -> None:
    """Make the peer's environment under `root`, with this program's torch: both are to run the same one.

    Raises:
        subprocess.CalledProcessError: the peer cannot be installed.
    """
    environments.prepare(PEER, root)
    base = str(root.absolute() / PEER)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": base, "platbase": base}))
    # Python looks at path files after the environment's own packages, so those that are pinned there win.
    (site / "torch_of_robot_mbrl.pth").write_text(str(Path(torch.__file__).parents[1]) + "\n", encoding="utf-8")


def _peer_stopwatch(peer: PeerProcess) -> Stopwatch:
    def run() -> tuple[float, float]:
        wall, cpu = peer.call("plan")
        return wall, cpu

    return run


def take_turns(contestants: dict[str, Stopwatch], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Times of `rounds` plans of each contestant, after one that warms up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for turn in range(rounds + 1):
        for name, run in contestants.items():
            measured = run()
            if turn > 0:
                times[name].append(measured)
    return times


def plan_figures(times: list[tuple[float, float]], evaluations: int, operations: int) -> dict[str, float]:
    """Medians of some plans' times [s], and the speeds that follow from them."""
    wall = statistics.median(wall for wall, _ in times)
    cpu = statistics.median(cpu for _, cpu in times)
    return {
        "seconds": wall,
        "processor_seconds": cpu,
        "plans_per_second": 1.0 / wall,
        "evaluations_per_second": evaluations / wall,
        "gflop_per_second": evaluations * operations / wall / 1e9,
    }


def _against_peer(sizes: Sizes, rounds: int, threads: int, root: Path) -> dict[str, Any]:
    task = FlatTask(sizes)
    published = PetsSettings(
        horizon=sizes.horizon,
        population=sizes.population,
        elites=sizes.elites,
        iterations=sizes.iterations,
        particles=sizes.particles,
        least_variance=0.0,
    )
    random = torch.Generator().manual_seed(0)
    reference = PetsPlanner(task, untrained(task, sizes.ensemble), published, random, MonotonicClock())
    fast = fast_planner(task, sizes.ensemble, fast_settings(sizes, threads, decays=False))
    with ExitStack() as stack:
        peer = stack.enter_context(PeerProcess(environments.interpreter(PEER, root), "mbrl_peer", SILENCE))
        peer.call("open", sizes=asdict(sizes), threads=threads)
        contestants = {
            PEER: _peer_stopwatch(peer),
            "ours, reference": stopwatch(reference, sizes.states, threads),
            "ours, fast": stopwatch(fast, sizes.states),
        }
        times = take_turns(contestants, rounds)
    figures: dict[str, Any] = {
        name: plan_figures(of_one, sizes.evaluations, sizes.operations) for name, of_one in times.items()
    }
    for name in contestants:
        pairs = list(zip(times[PEER], times[name], strict=True))
        figures[name]["times_the_peer"] = statistics.median(theirs[0] / ours[0] for theirs, ours in pairs)
        figures[name]["times_the_peer_by_processor_time"] = statistics.median(a[1] / b[1] for a, b in pairs)
    return {"sizes": asdict(sizes), "evaluations": sizes.evaluations, "planners": figures}


def _robot(rounds: int, threads: int, penalty: float = 0.0) -> dict[str, Any]:
    """The fast planner as it is on an SO-101: the reach task, with the arm's kinematics and limits.

    Its settings are those whose returns are compared with the reference's, with the limits watched in addition and a
    `penalty` for what the nets disagree about.
    """
    task = arm_model(make_task("reach"))
    rollouts = RolloutSettings(threads=threads, epistemic_weight=penalty)
    settings = FAST.model_copy(update={"rollouts": rollouts})
    ensemble = EnsembleSettings()
    times = take_turns({"fast": stopwatch(fast_planner(task, ensemble, settings), task.states)}, 5 * rounds)["fast"]
    optimizer = settings.optimizer
    assert isinstance(optimizer, IcemSettings)
    # Kept elites are evaluated too.
    candidates = sum(population(optimizer, i) for i in range(optimizer.iterations))
    candidates += optimizer.iterations * int(optimizer.kept * optimizer.elites)
    particles = settings.rollouts.particles_per_net * ensemble.members
    sizes = Sizes(task.outputs, task.inputs - task.outputs, 1, 1)
    figures = plan_figures(times, candidates * particles * settings.horizon, sizes.operations)
    slowest = float(np.quantile([wall for wall, _ in times], 0.99))
    return {"settings": settings.model_dump(mode="json"), "seconds_p99": slowest, **figures}


def _sweep(rounds: int, threads: int) -> dict[str, dict[str, dict[str, float]]]:
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for name, values in SWEEPS.items():
        planners, cases = {}, {}
        for value in values:
            sizes = replace(SWEEP_BASE, **{name: value})
            sizes = replace(sizes, particles=sizes.members)
            cases[str(value)] = sizes
            planner = fast_planner(FlatTask(sizes), sizes.ensemble, fast_settings(sizes, threads, decays=False))
            planners[str(value)] = stopwatch(planner, sizes.states)
        figures[name] = {
            value: plan_figures(times, cases[value].evaluations, cases[value].operations)
            for value, times in take_turns(planners, rounds).items()
        }
    return figures


def _blocks(rounds: int, threads: int) -> dict[str, dict[str, float]]:
    """How large a block should be: the 7-DoF arm's plan with different numbers of rows."""
    sizes = MBRL_SIZES["7-DoF arm"]
    planners = {}
    for rows in BLOCKS:
        settings = fast_settings(sizes, threads, decays=False)
        rollouts = settings.rollouts.model_copy(update={"rows": rows})
        planner = fast_planner(FlatTask(sizes), sizes.ensemble, settings.model_copy(update={"rollouts": rollouts}))
        planners[str(rows)] = stopwatch(planner, sizes.states)
    times = take_turns(planners, rounds)
    return {rows: plan_figures(of_one, sizes.evaluations, sizes.operations) for rows, of_one in times.items()}


def matmul_ceiling(dtype: torch.dtype) -> float:
    """Speed of torch's product of two square matrices, the best of some [GFLOP/s]."""
    a = torch.randn(CEILING_SIZE, CEILING_SIZE).to(dtype)
    best = 0.0
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        torch.mm(a, a)
        best = max(best, 2.0 * CEILING_SIZE**3 / (time.perf_counter() - start) / 1e9)
    return best


def measure(
    rounds: int = 10,
    threads: int = 2,
    root: Path = environments.DEFAULT_ROOT,
    announce: Announce = lambda _: None,
) -> dict[str, Any]:
    """Measure everything; makes the peer's environment under `root` where it is missing.

    Args:
        rounds: plans of each contestant.
        threads: processors that each planner may use.
        root: folder of the peer's environment.
        announce: told what begins.

    Raises:
        subprocess.CalledProcessError: the peer cannot be installed.
        PeerFailure: the peer failed.
    """
    if not environments.is_ready(PEER, root):
        announce(f"installing {PEER} into {root / PEER}")
    prepare_peer(root)
    torch.set_num_threads(threads)
    announce("products of matrices")
    figures: dict[str, Any] = {
        "threads": threads,
        "kernel": _kernel(),
        "matmul_gflop_per_second": {
            "float32": matmul_ceiling(torch.float32),
            "bfloat16": matmul_ceiling(torch.bfloat16),
        },
    }
    figures["against_the_peer"] = {}
    for name, sizes in MBRL_SIZES.items():
        announce(f"{name}: {rounds} plans each by {PEER} and ours")
        figures["against_the_peer"][name] = _against_peer(sizes, rounds, threads, root)
    announce("so101: the fast planner on the reach task")
    figures["so101"] = {"fast": _robot(rounds, threads), "with penalty": _robot(rounds, threads, PENALTY)}
    announce("sizes: " + ", ".join(SWEEPS))
    figures["sweeps"] = _sweep(rounds, threads)
    announce("rows of a block")
    figures["sweeps"]["rows of a block"] = _blocks(rounds, threads)
    return figures


def _kernel() -> str:
    """What the fast planner multiplies with."""
    kernel = best_kernel(untrained(FlatTask(SWEEP_BASE), SWEEP_BASE.ensemble))
    return f"native ({native_instructions(KERNEL)})" if kernel == "native" else kernel


def table(figures: dict[str, Any]) -> str:
    """`measure`'s figures as lines of text."""
    ceiling = figures["matmul_gflop_per_second"]
    lines = [
        f"{figures['threads']} threads, kernel {figures['kernel']}; products of matrices reach "
        f"{ceiling['float32']:.0f} GFLOP/s in float32, {ceiling['bfloat16']:.0f} in bfloat16",
        f"{'':28} {'ms a plan':>10} {'plans/s':>8} {'evaluations/s':>14} {'GFLOP/s':>8} {'x mbrl-lib':>11}",
    ]
    for size, case in figures["against_the_peer"].items():
        lines += [
            _row(f"{size}: {name}", row) + f" {row['times_the_peer']:11.2f}" for name, row in case["planners"].items()
        ]
    lines += [
        _row(f"so101 reach: {name}", row) + f"   99 % in {row['seconds_p99'] * 1e3:.1f} ms"
        for name, row in figures["so101"].items()
    ]
    for name, rows in figures["sweeps"].items():
        lines += [_row(f"{name} {value}", row) for value, row in rows.items()]
    return "\n".join(lines)


def _row(name: str, row: dict[str, float]) -> str:
    return (
        f"{name:28} {row['seconds'] * 1e3:10.1f} {row['plans_per_second']:8.1f} "
        f"{row['evaluations_per_second']:14,.0f} {row['gflop_per_second']:8.0f}"
    )


def main() -> None:
    """Print the table or, with `--json`, the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=10, help="plans of each contestant")
    parser.add_argument("--threads", type=int, default=2, help="processors that each planner may use")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--environments", type=Path, default=environments.DEFAULT_ROOT, help="the peer's environment")
    arguments = parser.parse_args()
    figures = measure(
        arguments.rounds,
        arguments.threads,
        arguments.environments,
        lambda text: print(text, file=sys.stderr),
    )
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
