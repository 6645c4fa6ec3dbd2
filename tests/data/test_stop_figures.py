"""A stop as planned beside the stop as measured."""

import numpy as np
import pytest

from robot_mbrl.contracts.braking import BrakingPlan, plan_braking
from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.data.stop_figures import (
    StopFigures,
    compare_stops,
    longest_stop,
    measured_stop,
    observed_stop,
    planned_stop,
)
from tests.data.flights import flight, header

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
    planned = StopFigures(plan.duration, plan.distance)
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


def braking_flight(index: int, *, by_verdict: bool) -> tuple[FrameArray, BrakingPlan]:
    """Joints that turn at 0.2 to 1.2 rad/s until a stop shows at frame `index`, and then follow their plan."""
    frames = flight(400)
    speeds = np.linspace(0.2, 1.2, 6)
    times = np.arange(400)[:, None] * PERIOD
    path = -0.3 + times * speeds
    first = index - 1 if by_verdict else index
    limits = header().monitor.joints
    plan = plan_braking(
        path[first - 1],
        speeds,
        np.zeros(6),
        position_limits=np.array([joint.position for joint in limits]),
        acceleration_limits=np.array([joint.acceleration for joint in limits]),
        jerk_limits=np.array([joint.jerk for joint in limits]),
    )
    path[first:] = [plan.sample((k + 1) * PERIOD) for k in range(400 - first)]
    frames["executed_position"][:, :6] = path
    frames["position"][:, :6] = path
    frames["velocity"][:, :6] = np.gradient(path, PERIOD, axis=0)
    frames["state"][index:] = ControlState.STOPPED
    if by_verdict:
        frames["verdict"][index - 1] = VerdictLevel.STOP
    return frames, plan


@pytest.mark.parametrize("by_verdict", [False, True])
def test_a_log_shows_the_plan_that_the_loop_had_and_what_came_of_it(by_verdict: bool) -> None:
    frames, plan = braking_flight(200, by_verdict=by_verdict)
    planned, observed = planned_stop(frames, 200, header()), observed_stop(frames, 200, header())
    assert planned is not None
    assert observed is not None
    assert planned.duration == pytest.approx(plan.duration)
    np.testing.assert_allclose(planned.distance, plan.distance, atol=1e-9)
    np.testing.assert_allclose(observed.distance, plan.distance, atol=2e-3)
    assert plan.duration - 0.02 < observed.duration <= plan.duration + PERIOD


def test_without_goals_or_rest_there_are_no_figures() -> None:
    frames, _ = braking_flight(200, by_verdict=False)
    assert observed_stop(frames[:205], 200, header()) is None
    assert planned_stop(frames[199:], 1, header()) is None
    frames["executed_position"] = np.nan
    assert planned_stop(frames, 200, header()) is None


def test_what_follows_a_reset_is_not_part_of_the_stop() -> None:
    frames, plan = braking_flight(200, by_verdict=False)
    frames["state"][380:] = ControlState.RUNNING
    frames["velocity"][385:, 0] = 1.0
    observed = observed_stop(frames, 200, header())
    assert observed is not None
    assert observed.duration <= plan.duration + PERIOD


def test_on_a_straight_path_the_longest_stop_is_that_of_the_joint_that_takes_longest() -> None:
    """From 2 rad/s at 5 rad/s², a joint beside it goes on from 4.9 rad/s, at 12.25 rad/s² and its own 1900 rad/s³."""
    fast, *others = header().monitor.joints
    slow = others[0].model_copy(update={"velocity": 2.0, "acceleration": 5.0, "jerk": 1000.0})
    longest = longest_stop([fast, slow])
    assert longest.duration == pytest.approx(4.9 / 12.25 + 12.25 / 1900.0)
    np.testing.assert_allclose(longest.distance, np.array([2.45, 1.0]) * longest.duration)


def test_the_longest_stop_is_from_full_speed() -> None:
    """4.9/38 + 38/1900 s = 149 ms, at 2.45 rad/s on average: 0.365 rad."""
    longest = longest_stop(header().monitor.joints)
    assert longest.duration == pytest.approx(4.9 / 38.0 + 0.02)
    np.testing.assert_allclose(longest.distance, 2.45 * (4.9 / 38.0 + 0.02))
