"""Scores of few runs, reported honestly: interquartile mean and stratified bootstrap interval.

Agarwal et al. 2021, Deep Reinforcement Learning at the Edge of the Statistical Precipice (arXiv:2108.13264), section 4.
Shapes: r runs (seeds), t tasks.
"""

from typing import NamedTuple

import numpy as np

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray

TRIMMED = 0.25
"""Share of the scores that the interquartile mean leaves out at either end."""


class Interval(NamedTuple):
    """An estimate and its bootstrap interval."""

    estimate: float
    low: float
    high: float


def interquartile_mean(scores: FloatArray) -> FloatArray:
    """Mean of the middle half of the scores over the last two axes together, (..., r, t) -> (...).

    Of n scores, the `floor(n / 4)` lowest and as many of the highest are left out.
    """
    pooled = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = int(TRIMMED * pooled.shape[-1])
    middle: FloatArray = pooled[..., cut : pooled.shape[-1] - cut].mean(axis=-1)
    return middle


def iqm_interval(
    scores: FloatArray, random: np.random.Generator, resamples: int = 10_000, confidence: float = 0.95
) -> Interval:
    """Interquartile mean of `scores` (r, t) with a percentile interval; runs are redrawn within each task.

    Raises:
        ConfigError: no scores, or one that is not finite.
    """
    if scores.ndim != 2 or scores.size == 0 or not np.isfinite(scores).all():
        raise ConfigError(f"scores of shape {scores.shape}: give finite ones, a row for each run, a column for a task")
    runs, tasks = scores.shape
    drawn = random.integers(runs, size=(resamples, runs, tasks))
    estimates = interquartile_mean(np.take_along_axis(scores[None], drawn, axis=1))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(estimates, (tail, 1.0 - tail))
    return Interval(float(interquartile_mean(scores)), float(low), float(high))
