"""Braking within acceleration and jerk limits: published formulas, hand-computed stops and laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from robot_mbrl.contracts.braking import (
    BrakingPlan,
    Profile,
    foreseen_ways,
    plan_braking,
    steady_stopping_distance,
    stopping_distance,
    stopping_profile,
)

WIDE = 1e9
A, J = 40.0, 2000.0

speeds = st.floats(-10.0, 10.0)
accelerations = st.floats(-1.0, 1.0)  # as a share of the limit
limits = st.tuples(st.floats(1.0, 100.0), st.floats(50.0, 20_000.0))


def plan(
    velocity: list[float],
    acceleration: list[float],
    acceleration_limits: list[float],
    jerk_limits: list[float],
    bound: float = WIDE,
) -> BrakingPlan:
    n = len(velocity)
    return plan_braking(
        np.zeros(n),
        np.array(velocity),
        np.array(acceleration),
        position_limits=np.array([[-bound, bound]] * n),
        acceleration_limits=np.array(acceleration_limits),
        jerk_limits=np.array(jerk_limits),
    )


def states(profile: Profile, steps: int = 400) -> NDArray[np.float64]:
    """(steps + 1, 3) way, velocity and acceleration along the profile."""
    return np.array([profile.at(time) for time in np.linspace(0.0, profile.duration, steps + 1)])


# -- hand-computed ----------------------------------------------------------------------------------------------


def test_a_fast_stop_has_a_plateau() -> None:
    """2 rad/s: 20 ms up to 40 rad/s² takes 0.4 rad/s, as does the way back; 1.2 rad/s at 40 are 30 ms."""
    profile = stopping_profile(2.0, 0.0, A, J)
    assert profile.durations == pytest.approx((0.02, 0.03, 0.02))
    assert profile.jerk == (-J, 0.0, J)
    assert profile.duration == pytest.approx(2.0 / A + A / J)
    assert profile.distance == pytest.approx(2.0 / 2 * (2.0 / A + A / J))


def test_a_slow_stop_never_reaches_the_acceleration_limit() -> None:
    """0.2 rad/s: twice √(0.2/2000) = 10 ms, up to 20 rad/s²; half the time times the speed of way."""
    profile = stopping_profile(-0.2, 0.0, A, J)
    assert profile.durations == pytest.approx((0.01, 0.0, 0.01))
    assert profile.at(0.01)[2] == pytest.approx(20.0)
    assert profile.distance == pytest.approx(-0.2 * 0.01)


def test_an_acceleration_that_is_there_already_is_let_go_of_first() -> None:
    """1 rad/s and 40 rad/s² upwards: 20 ms to let go, in which 0.4 rad/s are gained; then a stop from 1.4."""
    profile = stopping_profile(1.0, A, A, J)
    assert profile.at(0.02)[1:] == pytest.approx((1.4, 0.0))
    assert profile.duration == pytest.approx(0.02 + 1.4 / A + A / J)


def test_a_joint_that_brakes_too_hard_to_stop_turns_back() -> None:
    """0.1 rad/s at -40 rad/s²: letting go takes 0.4 rad/s, so that 0.3 rad/s backwards remain to be stopped."""
    profile = stopping_profile(0.1, -A, A, J)
    assert states(profile)[:, 1].min() < -0.1
    assert profile.jerk[0] == J
    assert profile.at(profile.duration)[1:] == (0.0, 0.0)


def test_at_rest_there_is_nothing_to_do() -> None:
    rest = plan([0.0, 0.0], [0.0, 0.0], [A, A], [J, J])
    assert rest.duration == 0.0
    np.testing.assert_array_equal(rest.sample(0.0), np.zeros(2))


# -- laws of one coordinate -------------------------------------------------------------------------------------


@given(speeds, accelerations, limits)
def test_a_profile_keeps_its_limits_and_ends_at_rest(velocity: float, share: float, limit: tuple[float, float]) -> None:
    a_max, j_max = limit
    profile = stopping_profile(velocity, share * a_max, a_max, j_max)
    assert min(profile.durations) >= 0.0
    assert max(abs(jerk) for jerk in profile.jerk) <= j_max
    path = states(profile)
    scale = 1.0 + abs(velocity)
    assert np.abs(path[:, 2]).max() <= a_max * (1 + 1e-9)
    # The last sample as integrated, a moment before the end, not as it is defined from there on.
    _, speed, acceleration = profile.at(np.nextafter(profile.duration, 0.0))
    assert abs(speed) <= 1e-7 * scale
    assert abs(acceleration) <= 1e-5 * a_max


@given(speeds, accelerations, limits)
def test_the_speed_grows_by_no_more_than_letting_go_of_the_acceleration_costs(
    velocity: float, share: float, limit: tuple[float, float]
) -> None:
    a_max, j_max = limit
    start = share * a_max
    path = states(stopping_profile(velocity, start, a_max, j_max))
    assert np.abs(path[:, 1]).max() <= (abs(velocity) + start**2 / (2 * j_max)) * (1 + 1e-9) + 1e-12


@given(speeds, limits)
def test_from_a_steady_motion_the_speed_only_falls_and_nothing_turns_back(
    velocity: float, limit: tuple[float, float]
) -> None:
    path = states(stopping_profile(velocity, 0.0, *limit))
    towards = path[:, 1] * np.sign(velocity)
    assert (np.diff(towards) <= 1e-9).all()
    assert (towards >= -1e-9).all()


@given(speeds, accelerations, limits)
def test_the_planned_distance_is_the_integral_of_the_velocity(
    velocity: float, share: float, limit: tuple[float, float]
) -> None:
    profile = stopping_profile(velocity, share * limit[0], *limit)
    way, start = 0.0, 0.0
    for duration in profile.durations:
        # Gauss-Legendre with two nodes is exact for the quadratic velocity within a phase.
        for node in (0.5 - 12**-0.5, 0.5 + 12**-0.5):
            way += duration / 2 * profile.at(start + duration * node)[1]
        start += duration
    assert profile.distance == pytest.approx(way, rel=1e-6, abs=1e-9)


@given(speeds, accelerations, limits)
def test_the_distance_alone_is_that_of_the_profile(velocity: float, share: float, limit: tuple[float, float]) -> None:
    start = 1.5 * share * limit[0]
    distance = stopping_profile(velocity, start, *limit).distance
    assert stopping_distance(velocity, start, *limit) == pytest.approx(distance, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("velocity", [0.0, 0.2, -0.5, 1.6, -3.0])
def test_from_a_steady_motion_the_way_is_known_without_its_phases(velocity: float) -> None:
    """A²/J is 1.6: below it the acceleration limit is not reached. At 3 it takes 3/8 + 8/40 s, at 1.5 on average."""
    assert steady_stopping_distance(velocity, 8.0, 40.0) == pytest.approx(
        stopping_distance(velocity, 0.0, 8.0, 40.0), rel=1e-9, abs=1e-12
    )
    assert steady_stopping_distance(3.0, 8.0, 40.0) == pytest.approx(1.5 * (3.0 / 8.0 + 8.0 / 40.0))


@given(speeds, limits, st.floats(1.05, 3.0))
def test_nothing_stops_sooner_with_tighter_limits(velocity: float, limit: tuple[float, float], share: float) -> None:
    a_max, j_max = limit
    best = stopping_profile(velocity, 0.0, a_max, j_max).duration
    assert stopping_profile(velocity, 0.0, a_max / share, j_max).duration >= best - 1e-12
    assert stopping_profile(velocity, 0.0, a_max, j_max / share).duration >= best - 1e-12


@given(speeds, accelerations, limits, st.floats(0.0, 1.0))
def test_a_stop_that_is_planned_again_on_the_way_ends_where_it_would_have(
    velocity: float, share: float, limit: tuple[float, float], when: float
) -> None:
    profile = stopping_profile(velocity, share * limit[0], *limit)
    time = when * profile.duration
    way, later_velocity, later_acceleration = profile.at(time)
    later = stopping_profile(later_velocity, later_acceleration, *limit)
    assert time + later.duration == pytest.approx(profile.duration, rel=1e-4, abs=1e-4)
    assert way + later.distance == pytest.approx(profile.distance, rel=1e-6, abs=1e-8)


# -- laws of n joints -------------------------------------------------------------------------------------------


def straight(
    velocity: list[float], share: float, limit: list[tuple[float, float]]
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Velocity, acceleration along it with `share` of what all joints may have, and the limits of both."""
    v = np.array(velocity)
    a_max, j_max = np.array(limit).T
    acceleration = share * (a_max / np.maximum(np.abs(v), 1e-6)).min() * v
    return velocity, acceleration.tolist(), a_max.tolist(), j_max.tolist()


