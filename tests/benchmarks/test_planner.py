"""The planner benchmark counts what it says it counts."""

import itertools

import pytest
import torch

from robot_mbrl.benchmarks.crosscheck.environments import requirements
from robot_mbrl.benchmarks.planner import PEER, fast_planner, fast_settings, plan_figures, stopwatch, take_turns
from robot_mbrl.benchmarks.planner_sizes import MBRL_SIZES, SWEEP_BASE, SWEEPS, FlatTask, Sizes
from robot_mbrl.policies.icem import IcemSettings, population
from robot_mbrl.policies.rollouts import Outcome, Rollouts

TINY = Sizes(states=3, actions=2, population=8, horizon=4, particles=4, iterations=2, elites=2, members=2, width=16)


def test_mbrl_libs_sizes_are_the_published_ones() -> None:
    """500 x 20 x 15 x 5 and 400 x 20 x 25 x 5 evaluations a plan."""
    assert MBRL_SIZES["cartpole"].evaluations == 750_000
    assert MBRL_SIZES["7-DoF arm"].evaluations == 1_000_000


def test_an_evaluations_operations_are_those_of_its_products() -> None:
    """2 (5 x 16 + 3 x 16 x 16 + 16 x 6)."""
    assert TINY.operations == 2 * (80 + 768 + 96)


def test_speeds_follow_from_the_median_time() -> None:
    figures = plan_figures([(0.5, 0.9), (0.25, 0.4), (9.0, 9.0)], evaluations=1000, operations=2_000_000)
    assert figures == {
        "seconds": 0.5,
        "processor_seconds": 0.9,
        "plans_per_second": 2.0,
        "evaluations_per_second": 2000.0,
        "gflop_per_second": 4.0,
    }


def test_contestants_take_turns_and_warm_up_first() -> None:
    ticks = itertools.count()
    order: list[str] = []

    def run(name: str) -> tuple[float, float]:
        order.append(name)
        return float(next(ticks)), 0.0

    times = take_turns({"a": lambda: run("a"), "b": lambda: run("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert times == {"a": [(2.0, 0.0), (4.0, 0.0)], "b": [(3.0, 0.0), (5.0, 0.0)]}


def test_the_fast_planner_without_decay_evaluates_as_often_as_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0
    original = Rollouts.__call__

    def count(self: Rollouts, start: torch.Tensor, actions: torch.Tensor, noise: torch.Tensor) -> Outcome:
        nonlocal counted
        counted += actions.shape[0] * actions.shape[1] * noise.shape[2] * TINY.members
        return original(self, start, actions, noise)

    monkeypatch.setattr(Rollouts, "__call__", count)
    planner = fast_planner(FlatTask(TINY), TINY.ensemble, fast_settings(TINY, 1, decays=False))
    wall, cpu = stopwatch(planner, TINY.states)()
    assert counted == TINY.evaluations == 8 * 4 * 4 * 2
    assert wall > 0.0
    assert cpu >= 0.0


def test_with_decay_the_population_is_the_planners_own() -> None:
    optimizer = fast_settings(TINY, 1, decays=True).optimizer
    assert isinstance(optimizer, IcemSettings)
    assert [population(optimizer, i) for i in range(2)] == [8, 6]


def test_the_flat_task_is_its_own_inverse() -> None:
    task = FlatTask(TINY)
    state, action, output = torch.randn(2, 3), torch.randn(2, 2), torch.randn(2, 3)
    after = task.next_state(state, action, output)
    assert torch.allclose(task.targets(state, action, after), output, atol=1e-6)
    assert task.model_inputs(state, action).shape == (2, task.inputs)
    assert task.reward(state, action, torch.ones(2, 3)).tolist() == pytest.approx(
        (-3.0 - 0.1 * action.square().sum(dim=-1)).tolist()
    )


@pytest.mark.parametrize("name", SWEEPS)
def test_sweeps_go_through_the_base(name: str) -> None:
    assert getattr(SWEEP_BASE, name) in SWEEPS[name]


def test_the_peer_is_pinned() -> None:
    wanted = requirements(PEER).split()
    assert "mbrl==0.2.0" in wanted
    assert all("==" in word for word in wanted)
