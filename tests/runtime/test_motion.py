"""Motion: whatever is asked for, the next goal continues the goals before it."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.drivers.arms import RAD_PER_TICK, load_arm
from robot_mbrl.runtime.motion import APPROACH_SPEED, LONGEST_STEP, PARK_SPEED, Motion, MotionLimits
from robot_mbrl.safety.state_machine import Drive

V, A, J = 4.9, 38.0, 1900.0
BOUND = 1.9
PARK = np.array([1.0, -1.2])
ACTION_PERIOD = 0.02
LIFETIME = 0.2
START = np.array([0.2, -0.1])
MOST_PERIODS = 4
"""Of 5 ms in `LONGEST_STEP`."""

Goals = NDArray[np.float64]


def at(*angles: float) -> Goals:
    """Angles [rad] as an array."""
    return np.array(angles)


class Bench:
    """Runs a `Motion` of two joints tick by tick and keeps its goals."""

    def __init__(self, period: float = 0.005, start: Goals = START) -> None:
        limits = MotionLimits(np.array([[-BOUND, BOUND]] * 2), np.full(2, V), np.full(2, A), np.full(2, J))
        self.motion = Motion(limits, PARK, period=period, action_period=ACTION_PERIOD)
        self.motion.seed(start)
        self.period = period
        self.ticks = 0
        self.goals: list[Goals] = [start] * 3
        self.requested: list[Goals] = []

    @property
    def now_ns(self) -> int:
        """The time of the next tick [ns]."""
        return to_ns(self.ticks * self.period)

    def at_rest(self) -> bool:
        """Whether the goals have come to rest."""
        return self.motion.at_rest

    def parked(self) -> bool:
        """Whether the goals have come to rest at the park pose."""
        return self.motion.parked

    def act(self, position: Iterable[float], lifetime: float = LIFETIME) -> None:
        """A policy's action, made now."""
        self.motion.accept(np.array([*position]), self.now_ns + to_ns(lifetime))

    def run(self, drive: Drive, duration: float, speed_scale: float = 1.0) -> Goals:
        """Ticks without new actions; returns all goals so far, (k, 2)."""
        for _ in range(round(duration / self.period)):
            self.requested.append(self.motion.propose(drive, self.now_ns))
            self.goals.append(self.motion.execute(drive, speed_scale))
            self.ticks += 1
        return np.array(self.goals)

    def follow(self, velocity: Goals, duration: float, speed_scale: float = 1.0) -> Goals:
        """A policy that moves from where the arm is at a constant velocity [rad/s]."""
        position = self.motion.executed.copy()
        for _ in range(round(duration / ACTION_PERIOD)):
            position = position + velocity * ACTION_PERIOD
            self.act(position)
            self.run(Drive.FOLLOW, ACTION_PERIOD, speed_scale)
        return np.array(self.goals)

    def assert_smooth(self) -> None:
        """All goals so far keep all limits, by differences over the tick."""
        goals, h = np.array(self.goals), self.period
        assert np.abs(goals).max() <= BOUND
        assert np.abs(np.diff(goals, axis=0)).max() / h <= V * (1 + 1e-9)
        assert np.abs(np.diff(goals, 2, axis=0)).max() / h**2 <= A * (1 + 1e-6)
        assert np.abs(np.diff(goals, 3, axis=0)).max() / h**3 <= J * (1 + 1e-6)


# -- following --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [0.001, 0.005, 0.01])
def test_a_policys_path_is_followed_one_action_period_behind(period: float) -> None:
    bench = Bench(period)
    bench.act(START)
    bench.run(Drive.FOLLOW, 0.4)
    goals = bench.follow(np.array([0.3, -0.2]), 1.0)
    np.testing.assert_allclose(goals[-1], START + at(0.3, -0.2), atol=1e-9)
    np.testing.assert_allclose(bench.requested[-1], bench.motion.executed)
    bench.assert_smooth()


def test_a_first_action_far_away_is_neared_slowly() -> None:
    bench = Bench()
    target = START + at(1.0, 0.5)
    for _ in range(150):
        bench.act(target)
        bench.run(Drive.FOLLOW, ACTION_PERIOD)
    goals = np.array(bench.goals)
    np.testing.assert_array_equal(goals[-1], target)
    assert np.abs(np.diff(goals, axis=0)).max() / bench.period == pytest.approx(APPROACH_SPEED, rel=0.1)
    bench.assert_smooth()