straight_paths = st.builds(
    straight,
    st.lists(speeds, min_size=3, max_size=3).filter(lambda velocity: max(map(abs, velocity)) > 1e-3),
    st.floats(-1.0, 1.0),
    st.lists(limits, min_size=3, max_size=3),
)


@given(straight_paths)
def test_a_stop_on_a_straight_path_stays_on_it_and_within_every_joints_limits(
    path: tuple[list[float], list[float], list[float], list[float]],
) -> None:
    stop = plan(*path)
    v, _, a_max, j_max = map(np.array, path)
    speed = np.abs(v)
    goals = np.array([stop.sample(time) for time in np.linspace(0.0, stop.duration, 50)])
    fastest = int(speed.argmax())
    np.testing.assert_allclose(goals, np.outer(goals[:, fastest], v / v[fastest]), atol=1e-9)
    shares = np.abs(stop.direction)
    profile = stop.profiles[0]
    assert (np.abs(states(profile)[:, 2]).max() * shares <= a_max * (1 + 1e-5) + 1e-9).all()
    assert (abs(profile.jerk[0]) * shares <= j_max * (1 + 1e-5) + 1e-9).all()


@given(straight_paths)
def test_a_straight_stop_is_foreseen_or_goes_less_far(
    path: tuple[list[float], list[float], list[float], list[float]],
) -> None:
    goes, foreseen = plan(*path).distance, np.array(foreseen_ways(*path))
    assert (np.abs(foreseen) >= np.abs(goes) * (1 - 1e-9) - 1e-9).all()
    # The joint that the common profile is made for is foreseen exactly.
    assert np.abs(foreseen - goes).min() <= 1e-9 * (1 + np.abs(goes).max())


