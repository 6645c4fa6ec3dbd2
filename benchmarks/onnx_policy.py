"""What a step of an exported Dreamer costs on one thread, beside the same step in torch, and how far the two are apart.

The Dreamer is of size 1M, for reach on the SO-101; its weights are random, its actions as large as trained ones. Both
run in one process by turns, `BURST` steps each, and half of the time goes to steps at the pace of a deployment, between
which caches forget and the processor dozes. `policy` is all of `OnnxPolicy.act`: it builds the observation from an
arm's state, forward kinematics included, and turns the answer into joint goals.

    python -m robot_mbrl.benchmarks.onnx_policy [--seconds 10] [--parity-steps 10000] [--json]
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from robot_mbrl.contracts.clock import Clock, MonotonicClock, Ticker
from robot_mbrl.learning.bundle_export import describe_policy
from robot_mbrl.learning.dreamer_export import DreamerStep, dreamer_states, export_dreamer
from robot_mbrl.learning.dreamer_learner import dreamer_spaces
from robot_mbrl.learning.onnx_export import largest_difference
from robot_mbrl.learning.vector_env import make_vector_env
from robot_mbrl.policies.bundle import read_bundle, write_bundle
from robot_mbrl.policies.bundle_manifest import POLICY
from robot_mbrl.policies.dreamer_model import DreamerModel
from robot_mbrl.policies.dreamer_settings import dreamer_settings
from robot_mbrl.policies.onnx_policy import OnnxPolicy
from robot_mbrl.policies.onnx_step import OnnxStep
from robot_mbrl.runtime.policy_process import joint_space
from robot_mbrl.runtime.real_time import RealTime, RealTimeSettings
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from robot_mbrl.sim.tasks import CONTROL_PERIOD, Task, make_task

SIZE: Final = "1M"
EXPORTED: Final = "onnxruntime, step"
EAGER: Final = "torch eager, step"
BURST: Final = 500
"""So many that the first steps of a burst, whose weights the other runtime drove out of the caches, stay below one in a
hundred; the row at a deployment's pace tells what cold caches cost."""
PACED: Final = "onnxruntime, step, 20 a second"
BOUND: Final = 150e-6
"""Wanted: 99 of 100 steps in onnxruntime are shorter [s]."""
_ACTOR_SCALE: Final = 300.0
"""By which the actor's last layer is enlarged: it starts so small that all actions would be close to zero."""
_WARM_UP: Final = 1
"""Bursts that are not counted."""


def lively_model(task: Task, seed: int, size: str = SIZE) -> DreamerModel:
    """A Dreamer with random weights for `task`, whose actions use their range."""
    generator = torch.Generator().manual_seed(seed)
    spaces = dreamer_spaces(make_vector_env(task.name, 1).spaces)
    model = DreamerModel(spaces, dreamer_settings(size), generator)
    with torch.no_grad():
        model.behaviour.actor.output.weight.mul_(_ACTOR_SCALE)
    return model.eval()


