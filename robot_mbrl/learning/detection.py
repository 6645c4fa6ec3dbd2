"""How well a score tells shifted episodes from nominal ones: ROC, the area under it, and when a limit stops."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.types import FloatArray


def auroc(shifted: Sequence[float], nominal: Sequence[float]) -> float:
    """P(s > s') + P(s = s') / 2 of a shifted episode's score s and a nominal one's s': the area under the ROC curve.

    The Mann-Whitney statistic over the product of both counts; 0.5 is guessing. NaN when either is empty.
    """
    if not len(shifted) or not len(nominal):
        return float("nan")
    ordered = np.sort(np.asarray(nominal, np.float64))
    below = np.searchsorted(ordered, shifted, side="left") + np.searchsorted(ordered, shifted, side="right")
    return float(below.mean() / (2.0 * len(ordered)))


def roc_curve(shifted: Sequence[float], nominal: Sequence[float]) -> tuple[FloatArray, FloatArray]:
    """Rates of false and of true stops, each from 0 to 1, as the limit falls through all scores."""
    limits = np.concatenate([[np.inf], np.unique([*shifted, *nominal])[::-1], [-np.inf]])
    rates = [
        1.0 - np.searchsorted(np.sort(np.asarray(scores, np.float64)), limits, side="right") / max(len(scores), 1)
        for scores in (nominal, shifted)
    ]
    # No score is above infinity, and all are above minus infinity: NaN-free scores are the callers' affair.
    rates[0][-1] = rates[1][-1] = 1.0
    return rates[0], rates[1]


def first_stop_ns(stamps_ns: NDArray[np.int64], values: FloatArray, limit: float, persistence: float) -> int | None:
    """When a check with this limit and persistence [s] would have stopped an episode [ns]; None if never.

    Args:
        stamps_ns: (k,) when each value was judged [ns].
        values: (k,); NaN is none.
        limit: of the check.
        persistence: how long it must be exceeded without a break [s].
    """
    exceeded = np.where(np.isnan(values), 0.0, values) > limit
    window_ns = to_ns(persistence)
    begins = exceeded & ~np.append(False, exceeded[:-1])
    since = stamps_ns[np.maximum.accumulate(np.where(begins, np.arange(len(exceeded)), 0))]
    stops = np.flatnonzero(exceeded & (stamps_ns - since >= window_ns))
    return int(stamps_ns[stops[0]]) if len(stops) else None


def wilson_interval(count: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a rate, 95 % at z = 1.96 (Wilson 1927)."""
    if trials == 0:
        return 0.0, 1.0
    rate, square = count / trials, z * z
    centre = (rate + square / (2 * trials)) / (1 + square / trials)
    half = z / (1 + square / trials) * float(np.sqrt(rate * (1 - rate) / trials + square / (4 * trials**2)))
    return max(0.0, centre - half), min(1.0, centre + half)
