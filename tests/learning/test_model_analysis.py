"""Model analysis on systems whose errors can be worked out by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.model_analysis import (
    Episode,
    analyse_model,
    cut_windows,
    fit_linear,
    rank_correlation,
    split_episodes,
)
from robot_mbrl.learning.model_plot import draw
from robot_mbrl.learning.transitions import Transitions
from tests.policies.linear_problems import DOUBLE_INTEGRATOR, QuadraticTask, drifting_members, linear_members


def roll(matrix: FloatArray, steps: int, states: int, seed: int) -> Episode:
    """An episode of s' = s + (s, u) M with random actions of one variable."""
    random = np.random.default_rng(seed)
    actions = random.uniform(-1.0, 1.0, (steps, 1))
    path = [random.standard_normal(states)]
    for action in actions:
        path.append(path[-1] + np.concatenate((path[-1], action)) @ matrix)
    return Episode(np.array(path, np.float32), actions.astype(np.float32))


def transitions(*episodes: Episode) -> Transitions:
    states = episodes[0].states.shape[1]
    kept = Transitions(states, 1, sum(len(episode.actions) for episode in episodes))
    for episode in episodes:
        for state, action, after in zip(episode.states, episode.actions, episode.states[1:], strict=False):
            kept.add(state, action, after, 0.0)
    return kept


def ramp(steps: int, slope: float, start: float = 0.0) -> Episode:
    """One state variable that grows by `slope` a step, with actions that mean nothing."""
    states = start + slope * np.arange(steps + 1, dtype=np.float32)[:, None]
    return Episode(states.astype(np.float32), np.random.default_rng(1).random((steps, 1)).astype(np.float32))


def test_errors_of_drifting_members_by_hand() -> None:
    """Members drift by 0.75 and 1.75 a step where the truth is 1: after k steps they are off by -0.25 k and 0.75 k.

    So their mean is off by 0.25 k and their deviation is 0.5 k; nothing changing is off by k; with typical changes of
    4, all by a quarter of that. A linear model of the same ramp is exact.
    """
    ensemble = drifting_members(0.75, 1.75)
    ensemble.target_deviation.fill_(4.0)
    episode = ramp(60, slope=1.0)
    windows = cut_windows([episode], 50, 1000, np.random.default_rng(0))
    report = analyse_model(QuadraticTask(1, 1), ensemble, transitions(episode), windows)
    steps = np.arange(1, 51)
    assert report.horizons == (1, 5, 10, 20, 50)
    np.testing.assert_allclose(report.ensemble.rms, 0.25 * steps / 4.0, rtol=1e-4)
    np.testing.assert_allclose(report.ensemble.median, 0.25 * steps / 4.0, rtol=1e-4)
    np.testing.assert_allclose(report.disagreement, 0.5 * steps / 4.0, rtol=1e-4)
    np.testing.assert_allclose(report.persistence.rms, steps / 4.0, rtol=1e-6)
    assert report.linear.rms.max() < 1e-3
    np.testing.assert_allclose(report.output_error, [0.25], rtol=1e-5)
    np.testing.assert_allclose(report.output_change, [4.0])
    np.testing.assert_allclose(report.cases, 61 - steps)


def test_an_exact_model_and_the_linear_baseline_have_no_error() -> None:
    episodes = [roll(DOUBLE_INTEGRATOR, 30, 2, seed) for seed in range(3)]
    ensemble = linear_members([DOUBLE_INTEGRATOR] * 3)
    windows = cut_windows(episodes, 20, 1000, np.random.default_rng(0))
    report = analyse_model(QuadraticTask(2, 1), ensemble, transitions(*episodes), windows)
    assert report.horizons == (1, 5, 10, 20)
    assert max(report.ensemble.rms.max(), report.linear.rms.max(), report.disagreement.max()) < 1e-4
    assert report.persistence.rms[-1] > 1.0


def test_disagreement_where_the_error_is_has_rank_correlation_one() -> None:
    """Truth s' = s; members s' = s ± 0.1 s + 0.1 s: error 0.1 |s| and disagreement 0.1 |s| are in one order."""
    matrix = np.array([[1.0], [0.0]])
    ensemble = linear_members([0.0 * matrix, 0.2 * matrix])
    episodes = [Episode(np.full((2, 1), place, np.float32), np.zeros((1, 1), np.float32)) for place in (3.0, 0.5, -2.0)]
    fitted = transitions(roll(matrix, 10, 1, 0))
    windows = cut_windows(episodes, 50, 1000, np.random.default_rng(0))
    report = analyse_model(QuadraticTask(1, 1), ensemble, fitted, windows)
    assert report.horizons == (1,)
    assert report.rank_correlation.tolist() == pytest.approx([1.0])
    np.testing.assert_allclose(report.one_step[:, 0], report.one_step[:, 1], rtol=1e-5)