def measure(seconds: float, parity_steps: int, seed: int = 0) -> dict[str, Any]:
    """Export, compare over `parity_steps` random recurrent steps, and time for about `seconds` [s].

    Returns:
        `difference`, the largest one of a number that is told or remembered, and `drift`, the same when either
        runtime goes on from its own memory; `bytes` of the file; and under `times` by row `p50`, `p99` and `max`
        of a step [µs].
    """
    task = make_task("reach")
    model = lively_model(task, seed)
    settings = DeploySettings(
        robot=TwinSettings(), goal=(0.2, 0.0, 0.1), loop=LoopSettings(policy_rate=1.0 / CONTROL_PERIOD)
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "bundle"
            description = describe_policy(task, dreamer_states(model), learner="dreamer", training={}, data="none")
            write_bundle(folder, description, {POLICY: export_dreamer(model)})
            bundle = read_bundle(folder)
        step = OnnxStep(bundle)
        torchs = DreamerStep(model)
        difference, drift = (
            largest_difference(torchs, step, parity_steps, np.random.default_rng(seed), free=free)
            for free in (False, True)
        )
        policy = OnnxPolicy(bundle, joint_space(task.arm, settings, MonotonicClock()))
        random = np.random.default_rng(seed)
        kinds = {
            EXPORTED: _onnx_step(step, random),
            "onnxruntime, policy": _whole_policy(policy, task, random),
            EAGER: _torch_step(model, random),
        }
        with RealTime(RealTimeSettings()) as real_time:
            times = _by_turns(kinds, seconds / 2.0)
            times[PACED] = _paced(kinds[EXPORTED], seconds / 2.0, real_time.clock())
    finally:
        torch.set_num_threads(threads)
    rows = {name: _figures(row) for name, row in times.items()}
    figures = {"difference": difference, "drift": drift, "parity_steps": parity_steps, "bytes": len(bundle.policy)}
    return {**figures, "times": rows}


def _onnx_step(step: OnnxStep, random: np.random.Generator) -> Callable[[], object]:
    rows = cycle(random.standard_normal((BURST, step.observation.size), np.float32))

    def once() -> None:
        step.observation[:] = next(rows)
        step.step()

    return once


def _whole_policy(policy: OnnxPolicy, task: Task, random: np.random.Generator) -> Callable[[], object]:
    low, high = task.position_limits.T
    still, goal = np.zeros(len(low)), np.array([0.2, 0.0, 0.1])
    rows = cycle(
        {"position": position, "velocity": still, "commanded": position, "goal": goal}
        for position in random.uniform(low, high, (BURST, len(low)))
    )
    return lambda: policy.act(next(rows))


def _torch_step(model: DreamerModel, random: np.random.Generator) -> Callable[[], object]:
    step, first = DreamerStep(model), torch.zeros(1)
    rows = cycle(torch.from_numpy(random.standard_normal((BURST, 1, model.spaces.vector), np.float32)))
    states = [torch.zeros(state.shape) for state in dreamer_states(model)]

    def once() -> None:
        with torch.inference_mode():
            states[:] = step(next(rows), first, *states)[3:]

    return once


def _by_turns(kinds: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, list[int]]:
    """Times of each kind's steps [ns], bursts taking turns until `seconds` [s] have passed."""
    times: dict[str, list[int]] = {name: [] for name in kinds}
    clock = time.perf_counter_ns
    begun_ns, bursts = clock(), 0
    while bursts <= _WARM_UP or clock() - begun_ns < seconds * 1e9:
        for name, once in kinds.items():
            for _ in range(BURST):
                start_ns = clock()
                once()
                elapsed_ns = clock() - start_ns
                if bursts >= _WARM_UP:
                    times[name].append(elapsed_ns)
        bursts += 1
    return times


def _paced(once: Callable[[], object], seconds: float, clock: Clock) -> list[int]:
    """Times of steps [ns] that are taken one by one, a control period apart, for `seconds` [s]."""
    times: list[int] = []
    ticker = Ticker(CONTROL_PERIOD, clock)
    for _ in range(max(1, round(seconds / CONTROL_PERIOD))):
        ticker.wait()
        start_ns = time.perf_counter_ns()
        once()
        times.append(time.perf_counter_ns() - start_ns)
    return times


def _figures(nanoseconds: list[int]) -> dict[str, float]:
    microseconds = np.array(nanoseconds) / 1e3
    median, high = np.percentile(microseconds, [50, 99]).tolist()
    return {"p50": median, "p99": high, "max": float(microseconds.max())}


def table(figures: Mapping[str, Any]) -> str:
    """`measure`'s figures as lines of text."""
    times = figures["times"]
    lines = [f"{'µs a step, Dreamer ' + SIZE + ', 1 thread':32} {'p50':>8} {'p99':>8} {'max':>8}"]
    lines += [f"{name:32} {row['p50']:8.1f} {row['p99']:8.1f} {row['max']:8.1f}" for name, row in times.items()]
    exported, eager = times[EXPORTED], times[EAGER]
    ratios = " and ".join(f"{eager[name] / exported[name]:.1f} ({name})" for name in ("p50", "p99"))
    kept = exported["p99"] <= BOUND * 1e6
    return "\n".join(
        [
            *lines,
            f"torch eager takes {ratios} times as long as onnxruntime",
            f"p99 in onnxruntime is {'within' if kept else 'ABOVE'} {BOUND * 1e6:.0f} µs",
            f"largest difference of a number in {figures['parity_steps']} random recurrent steps: "
            f"{figures['difference']:.2g}, {figures['drift']:.2g} when either goes on from its own memory for episodes "
            f"of 100 steps on average; {figures['bytes'] / 1e6:.2f} MB",
        ]
    )


def main() -> None:
    """Print the table or, with `--json`, the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to measure")
    parser.add_argument("--parity-steps", type=int, default=10_000, help="random recurrent steps to compare")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.seconds, arguments.parity_steps)
    if arguments.json:
        print(json.dumps({"processors": os.cpu_count(), "figures": figures}, indent=2))
    else:
        print(table(figures))


if __name__ == "__main__":
    main()
