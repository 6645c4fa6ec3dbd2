"""The stepping benchmark compares like with like: MuJoCo alone does the very same physics."""

import numpy as np
import pytest

from robot_mbrl.benchmarks.sim_stepping import Block, contestants, measure, replay, state_of, table
from robot_mbrl.sim.tasks import make_env


@pytest.mark.parametrize("threads", [1, 2])
def test_the_replay_ends_where_the_environment_does(threads: int) -> None:
    env = make_env("reach")
    random = np.random.default_rng(0)
    starts, ends, controls = [], [], np.empty((3, 10, 6))
    for sim in range(3):
        env.reset(seed=sim)
        starts.append(state_of(env.model, env.data)[0])
        for step in range(10):
            env.step(random.uniform(-1.0, 1.0, 6))
            controls[sim, step] = env.data.ctrl
        ends.append(state_of(env.model, env.data)[0])
    replayed = replay(env.model, np.array(starts), controls, env.substeps, threads)
    np.testing.assert_array_equal(replayed.states, np.array(ends))
    assert replayed.seconds > 0.0


def test_blocks_count_every_physics_step() -> None:
    blocks = contestants(np.random.default_rng(0))
    runs: dict[str, Block] = {name: run() for name, run in blocks.items()}
    assert runs["reach"].steps == 100 * 25
    assert runs["batch of reach, 2 threads"].steps == 10 * 25 * 64
    assert runs["walker walk, our adapter"].steps == runs["walker walk, dm_control"].steps == 200 * 10


def test_measure_reports_all_contestants() -> None:
    shares: list[float] = []
    figures = measure(0.0, progress=shares.append)
    assert set(figures) == set(contestants(np.random.default_rng(0)))
    for row in figures.values():
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert row["steps_per_second"] > 0.0
    assert shares == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert all(name in table(figures) for name in figures)
