"""Figures of a flight's plans, against arms whose motion is known."""

import numpy as np
import pytest

from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.data.plan_figures import PlanFigures, plan_figures
from tests.data.flights import flight, planned


def steady(count: int) -> FrameArray:
    """`count` frames, 1 ms apart, of an arm whose third joint turns at 0.5 rad/s while the others rest."""
    frames = flight(count)
    frames["position"][:, :6] = 0.0
    frames["position"][:, 2] = 0.5 * (frames["stamp_ns"] - frames["stamp_ns"][0]) / 1e9
    return frames


def figures(frames: FrameArray) -> PlanFigures:
    found = plan_figures(planned(frames), frames)
    assert found is not None
    return found


def test_plans_are_counted_and_their_doubt_is_told() -> None:
    """1 s at a plan each 50 ms; the most doubtful of the four steps has 0.4."""
    frames = steady(1000)
    plans = planned(frames)
    plans["disagreement"][3, 1] = 0.9
    found = plan_figures(plans, frames)
    assert found is not None
    assert (found.count, found.steps) == (20, 4)
    assert found.rate == pytest.approx(20.0)
    assert (found.disagreement, found.worst_disagreement) == pytest.approx((0.4, 0.9))


def test_the_error_is_what_the_worst_joint_did_until_the_end_of_the_first_step() -> None:
    """The arm is expected to stay; 30 + 50 ms later the joint has gone 0.04 rad."""
    assert figures(steady(1000)).error == pytest.approx(0.04, abs=1e-6)


@pytest.mark.parametrize("state", [ControlState.ARMED, ControlState.HOLDING])
def test_an_arm_that_does_not_run_shows_no_error(state: ControlState) -> None:
    frames = steady(1000)
    frames["state"] = state
    assert figures(frames).error is None
    frames["state"][:40] = ControlState.RUNNING  # over before the first plan's first step is
    assert figures(frames).error is None


def test_a_cycle_that_was_not_read_is_left_out() -> None:
    frames = steady(1000)
    plans = planned(frames)
    frames["position"][::3, 1] = np.nan
    found = plan_figures(plans, frames)
    assert found is not None
    assert found.error == pytest.approx(0.04, abs=1e-6)


def test_a_flight_without_plans_has_no_figures_of_them() -> None:
    frames = steady(100)
    assert plan_figures(planned(frames)[:0], frames) is None
    single = plan_figures(planned(frames)[:1], frames)
    assert single is not None
    assert (single.count, single.rate) == (1, 0.0)