def test_an_action_that_expired_is_told_and_never_extrapolated() -> None:
    bench = Bench()
    assert bench.motion.expired(0)
    bench.follow(np.array([0.5, 0.0]), 0.5)
    last = bench.now_ns - to_ns(ACTION_PERIOD) + to_ns(LIFETIME)
    assert not bench.motion.expired(last - 1)
    assert bench.motion.expired(last)
    goals = bench.run(Drive.FOLLOW, 1.0)
    braking = 0.5 / 2 * (0.5 / A + A / J)
    assert goals[:, 0].max() <= START[0] + 0.25 + braking
    np.testing.assert_allclose(goals[-1], START + at(0.25, 0.0))


def test_a_seed_forgets_the_actions_before() -> None:
    bench = Bench()
    bench.follow(np.array([0.5, 0.0]), 0.1)
    bench.motion.seed(START)
    assert bench.motion.expired(bench.now_ns)
    np.testing.assert_array_equal(bench.motion.execute(Drive.FOLLOW), START)


# -- slowing ----------------------------------------------------------------------------------------------------


def test_a_slowed_motion_stays_on_its_path() -> None:
    """An angle in joint space, at a fifth of the pace, with actions that do not expire: the corner is still passed."""
    bench = Bench(0.001)
    bench.act(START)
    bench.run(Drive.FOLLOW, 0.4, 0.2)
    bench.act(START)
    corner = START + at(0.04, 0.0)
    for step in range(1, 6):
        bench.act(START + at(0.008 * step, 0.0), 10.0)
    for step in range(1, 6):
        bench.act(corner + at(0.0, 0.008 * step), 10.0)
    goals = bench.run(Drive.FOLLOW, 1.5, 0.2)
    np.testing.assert_allclose(goals[-1], corner + at(0.0, 0.04), atol=1e-6)
    beside = np.minimum(np.abs(goals[:, 1] - START[1]), np.abs(goals[:, 0] - corner[0]))
    assert beside.max() < RAD_PER_TICK
    bench.assert_smooth()


def test_the_speed_falls_and_rises_with_the_scale() -> None:
    bench = Bench()
    bench.follow(np.array([0.5, 0.0]), 1.0)
    bench.follow(np.array([0.5, 0.0]), 1.0, 0.4)
    slowed = np.diff(np.array(bench.goals)[:, 0])[-5:] / bench.period
    np.testing.assert_allclose(slowed, 0.2, rtol=0.02)
    bench.assert_smooth()


def test_a_scale_of_zero_brings_it_to_rest_on_the_path() -> None:
    bench = Bench()
    bench.follow(np.array([0.5, 0.25]), 1.0)
    goals = bench.follow(np.array([0.5, 0.25]), 0.6, 0.0)
    np.testing.assert_array_equal(goals[-1], goals[-10])
    way = goals - START
    np.testing.assert_allclose(way[:, 1], way[:, 0] / 2, atol=2 * RAD_PER_TICK)


# -- stopping and going on --------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [0.001, 0.005, 0.01])
def test_a_stop_takes_the_time_and_the_way_that_were_planned(period: float) -> None:
    bench = Bench(period)
    bench.follow(np.array([1.0, 0.5]), 1.0)
    before = bench.motion.executed.copy()
    bench.run(Drive.HOLD, period)
    plan = bench.motion.plan
    assert plan is not None
    assert plan.duration == pytest.approx(1.0 / A + A / J, rel=1e-3)
    np.testing.assert_allclose(plan.distance, np.array([1.0, 0.5]) * plan.duration / 2, rtol=1e-3)
    ticks = int(np.ceil(plan.duration / period))
    bench.run(Drive.HOLD, (ticks - 2) * period)
    assert not bench.at_rest()
    bench.run(Drive.HOLD, period)
    assert bench.at_rest()
    goals = bench.run(Drive.HOLD, 0.1)
    np.testing.assert_allclose(goals[-1], before + plan.distance, atol=1e-12)
    bench.assert_smooth()


