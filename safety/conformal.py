"""Split-conformal thresholds: how high a score may rise before an arm stops, from nominal episodes.

With s_1 .. s_n the scores of n nominal episodes, drawn alike and independently of each other (exchangeable is enough)
and kept apart from what the model was trained on,

    threshold    q = s_(k),  the k-th smallest,  k = ⌈(n + 1)(1 - alpha)⌉
    guarantee    P(s_(n+1) > q) ≤ alpha          for the next nominal episode

whatever the distribution of the scores (Vovk, Gammerman, Shafer 2005; Lei et al. 2018, theorem 2.2). There is such a
k only when n ≥ 1/alpha - 1: with fewer episodes nothing can be promised, and nothing is.

The score of an episode is the highest threshold that would have stopped it: the largest value that was exceeded
throughout a persistence window (`judgement.Grader` starts such a window at the first value above its limit).
"""

import math
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray

NEVER: Final = -math.inf
"""Score of an episode that is shorter than the persistence window: no threshold would have stopped it."""


def episode_score(stamps_ns: NDArray[np.int64], values: FloatArray, persistence: float) -> float:
    """The largest value that an episode exceeded without a break for `persistence` [s], at its ticks.

        max over i of  min { values_j : j from the last tick at or before stamp_i - persistence up to i }

    A check with that persistence stops the episode exactly when its limit is below this score.

    Args:
        stamps_ns: (k,) when each value was judged [ns], rising.
        values: (k,); NaN is a tick without a value, which the checks of the monitor take for 0.
        persistence: [s], 0 for the plain maximum.
    """
    window_ns = to_ns(persistence)
    judged = np.where(np.isnan(values), 0.0, values).tolist()
    begins = (np.searchsorted(stamps_ns, stamps_ns - window_ns, side="right") - 1).tolist()
    score = NEVER
    rising: deque[int] = deque()
    for index, (begin, value) in enumerate(zip(begins, judged, strict=True)):
        while rising and judged[rising[-1]] >= value:
            rising.pop()
        rising.append(index)
        while rising[0] < begin:
            rising.popleft()
        if begin >= 0:
            score = max(score, judged[rising[0]])
    return score


def episodes_needed(alpha: float) -> int:
    """The fewest nominal episodes that a false-stop rate of `alpha` an episode can be promised from: ⌈1/alpha - 1⌉.

    Raises:
        ConfigError: `alpha` is no rate between 0 and 1.
    """
    return math.ceil(1 / _exact(alpha) - 1)


def conformal_rank(episodes: int, alpha: float) -> int:
    """Which of the sorted scores is the threshold, counted from 1: ⌈(n + 1)(1 - alpha)⌉.

    Raises:
        ConfigError: too few episodes, or `alpha` is no rate between 0 and 1.
    """
    needed = episodes_needed(alpha)
    if episodes < needed:
        raise ConfigError(
            f"{episodes} nominal episodes cannot promise a false-stop rate of {alpha:g} an episode: "
            f"{needed - episodes} more are missing, {needed} are needed, or allow a rate of {1 / (episodes + 1):.3g}"
        )
    return math.ceil((episodes + 1) * (1 - _exact(alpha)))


def conformal_threshold(scores: Sequence[float], alpha: float) -> float:
    """The threshold that the next nominal episode's score exceeds with a probability of at most `alpha`.

    Args:
        scores: one of each nominal episode.
        alpha: promised false-stop rate an episode, 0..1 without the ends.

    Raises:
        ConfigError: too few episodes, or the threshold would not be a finite number.
    """
    rank = conformal_rank(len(scores), alpha)
    threshold = sorted(scores)[rank - 1] if not any(map(math.isnan, scores)) else math.nan
    if not math.isfinite(threshold):
        raise ConfigError(
            f"score number {rank} of {len(scores)} nominal episodes is {threshold}: leave out episodes shorter than "
            "the persistence, and train the model on all that nominal episodes do"
        )
    return threshold


def _exact(alpha: float) -> Fraction:
    """`alpha` as the decimal number that it is written as, so that (99 + 1)(1 - 0.01) is 99 and not a little more."""
    if not 0.0 < alpha < 1.0:
        raise ConfigError(f"false-stop rate {alpha}: give a number between 0 and 1")
    return Fraction(repr(float(alpha)))
