"""Returns of two planners are compared in pairs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from robot_mbrl.benchmarks.planner_returns import FAST, NativePets, compare, make_planner, summary, table
from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.pets import PetsPlanner, PetsSettings
from tests.policies.linear_problems import CERTAIN, DOUBLE_INTEGRATOR, QuadraticTask, linear_members


def episode(reference: float, fast: float, distance: float = 0.01) -> dict[str, dict[str, float]]:
    shared = {"distance": distance, "processor_seconds_a_step": 0.5}
    return {"reference": {"return": reference, **shared}, "fast": {"return": fast, **shared}}


def test_the_difference_is_taken_episode_by_episode() -> None:
    """Returns from 0 to 190 differ by 1 to 2 in each pair: the interval of the difference knows no more than that."""
    figures = summary([episode(10.0 * i, 10.0 * i + 1.0 + i % 2) for i in range(20)], np.random.default_rng(0))
    difference = figures["fast minus reference"]
    assert difference["estimate"] == pytest.approx(1.5)
    assert 1.0 <= difference["low"] <= difference["high"] <= 2.0
    assert figures["reference"]["return"]["estimate"] == pytest.approx(95.0)
    assert figures["fast"]["distance"]["estimate"] == pytest.approx(0.01)


def test_tasks_without_a_distance_have_none_in_the_figures() -> None:
    figures = summary([episode(1.0, 2.0, float("nan")) for _ in range(4)], np.random.default_rng(0))
    assert "distance" not in figures["fast"]
    assert "fast minus reference   return 1 [1, 1]" in table(figures)


def test_the_reference_has_the_published_numbers_and_the_fast_ones_horizon() -> None:
    given = QuadraticTask(states=2, actions=1), linear_members([DOUBLE_INTEGRATOR] * 5), FAST, 0
    settings = make_planner("reference", *given).settings
    assert isinstance(settings, PetsSettings)
    published = (settings.population, settings.elites, settings.iterations, settings.particles, settings.alpha)
    assert published == (400, 40, 5, 20, 0.1)
    assert settings.horizon == FAST.horizon
    assert make_planner("fast", *given).settings is FAST


SMALL = PetsSettings(horizon=4, population=8, elites=4, particles=6)


def both_planners(deviation: float, settings: PetsSettings = SMALL) -> tuple[PetsPlanner, NativePets]:
    """The reference, and the reference on fast rollouts, on two nets that differ."""
    given = (
        QuadraticTask(states=2, actions=1),
        linear_members([DOUBLE_INTEGRATOR, 3 * DOUBLE_INTEGRATOR], None, deviation),
    )
    random = torch.Generator().manual_seed(0)
    return PetsPlanner(*given, settings, random, ManualClock()), NativePets(*given, settings, random, ManualClock())


@torch.no_grad()
def test_the_references_returns_and_states_are_those_of_pets() -> None:
    """Nets that are certain leave nothing to chance; bfloat16 keeps 8 bits of a weight."""
    actions = torch.randn(7, 4, 1, generator=torch.Generator().manual_seed(1))
    start = torch.tensor([0.5, -0.2])
    (exact, states), (found, found_states) = (planner.rollout(start, actions) for planner in both_planners(CERTAIN))
    assert found.tolist() == pytest.approx(exact.tolist(), rel=0.01)
    assert torch.allclose(found_states, states, atol=0.01)


@torch.no_grad()
def test_each_of_the_references_candidates_draws_noise_of_its_own() -> None:
    """Equal candidates earn differently; those of the fast planner meet the same noise."""
    _, planner = both_planners(0.3)
    returns, _ = planner.rollout(torch.zeros(2), torch.zeros(5, 4, 1))
    assert len(set(returns.tolist())) == 5


def test_a_reference_that_changes_its_particles_nets_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^propagation = TS1: .* give TSinf$"):
        both_planners(0.1, SMALL.model_copy(update={"propagation": "TS1"}))


def test_more_actions_of_a_plan_than_it_has_are_refused_before_anything_is_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^30 actions of a plan of {FAST.horizon}: give a longer horizon$"):
        compare(tmp_path, actions_per_plan=30)