def test_a_verdict_brakes_in_the_very_tick() -> None:
    """Proposed under one drive and executed under another: the request of the tick is not followed any more."""
    bench = Bench()
    bench.follow(np.array([1.0, 0.0]), 1.0)
    bench.act(bench.motion.executed + at(0.02, 0.0))
    bench.run(Drive.FOLLOW, 0.01)
    asked = bench.motion.propose(Drive.FOLLOW, bench.now_ns)[0]
    bench.goals.append(bench.motion.execute(Drive.HOLD))
    assert bench.motion.plan is not None
    assert bench.motion.executed[0] < asked
    bench.run(Drive.HOLD, 0.2)
    bench.assert_smooth()


def test_going_on_after_a_hold_starts_from_the_held_goal_and_slowly() -> None:
    bench = Bench()
    bench.follow(np.array([0.5, 0.0]), 0.5)
    held = bench.run(Drive.HOLD, 0.5)[-1]
    bench.act(held + at(0.8, -0.4))
    first = bench.run(Drive.FOLLOW, bench.period)[-1]
    np.testing.assert_allclose(first, held, atol=1e-4)
    for _ in range(120):
        bench.act(held + at(0.8, -0.4))
        bench.run(Drive.FOLLOW, ACTION_PERIOD)
    goals = np.array(bench.goals)
    np.testing.assert_array_equal(goals[-1], held + at(0.8, -0.4))
    bench.assert_smooth()


def test_going_on_in_the_middle_of_a_stop_ends_the_stop_first_and_does_not_turn_back() -> None:
    bench = Bench(0.001)
    bench.follow(np.array([1.0, 0.0]), 0.5)
    bench.run(Drive.HOLD, 0.02)
    for step in range(50):
        bench.act(START + at(0.6 + 0.02 * step, 0.0))
        bench.run(Drive.FOLLOW, ACTION_PERIOD)
    assert np.diff(np.array(bench.goals)[:, 0]).min() >= -1e-9
    bench.assert_smooth()


def test_a_stop_that_is_asked_for_again_stays_the_same_stop() -> None:
    bench = Bench()
    bench.follow(np.array([1.0, 0.0]), 0.5)
    bench.run(Drive.HOLD, 0.02)
    plan = bench.motion.plan
    bench.run(Drive.PARK, 0.01)
    bench.run(Drive.HOLD, 0.01)
    assert bench.motion.plan is plan


def test_nothing_is_commanded_where_nothing_may_be() -> None:
    bench = Bench()
    goals = bench.run(Drive.NOTHING, 0.5)
    assert (goals == START).all()
    assert not bench.at_rest()


# -- parking ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moving", [False, True])
def test_parking_brakes_then_goes_slowly_from_the_last_commanded_pose(moving: bool) -> None:
    bench = Bench()
    if moving:
        bench.follow(np.array([1.0, 0.5]), 0.4)
    bench.run(Drive.PARK, 5.0)
    assert bench.parked()
    goals = np.array(bench.goals)
    np.testing.assert_array_equal(goals[-1], PARK)
    rest = int(np.argmin(np.abs(np.diff(goals[3 + round(0.4 / bench.period) * moving :], axis=0)).max(axis=1)))
    late = goals[3 + round(0.4 / bench.period) * moving + rest :]
    assert np.abs(np.diff(late, axis=0)).max() / bench.period <= PARK_SPEED * (1 + 1e-6)
    bench.assert_smooth()


def test_parking_is_slowed_and_stopped_like_any_motion() -> None:
    bench = Bench()
    bench.run(Drive.PARK, 1.0)
    bench.run(Drive.PARK, 1.0, 0.3)
    bench.run(Drive.HOLD, 0.3)
    assert bench.at_rest()
    assert not bench.parked()
    bench.run(Drive.PARK, 5.0)
    assert bench.parked()
    bench.assert_smooth()


def test_an_arm_at_its_park_pose_is_parked_at_once() -> None:
    bench = Bench(start=PARK)
    goals = bench.run(Drive.PARK, 0.01)
    assert bench.parked()
    assert (goals == PARK).all()


# -- whatever comes ---------------------------------------------------------------------------------------------

