"""Returns of two planners are compared in pairs."""

import numpy as np
import pytest

from robot_mbrl.benchmarks.planner_returns import FAST, planner_settings, summary, table
from robot_mbrl.policies.pets import PetsSettings


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
    settings = planner_settings("reference", FAST)
    assert isinstance(settings, PetsSettings)
    published = (settings.population, settings.elites, settings.iterations, settings.particles, settings.alpha)
    assert published == (400, 40, 5, 20, 0.1)
    assert settings.horizon == FAST.horizon
    assert planner_settings("fast", FAST) is FAST