def test_a_curved_stop_is_foreseen_joint_by_joint() -> None:
    """The second joint is being pushed against its motion: 0.5 rad/s at -8 rad/s² and 40 rad/s³ turn back at once."""
    curved = [3.0, 0.5], [0.0, -8.0], [8.0, 8.0], [40.0, 40.0]
    assert foreseen_ways(*curved) == pytest.approx(plan(*curved).distance.tolist())
    assert foreseen_ways(*curved)[0] == pytest.approx(1.5 * (3.0 / 8.0 + 8.0 / 40.0))


def test_what_rests_is_foreseen_to_rest_and_what_overflows_goes_its_own_way() -> None:
    assert foreseen_ways([0.0, 0.0], [0.0, 0.0], [8.0, 8.0], [40.0, 40.0]) == [0.0, 0.0]
    assert foreseen_ways([math.inf, 1.0], [0.0, 0.0], [8.0, 8.0], [40.0, 40.0])[1] == pytest.approx(
        stopping_distance(1.0, 0.0, 8.0, 40.0)
    )


@given(
    st.lists(speeds, min_size=2, max_size=2),
    st.lists(accelerations, min_size=2, max_size=2),
    st.lists(limits, min_size=2, max_size=2),
)
def test_goals_sampled_by_the_tick_keep_the_limits_by_their_differences(
    velocity: list[float], shares: list[float], limit: list[tuple[float, float]]
) -> None:
    """Mean acceleration and jerk over a tick are bounded by their limits, whatever the tick."""
    a_max, j_max = np.array(limit).T
    stop = plan(velocity, (np.array(shares) * a_max).tolist(), a_max.tolist(), j_max.tolist())
    period = stop.duration / 37 + 1e-3
    goals = np.array([stop.sample(k * period) for k in range(42)])
    assert (np.abs(np.diff(goals, 2, axis=0)) / period**2 <= a_max + 1e-6).all()
    assert (np.abs(np.diff(goals, 3, axis=0)) / period**3 <= j_max * (1 + 1e-6) + 1e-3).all()