steps = st.tuples(
    st.sampled_from([Drive.FOLLOW, Drive.FOLLOW, Drive.HOLD, Drive.PARK]),
    st.lists(st.floats(-BOUND, BOUND), min_size=2, max_size=2),
    st.floats(0.0, 1.0),
    st.integers(1, 6),
)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([0.001, 0.005, 0.01]), st.lists(steps, min_size=1, max_size=8))
def test_no_sequence_of_drives_actions_and_scales_makes_a_jump(
    period: float, sequence: list[tuple[Drive, list[float], float, int]]
) -> None:
    bench = Bench(period)
    for drive, action, scale, actions in sequence:
        for _ in range(actions):
            bench.act(action)
            bench.run(drive, ACTION_PERIOD, scale)
    bench.assert_smooth()


def test_the_limits_are_those_of_the_arm() -> None:
    arm = load_arm("so101_follower")
    limits = MotionLimits.of(arm)
    assert limits.position.shape == (6, 2)
    for row, joint in enumerate(arm.joints):
        assert tuple(limits.position[row]) == joint.position_limits
        assert limits.velocity[row] == joint.velocity_limit
        assert limits.acceleration[row] == joint.acceleration_limit
        assert limits.jerk[row] == joint.jerk_limit


# -- late ticks -------------------------------------------------------------------------------------------------------


def late_stop(speed: float, before: int, gaps: list[int]) -> tuple[Bench, Goals, Goals]:
    """A steady motion at `speed` [rad/s] by the tick, with a goal every `before` periods, then a stop with these gaps.

    Returns the bench, and the times [s] and goals (k, 2) [rad] of the last three goals before the stop and all of it.
    """
    bench = Bench(start=at(-1.7, 0.85))
    # Long enough for the approach from rest, and for what it fell behind.
    bench.follow(at(speed, -speed / 2), 1.5)
    np.testing.assert_allclose(np.diff(bench.goals[-3:], axis=0) / bench.period, [at(speed, -speed / 2)] * 2)
    bench.act(bench.motion.executed + at(speed, -speed / 2) * ACTION_PERIOD)
    for _ in range(3):
        bench.motion.propose(Drive.FOLLOW, bench.now_ns, before)
        bench.goals.append(bench.motion.execute(Drive.FOLLOW, 1.0, before))
    times, goals = [-2.0 * before, -1.0 * before, 0.0], bench.goals[-3:]
    for gap in gaps:
        asked = bench.motion.propose(Drive.HOLD, bench.now_ns, gap)
        goals.append(bench.motion.execute(Drive.HOLD, 1.0, gap))
        np.testing.assert_allclose(asked, goals[-1], rtol=0.0, atol=1e-12)
        times.append(times[-1] + gap)
    return bench, np.array(times) * bench.period, np.array(goals)


@settings(deadline=None, max_examples=40)
@given(st.floats(0.2, 1.5), st.integers(1, 4), st.lists(st.integers(1, MOST_PERIODS), min_size=40, max_size=40))
def test_a_stop_takes_its_time_however_late_its_ticks_are(speed: float, before: int, gaps: list[int]) -> None:
    bench, times, goals = late_stop(speed, before, gaps)
    plan = bench.motion.plan
    assert plan is not None
    rests = int(np.flatnonzero((goals == goals[-1]).all(axis=1))[0])
    # The goal at the plan's end is at most one gap late.
    assert times[rests - 1] <= plan.duration + 1e-9
    spans = np.diff(times)[:, None]
    velocity = np.diff(goals, axis=0) / spans
    assert np.abs(velocity).max() <= speed / before * (1.0 + 1e-6)
    acceleration = np.diff(velocity, axis=0) / ((spans[1:] + spans[:-1]) / 2.0)
    assert np.abs(acceleration).max() <= A * (1.0 + 1e-6)


def test_a_late_goal_of_a_stop_goes_no_further_than_the_monitor_allows() -> None:
    _, _, goals = late_stop(1.0, 1, [100, 100, 100])
    usual, late = np.abs(np.diff(goals, axis=0))[1:3].max(axis=1) / np.array([0.005, LONGEST_STEP])
    assert 0.7 * usual < late <= usual * (1.0 + 1e-6)


def test_a_late_tick_on_the_way_moves_an_arm_that_follows_no_further() -> None:
    bench = Bench()
    goals = bench.follow(at(0.5, 0.0), 0.5)
    bench.motion.propose(Drive.FOLLOW, bench.now_ns, 4)
    late = bench.motion.execute(Drive.FOLLOW, 1.0, 4)
    assert abs(late[0] - goals[-1][0]) <= 0.5 * bench.period + 1e-9
