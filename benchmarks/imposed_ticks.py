"""How many ticks a machine costs a loop by standing still for a while, as a virtual one does.

A tick is missed when the next one is due before it has ended: one of period T that is delayed by d and works for w
costs N(d) = max(0, ⌈(d + w)/T⌉ - 1). A stall of length s that begins during the work delays it by s; one that begins a
time u before the next tick is due delays that one by s - u. So at an unknown moment it costs, on the average,

    w/T N(s) + 1/T ∫ N(s - u) du,  u from 0 to T - w

ticks, which is averaged over what w was.
"""

from typing import Final

import numpy as np

from robot_mbrl.contracts.types import FloatArray

WORK_QUANTILES: Final = tuple(range(5, 100, 10))
"""Of the ticks' work, that stand for all of it: its highest values are made of stalls already [%]."""
_LEADS: Final = 50
"""Moments before a tick that stand for all of them."""


def imposed_ticks(stalls: FloatArray, work: FloatArray, period: float) -> float:
    """How many ticks of `period` the `stalls` (k,) cost when ticks work for as long as `work` (m,); all in one unit."""
    typical = np.percentile(work, WORK_QUANTILES, method="inverted_cdf")
    return float(np.mean([_cost(stalls, worked, period) for worked in typical]))


def _cost(stalls: FloatArray, work: float, period: float) -> float:
    pause = max(0.0, period - work)
    # A shorter stall costs nothing, whenever it begins; nearly all are shorter.
    stalls = stalls[stalls > pause]
    leads = pause * (np.arange(_LEADS) + 0.5) / _LEADS

    def cost(delay: FloatArray) -> FloatArray:
        lost: FloatArray = np.where(delay > 0.0, np.maximum(np.ceil((delay + work) / period) - 1.0, 0.0), 0.0)
        return lost

    during, before = cost(stalls), cost(stalls[:, None] - leads).mean(axis=1)
    return float((during * min(work, period) + before * pause).sum() / period)
