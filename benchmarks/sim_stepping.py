"""How much of MuJoCo's own speed is left in our environments, and in dm_control's.

A block takes an environment through some steps with random actions, and then lets MuJoCo alone replay them: the same
model from the same states with the same controls, `mj_step` after `mj_step` in C, as many loops side by side as the
contestant has threads. The ratio of the two times is the share of raw speed. Blocks of all contestants take turns, so
that a change in the machine's load meets all of them, and the median over blocks is reported.

    python -m robot_mbrl.benchmarks.sim_stepping [--seconds 60] [--json]
"""

import argparse
import importlib
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import mujoco
import mujoco.batch
import numpy as np

from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.sim.batch import BatchTaskEnv
from robot_mbrl.sim.dm_control_adapter import SuiteEnv, make_suite_env
from robot_mbrl.sim.tasks import TaskEnv, make_env, make_task

SUITE_TASKS = (("cartpole", "swingup"), ("cheetah", "run"), ("reacher", "easy"), ("walker", "walk"))
NSIM = 64
"""Simulations of a batch."""

LEAST_ROUNDS = 3

_STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)


@dataclass(frozen=True, slots=True)
class Block:
    """One contestant's time and raw MuJoCo's for the same physics steps.

    Attributes:
        seconds: the contestant took, all its threads in parallel [s].
        raw_seconds: MuJoCo alone took, on as many threads [s].
        steps: physics steps, of all simulations.
    """

    seconds: float
    raw_seconds: float
    steps: int


RunBlock = Callable[[], Block]
"""Runs one block of a contestant."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What MuJoCo alone did.

    Attributes:
        seconds: it took [s].
        states: (k, nstate) where each simulation ended.
    """

    seconds: float
    states: FloatArray


def replay(model: mujoco.MjModel, states: FloatArray, controls: FloatArray, substeps: int, threads: int = 1) -> Replay:
    """Let MuJoCo alone run simulations.

    Args:
        model: of all simulations.
        states: (k, nstate) where each simulation starts.
        controls: (k, steps, nu) what each is given.
        substeps: `mj_step` calls for each control.
        threads: loops that run side by side, each on its share of the simulations.
    """
    held = np.repeat(controls, substeps, axis=1)
    loops = [mujoco.batch.Batch(model, 1, 1) for _ in range(threads)]
    ends = np.empty_like(states)

    def loop(batch: mujoco.batch.Batch, share: slice) -> None:
        for state, control, end in zip(states[share], held[share], ends[share], strict=True):
            batch.state[0] = state
            batch.rollout(len(control), control[None], record=())
            end[:] = batch.state[0]

    start = time.perf_counter()
    if threads == 1:
        loop(loops[0], slice(None))
        return Replay(time.perf_counter() - start, ends)
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(loop, batch, slice(index, None, threads)) for index, batch in enumerate(loops)]:
            done.result()
    return Replay(time.perf_counter() - start, ends)


def state_of(model: mujoco.MjModel, data: mujoco.MjData) -> FloatArray:
    """(1, nstate) MuJoCo's state, as `replay` takes it."""
    state = np.zeros((1, mujoco.mj_stateSize(model, _STATE)))
    mujoco.mj_getState(model, data, state[0], _STATE)
    return state


def task_block(env: TaskEnv, steps: int, random: np.random.Generator) -> Block:
    """A block of one of our gymnasium tasks."""
    actions = random.uniform(-1.0, 1.0, (steps, env.model.nu))
    env.reset()
    state, targets = state_of(env.model, env.data), env.data.ctrl.copy()
    controls = np.empty((1, steps, len(targets)))
    for index, action in enumerate(actions):
        controls[0, index] = targets = env.task.next_targets(targets, action)
    start = time.perf_counter()
    for action in actions:
        env.step(action)
    seconds = time.perf_counter() - start
    return Block(seconds, replay(env.model, state, controls, env.substeps).seconds, steps * env.substeps)


def batch_block(env: BatchTaskEnv, threads: int, steps: int, random: np.random.Generator) -> Block:
    """A block of a batch: whole `step` calls, with observations and rewards."""
    actions = random.uniform(-1.0, 1.0, (steps, env.nsim, env.model.nu))
    env.reset()
    states, targets = env.states(), env.targets()
    controls = np.empty((env.nsim, steps, targets.shape[1]))
    for index, action in enumerate(actions):
        controls[:, index] = targets = env.task.next_targets(targets, action)
    start = time.perf_counter()
    for action in actions:
        env.step(action)
    seconds = time.perf_counter() - start
    raw = replay(env.model, states, controls, env.substeps, threads).seconds
    return Block(seconds, raw, steps * env.substeps * env.nsim)


