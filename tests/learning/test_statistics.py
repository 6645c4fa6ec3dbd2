"""Interquartile mean and its bootstrap interval."""

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.statistics import interquartile_mean, iqm_interval


def test_the_middle_half_is_averaged() -> None:
    # Eight scores: the two lowest and the two highest do not count.
    scores = np.array([[100.0, 3.0], [-50.0, 4.0], [5.0, 6.0], [0.0, 1000.0]])
    assert interquartile_mean(scores) == (3.0 + 4.0 + 5.0 + 6.0) / 4.0


def test_of_five_runs_one_is_left_out_at_either_end() -> None:
    assert interquartile_mean(np.array([[1.0], [2.0], [3.0], [4.0], [90.0]])) == 3.0


def test_the_interval_of_equal_runs_is_a_point() -> None:
    assert iqm_interval(np.full((5, 2), 7.0), np.random.default_rng(0)) == (7.0, 7.0, 7.0)


def test_runs_are_redrawn_within_their_task() -> None:
    # With tasks mixed, a resample could consist of the second task alone and reach 11; within tasks the middle half
    # of one low and one high score a run lies between the two.
    scores = np.array([[0.0, 10.0], [1.0, 11.0]])
    interval = iqm_interval(scores, np.random.default_rng(0))
    assert interval.estimate == 5.5
    assert 5.0 <= interval.low <= interval.estimate <= interval.high <= 6.0


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    draws = random.normal(0.0, 1.0, (200, 20, 1))
    covered = [low <= 0.0 <= high for _, low, high in (iqm_interval(draw, random, resamples=400) for draw in draws)]
    # A percentile bootstrap of 20 runs covers somewhat less than 95 %; three deviations of 200 draws are 5 %.
    assert 0.85 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize("scores", [np.zeros((0, 1)), np.zeros(3), np.array([[np.nan]])])
def test_what_cannot_be_summed_up_is_refused(scores: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="scores of shape"):
        iqm_interval(scores, np.random.default_rng(0))
