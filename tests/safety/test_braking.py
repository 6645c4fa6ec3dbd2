"""A stop as planned beside the stop as measured."""

import numpy as np
import pytest

from robot_mbrl.contracts.braking import plan_braking
from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.safety.braking import StopFigures, compare_stops, measured_stop, planned_stop

PERIOD = 0.001
NAMES = ("shoulder", "elbow")


def test_a_stop_that_follows_its_plan_measures_as_planned() -> None:
    """From 2 and -1 rad/s at 40 rad/s² and 2000 rad/s³: 2/40 + 40/2000 s = 70 ms, 70 and -35 mrad."""
    plan = plan_braking(
        np.array([0.5, 0.1]),
        np.array([2.0, -1.0]),
        np.zeros(2),
        position_limits=np.array([[-3.0, 3.0]] * 2),
        acceleration_limits=np.full(2, 40.0),
        jerk_limits=np.full(2, 2000.0),
    )
    planned = planned_stop(plan)
    assert planned.duration == pytest.approx(0.07)
    np.testing.assert_allclose(planned.distance, [0.07, -0.035])
    times = np.arange(200) * PERIOD
    position = np.array([plan.sample(time) for time in times])
    measured = measured_stop(np.rint(times * 1e9).astype(np.int64), position, np.gradient(position, PERIOD, axis=0))
    assert measured is not None
    # Under 0.05 rad/s the last √(2 · 0.05/2000) = 7 ms and 0.1 mrad are not seen.
    assert measured.duration == pytest.approx(0.063, abs=0.0015)
    np.testing.assert_allclose(measured.distance, planned.distance, atol=2e-4)
    assert compare_stops(NAMES, planned, measured).startswith("stop planned in 70 ms, measured 6")


def test_a_joint_that_swings_back_is_at_rest_only_afterwards() -> None:
    stamps = np.array([to_ns(0.01 * k) for k in range(6)])
    velocity = np.array([[1.0], [0.3], [0.01], [-0.2], [0.02], [0.0]])
    position = np.array([[0.0], [0.5], [0.6], [0.55], [0.54], [0.54]])
    figures = measured_stop(stamps, position, velocity)
    assert figures is not None
    assert figures.duration == pytest.approx(0.04)
    np.testing.assert_allclose(figures.distance, [0.54])


@pytest.mark.parametrize("last", [0.2, -0.2, np.nan])
def test_an_arm_that_still_moves_has_no_figures(last: float) -> None:
    velocity = np.array([[1.0, 0.0], [0.0, last]])
    assert measured_stop(np.array([0, 1000]), np.zeros((2, 2)), velocity) is None
    planned = StopFigures(0.1, np.zeros(2))
    assert compare_stops(NAMES, planned, None) == "stop planned in 100 ms: the arm was not seen at rest"


def test_the_line_names_the_joint_whose_ways_differ_most() -> None:
    line = compare_stops(NAMES, StopFigures(0.1, np.array([0.2, 0.1])), StopFigures(0.12, np.array([0.21, 0.13])))
    assert line == "stop planned in 100 ms, measured 120 ms; elbow: planned +0.1000 rad, measured +0.1300 rad"