def test_predictions_that_are_not_finite_are_infinitely_wrong() -> None:
    explosive = np.array([[1e20], [0.0]])
    episode = ramp(5, slope=1.0, start=1.0)
    windows = cut_windows([episode], 5, 1, np.random.default_rng(0))
    report = analyse_model(QuadraticTask(1, 1), linear_members([explosive] * 2), transitions(episode), windows)
    assert math.isinf(report.ensemble.rms[-1])
    assert np.isfinite(report.persistence.rms).all()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((1.0, 2.0, 3.0, 4.0), (10.0, 30.0, 20.0, 40.0), 0.8),
        ((1.0, 2.0, 3.0), (9.0, 4.0, 1.0), -1.0),
        ((1.0, 1.0, 2.0), (1.0, 2.0, 3.0), math.sqrt(3.0) / 2.0),
    ],
)
def test_rank_correlation_by_hand(first: tuple[float, ...], second: tuple[float, ...], expected: float) -> None:
    """1 - 6 Σ d² / (n (n² - 1)) = 1 - 12 / 60; reversed; and tied ranks (½, ½, 2), of covariance 1.5 and norm √3."""
    assert rank_correlation(np.array(first), np.array(second)) == pytest.approx(expected)


def test_rank_correlation_of_equal_numbers_is_unknown() -> None:
    assert math.isnan(rank_correlation(np.ones(3), np.arange(3.0)))


def test_linear_fit_finds_slope_and_offset() -> None:
    x = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    y = (x @ np.array([[2.0], [-3.0]]) + 0.5).astype(np.float32)
    torch.testing.assert_close(fit_linear(x, y)(torch.tensor([[1.0, 1.0]])), torch.tensor([[-0.5]]))


def test_episodes_are_told_apart_by_their_states() -> None:
    recorded = transitions(ramp(4, 1.0), ramp(1, 1.0, start=50.0), ramp(3, 2.0, start=9.0))
    found = split_episodes(recorded)
    assert [len(episode.actions) for episode in found] == [4, 1, 3]
    assert found[2].states[:, 0].tolist() == [9.0, 11.0, 13.0, 15.0]


def test_windows_end_with_their_episode() -> None:
    windows = cut_windows([ramp(3, 1.0)], 2, 1000, np.random.default_rng(0))
    assert windows.lengths.tolist() == [2, 2, 1]
    assert windows.states[..., 0].tolist() == [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 3.0]]


def test_what_does_not_fit_is_refused() -> None:
    task, random = QuadraticTask(1, 1), np.random.default_rng(0)
    episode = ramp(5, 1.0)
    windows = cut_windows([episode], 5, 10, random)
    with pytest.raises(ConfigError, match="0 episodes without a step"):
        cut_windows([], 5, 10, random)
    with pytest.raises(ConfigError, match="not finite"):
        cut_windows([Episode(episode.states * np.float32(np.nan), episode.actions)], 5, 10, random)
    with pytest.raises(ConfigError, match="3 inputs and 2 outputs for a task with 2 and 1"):
        analyse_model(task, linear_members([DOUBLE_INTEGRATOR]), transitions(episode), windows)
    with pytest.raises(ConfigError, match="fitted transitions of 2 states and 1 actions"):
        analyse_model(task, drifting_members(1.0), transitions(roll(DOUBLE_INTEGRATOR, 3, 2, 0)), windows)


def test_the_picture_shows_every_predictor(tmp_path: Path) -> None:
    episode = ramp(60, slope=1.0)
    windows = cut_windows([episode], 50, 100, np.random.default_rng(0))
    report = analyse_model(QuadraticTask(1, 1), drifting_members(0.5, 1.0), transitions(episode), windows)
    figure = draw(report, "a ramp")
    growth = figure.axes[0]
    labels = {line.get_label(): line for line in growth.get_lines()}
    np.testing.assert_allclose(np.asarray(labels["persistence"].get_ydata(), np.float64), report.persistence.rms)
    np.testing.assert_allclose(np.asarray(labels["ensemble"].get_ydata(), np.float64), report.ensemble.rms)
    path = tmp_path / "model.png"
    figure.savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")