@given(
    st.lists(speeds, min_size=2, max_size=2),
    st.lists(accelerations, min_size=2, max_size=2),
    st.floats(0.01, 1.0),
    st.floats(0.0, 1.2),
)
def test_no_goal_lies_beyond_a_position_limit(
    velocity: list[float], shares: list[float], bound: float, when: float
) -> None:
    stop = plan(velocity, [A * share for share in shares], [A, A], [J, J], bound)
    assert (np.abs(stop.sample(when * stop.duration)) <= bound).all()
    assert (np.abs(stop.distance) <= bound).all()


def test_one_joint_that_ends_at_its_limit_does_not_end_the_others() -> None:
    stop = plan_braking(
        np.array([0.0, 0.0]),
        np.array([2.0, 2.0]),
        np.zeros(2),
        position_limits=np.array([[-1.0, 0.03], [-1.0, 1.0]]),
        acceleration_limits=np.array([A, A]),
        jerk_limits=np.array([J, J]),
    )
    np.testing.assert_allclose(stop.distance, [0.03, 0.07])


def test_a_slower_joint_near_its_limit_stops_by_itself_instead_of_being_cut_off_there() -> None:
    """The line would take it half of the faster one's way, further than it needs; the limit is where it needs to."""
    own = stopping_profile(1.5, 0.0, A, J).distance
    assert own < 0.5 * stopping_profile(3.0, 0.0, A, J).distance
    stop = plan_braking(
        np.zeros(2),
        np.array([3.0, 1.5]),
        np.zeros(2),
        position_limits=np.array([[-9.0, 9.0], [-9.0, own]]),
        acceleration_limits=np.array([A, A]),
        jerk_limits=np.array([J, J]),
    )
    goals = np.array([stop.sample(time) for time in np.arange(0.0, stop.duration + 0.02, 0.002)])
    assert (np.abs(np.diff(goals, 2, axis=0)) / 0.002**2 <= A * (1.0 + 1e-6)).all()
    np.testing.assert_allclose(goals[-1], [stopping_profile(3.0, 0.0, A, J).distance, own])


def test_a_joint_that_rests_at_its_limit_does_not_bend_the_line() -> None:
    stop = plan_braking(
        np.array([0.0, 1.0, 0.0]),
        np.array([3.0, 0.0, 1.5]),
        np.zeros(3),
        position_limits=np.array([[-9.0, 9.0], [-1.0, 0.9], [-9.0, 9.0]]),
        acceleration_limits=np.full(3, A),
        jerk_limits=np.full(3, J),
    )
    assert stop.distance[2] == pytest.approx(0.5 * stop.distance[0])


def test_on_a_curved_path_each_joint_stops_as_soon_as_it_can() -> None:
    stop = plan([2.0, 0.2], [0.0, 10.0], [A, A], [J, J])
    alone = [stopping_profile(2.0, 0.0, A, J), stopping_profile(0.2, 10.0, A, J)]
    assert list(stop.profiles) == alone
    np.testing.assert_allclose(stop.distance, [profile.distance for profile in alone])