def suite_block(env: SuiteEnv, steps: int, random: np.random.Generator) -> Block:
    """A block of one of dm_control's tasks in our adapter."""
    model, data = env.physics.model.ptr, env.physics.data.ptr
    actions = random.uniform(-1.0, 1.0, (steps, model.nu))
    env.reset()
    state = state_of(model, data)
    start = time.perf_counter()
    for action in actions:
        env.step(action)
    seconds = time.perf_counter() - start
    return Block(seconds, replay(model, state, actions[None], env.substeps).seconds, steps * env.substeps)


def dm_control_block(env: Any, steps: int, random: np.random.Generator) -> Block:
    """A block of one of dm_control's tasks in its own environment."""
    model, data = env.physics.model.ptr, env.physics.data.ptr
    actions = random.uniform(-1.0, 1.0, (steps, model.nu))
    env.reset()
    state = state_of(model, data)
    substeps = round(env.control_timestep() / env.physics.timestep())
    start = time.perf_counter()
    for action in actions:
        env.step(action)
    seconds = time.perf_counter() - start
    return Block(seconds, replay(model, state, actions[None], substeps).seconds, steps * substeps)


def contestants(random: np.random.Generator) -> dict[str, RunBlock]:
    """All contestants by name; a block of each takes some hundredths of a second."""
    reach, push = make_env("reach"), make_env("push")
    batches = {n: BatchTaskEnv(make_task("reach"), NSIM, random, nthread=n) for n in (1, 2)}
    blocks: dict[str, RunBlock] = {
        "reach": partial(task_block, reach, 100, random),
        "push": partial(task_block, push, 100, random),
        "batch of reach, 1 thread": partial(batch_block, batches[1], 1, 10, random),
        "batch of reach, 2 threads": partial(batch_block, batches[2], 2, 10, random),
    }
    for domain, task in SUITE_TASKS:
        ours = make_suite_env(domain, task)
        theirs = importlib.import_module("dm_control.suite").load(domain, task)
        blocks[f"{domain} {task}, our adapter"] = partial(suite_block, ours, 200, random)
        blocks[f"{domain} {task}, dm_control"] = partial(dm_control_block, theirs, 200, random)
    return blocks


def measure(
    seconds: float, seed: int = 0, progress: Callable[[float], None] | None = None
) -> dict[str, dict[str, float]]:
    """Run blocks of all contestants in turn for about `seconds` [s], at least `LEAST_ROUNDS` of each.

    Args:
        seconds: how long [s].
        seed: of actions and episodes.
        progress: called after each round with the share that is done, 0..1.

    Returns:
        By contestant: `ratio`, the median share of raw speed, `ratio_low` and `ratio_high`, its quartiles,
        `steps_per_second` and `raw_steps_per_second`, of physics.

    Raises:
        ConfigError: dm_control is not installed.
    """
    blocks = contestants(np.random.default_rng(seed))
    runs: dict[str, list[Block]] = {name: [] for name in blocks}
    for run in blocks.values():
        run()
    start, rounds = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or rounds < LEAST_ROUNDS:
        for name, run in blocks.items():
            runs[name].append(run())
        rounds += 1
        if progress is not None:
            elapsed = time.perf_counter() - start
            progress(min(1.0, rounds / LEAST_ROUNDS, elapsed / max(seconds, 1e-9)))
    return {name: _figures(of_one) for name, of_one in runs.items()}


def _figures(blocks: list[Block]) -> dict[str, float]:
    ratios = [block.raw_seconds / block.seconds for block in blocks]
    low, median, high = np.percentile(ratios, [25, 50, 75]).tolist()
    return {
        "ratio": median,
        "ratio_low": low,
        "ratio_high": high,
        "steps_per_second": float(np.median([block.steps / block.seconds for block in blocks])),
        "raw_steps_per_second": float(np.median([block.steps / block.raw_seconds for block in blocks])),
    }


def table(figures: dict[str, dict[str, float]]) -> str:
    """`measure`'s figures as lines of text."""
    lines = [f"{'':30} {'share of raw':>12} {'quartiles':>13} {'steps/s':>10} {'raw steps/s':>12}"]
    for name, row in figures.items():
        quartiles = f"{row['ratio_low']:.2f} .. {row['ratio_high']:.2f}"
        speeds = f"{row['steps_per_second']:10,.0f} {row['raw_steps_per_second']:12,.0f}"
        lines.append(f"{name:30} {row['ratio']:12.2f} {quartiles:>13} {speeds}")
    return "\n".join(lines)


def main() -> None:
    """Print the table or, with `--json`, the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to measure")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.seconds)
    if arguments.json:
        print(json.dumps({"processors": os.cpu_count(), "mujoco": mujoco.__version__, "figures": figures}, indent=2))
    else:
        print(table(figures))


if __name__ == "__main__":
    main()
