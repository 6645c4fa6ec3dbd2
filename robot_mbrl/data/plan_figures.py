"""What came of a flight's plans: how often they were made, how doubtful they were, how well they foretold the arm."""

from dataclasses import dataclass

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.data.frame_codec import FrameArray, PlanArray


@dataclass(frozen=True, slots=True)
class PlanFigures:
    """Figures of one flight's plans.

    Attributes:
        count: of the plans.
        rate: median, from one plan to the next [Hz]; 0 for a single one.
        steps: of the longest.
        disagreement: median over the plans of their most doubtful step's.
        worst_disagreement: of all steps.
        error: median over the plans of how far the worst joint was from where it was expected after the first step
            [rad]; None where the arm was not running then.
    """

    count: int
    rate: float
    steps: int
    disagreement: float
    worst_disagreement: float
    error: float | None


def plan_figures(plans: PlanArray, frames: FrameArray) -> PlanFigures | None:
    """The figures of `plans` (p,), made while `frames` (k,) were; None without plans."""
    if not len(plans):
        return None
    periods = np.diff(plans["stamp_ns"]) / NANOSECONDS
    doubts = np.nan_to_num(plans["disagreement"], nan=0.0, posinf=np.inf).max(axis=1)
    return PlanFigures(
        count=len(plans),
        rate=float(1.0 / np.median(periods)) if len(periods) and np.median(periods) > 0.0 else 0.0,
        steps=int(plans["steps"].max()),
        disagreement=float(np.median(doubts)),
        worst_disagreement=float(doubts.max()),
        error=_first_step_error(plans, frames),
    )


def _first_step_error(plans: PlanArray, frames: FrameArray) -> float | None:
    joints = int(plans["joints"][0])
    seen = (frames["state"] == ControlState.RUNNING) & np.isfinite(frames["position"][:, :joints]).all(axis=1)
    stamps, positions = frames["stamp_ns"][seen], frames["position"][seen, :joints]
    if len(stamps) < 2:
        return None
    ends = plans["begins_ns"] + plans["period_ns"]
    after = np.clip(np.searchsorted(stamps, ends), 1, len(stamps) - 1)
    # Only where the arm was running all the time around then; otherwise it did something else.
    watched = (stamps[after - 1] <= ends) & (ends <= stamps[after])
    watched &= stamps[after] - stamps[after - 1] <= plans["period_ns"]
    if not watched.any():
        return None
    measured = np.stack([np.interp(ends[watched], stamps, of_joint) for of_joint in positions.T], axis=1)
    return float(np.median(np.abs(measured - plans["predicted_position"][watched, 0, :joints]).max(axis=1)))
