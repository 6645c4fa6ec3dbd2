"""Thresholds with a promise: quantiles by hand, what an episode scores, and the promised rate on synthetic episodes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import Grades
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.safety.conformal import NEVER, conformal_rank, conformal_threshold, episode_score, episodes_needed
from robot_mbrl.safety.judgement import Grader


def stamps(count: int, period: float = 0.01) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(count, dtype=np.int64) * to_ns(period)


@pytest.mark.parametrize(
    ("episodes", "alpha", "rank"),
    [(9, 0.1, 9), (10, 0.1, 10), (19, 0.05, 19), (99, 0.01, 99), (199, 0.005, 199), (199, 0.01, 198), (999, 0.01, 990)],
)
def test_the_rank_is_that_of_the_formula(episodes: int, alpha: float, rank: int) -> None:
    assert conformal_rank(episodes, alpha) == rank


@pytest.mark.parametrize(("alpha", "needed"), [(0.5, 1), (0.1, 9), (0.05, 19), (0.01, 99), (0.005, 199), (0.3, 3)])
def test_so_many_episodes_are_needed(alpha: float, needed: int) -> None:
    assert episodes_needed(alpha) == needed
    assert conformal_rank(needed, alpha) <= needed
    with pytest.raises(ConfigError, match="1 more are missing"):
        conformal_rank(needed - 1, alpha)


def test_the_threshold_is_a_score_of_the_episodes() -> None:
    scores = [0.9, 0.1, 0.5, 0.3, 0.7, 0.2, 0.4, 0.8, 0.6]
    # Ten times 0.9 is rank 9, ten times 0.7 is rank 7, of nine scores.
    assert conformal_threshold(scores, 0.1) == 0.9
    assert conformal_threshold(scores, 0.3) == 0.7


def test_too_few_episodes_say_how_many_are_missing() -> None:
    with pytest.raises(
        ConfigError, match=r"50 nominal episodes cannot promise .* 0\.01 .*: 49 more are missing, 99 are"
    ):
        conformal_threshold([1.0] * 50, 0.01)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_what_is_no_rate_is_refused(alpha: float) -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        episodes_needed(alpha)


@pytest.mark.parametrize("odd", [math.inf, math.nan, NEVER])
def test_a_threshold_that_is_not_finite_is_refused(odd: float) -> None:
    with pytest.raises(ConfigError, match="score number 9 of 9"):
        conformal_threshold([odd] * 9, 0.1)


def test_an_infinite_score_beyond_the_rank_does_no_harm() -> None:
    assert conformal_threshold([*range(1, 19), math.inf], 0.1) == 18


@pytest.mark.parametrize(
    ("persistence", "score"),
    # Ticks of 10 ms; a window of 20 ms spans three of them.
    [(0.0, 9.0), (0.01, 6.0), (0.02, 5.0), (0.03, 2.0), (0.06, 1.0), (0.07, NEVER)],
)
def test_an_episode_scores_what_it_exceeded_throughout_a_window(persistence: float, score: float) -> None:
    values = np.array([1.0, 9.0, 2.0, 5.0, 6.0, 8.0, 1.5])
    assert episode_score(stamps(7), values, persistence) == score


def test_a_tick_without_a_value_ends_a_window() -> None:
    assert episode_score(stamps(5), np.array([3.0, 3.0, math.nan, 3.0, 3.0]), 0.02) == 0.0


def test_windows_go_by_time_where_ticks_were_missed() -> None:
    assert episode_score(np.array([0, to_ns(0.05)]), np.array([4.0, 3.0]), 0.02) == 3.0


@given(
    steps=st.lists(st.integers(1, 30), min_size=1, max_size=40),
    data=st.data(),
    persistence=st.integers(0, 60),
    limit=st.integers(1, 9),
)
def test_a_check_stops_exactly_the_episodes_that_score_above_its_limit(
    steps: list[int], data: st.DataObject, persistence: int, limit: int
) -> None:
    values = data.draw(st.lists(st.integers(0, 10), min_size=len(steps), max_size=len(steps)))
    times_ns = np.cumsum(steps) * 1_000_000
    grader = Grader(Grades(stop=limit, persistence=persistence * 1e-3), 0.1)
    levels = [grader.judge(value, now_ns).level for value, now_ns in zip(values, times_ns.tolist(), strict=True)]
    score = episode_score(times_ns, np.array(values, np.float64), persistence * 1e-3)
    assert (VerdictLevel.STOP in levels) == (score > limit)


def test_the_promise_is_kept_on_exchangeable_episodes() -> None:
    """Of 4000 calibrations with n = 199 at 5 %, the next episode is stopped in 10 of 200 on average, exactly.

    The scores are continuous, so that P(s > q) = 1 - 190/200; the count is binomial, and the bounds are its quantiles
    of 1e-4 and 1 - 1e-4, computed from the exact distribution.
    """
    trials, episodes, alpha = 4000, 199, 0.05
    random = np.random.default_rng(20)
    scores = random.standard_cauchy((trials, episodes + 1)) + random.normal(size=(trials, 1))
    stopped = sum(float(row[-1]) > conformal_threshold(row[:-1].tolist(), alpha) for row in scores)
    rate = 1.0 - conformal_rank(episodes, alpha) / (episodes + 1)
    assert rate == pytest.approx(alpha)
    low, high = binomial_interval(trials, rate, 1e-4)
    assert low <= stopped <= high


def binomial_interval(trials: int, rate: float, tail: float) -> tuple[int, int]:
    """The smallest and largest counts outside of which lie at most `tail` on each side."""
    counts = range(trials + 1)
    logs = [
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(rate)
        + (trials - k) * math.log1p(-rate)
        for k in counts
    ]
    below = np.cumsum(np.exp(logs))
    return int(np.searchsorted(below, tail)), int(np.searchsorted(below, 1.0 - tail))
