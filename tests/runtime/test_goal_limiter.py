"""The goal limiter: what it leaves alone, what it never exceeds, and that it arrives."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from robot_mbrl.runtime.goal_limiter import GoalLimiter

V, A, J = 4.9, 38.0, 1900.0
LOW, HIGH = -1.9, 1.9
PERIODS = (0.001, 0.002, 0.005, 0.01)

periods = st.sampled_from(PERIODS)
targets = st.lists(st.tuples(st.floats(LOW, HIGH), st.integers(1, 40)), min_size=1, max_size=12)


def limiter(period: float, start: float = 0.0) -> GoalLimiter:
    joint = GoalLimiter((LOW, HIGH), V, A, J, period)
    joint.seed(start)
    return joint


def follow(joint: GoalLimiter, path: NDArray[np.floating], period: float) -> NDArray[np.float64]:
    """Goals for a path of targets."""
    before = np.concatenate([[joint.goal], path[:-1]])
    return np.array([joint.follow(float(q), float(q - last) / period) for q, last in zip(path, before, strict=True)])


def assert_within_limits(goals: NDArray[np.float64], start: float, period: float) -> None:
    """By differences over the tick, from rest at `start` [rad]; rounding of 1e-16 rad is the slack."""
    path = np.concatenate([[start] * 3, goals])
    assert (np.abs(np.diff(path)) / period <= V * (1 + 1e-9)).all()
    assert (np.abs(np.diff(path, 2)) / period**2 <= A * (1 + 1e-9) + 1e-15 / period**2).all()
    assert (np.abs(np.diff(path, 3)) / period**3 <= J * (1 + 1e-9) + 4e-15 / period**3).all()
    assert ((path >= LOW) & (path <= HIGH)).all()


def smooth_way(start: float, end: float, duration: float, period: float) -> NDArray[np.float64]:
    """A minimum-jerk way that then rests."""
    s = np.minimum(np.arange(1, round(duration / period) + 20) * period / duration, 1.0)
    way: NDArray[np.float64] = start + (end - start) * (10 * s**3 - 15 * s**4 + 6 * s**5)
    return way


@given(periods, st.floats(LOW, HIGH), st.floats(LOW, HIGH), st.floats(1.0, 3.0))
def test_a_slow_smooth_path_passes_unchanged_to_the_last_bit(
    period: float, start: float, end: float, slowness: float
) -> None:
    """Peaks of a minimum-jerk way d in T are 15/8 d/T, 10/√3 d/T² and 60 d/T³.

    The way ends a tick's jerk inside the position limits: by so much a stopping distance from differences can err.
    """
    room = J * period**3
    start, end = np.clip([start, end], LOW + room, HIGH - room).tolist()
    d = abs(end - start)
    duration = slowness * max(15 / 8 * d / V, math.sqrt(10 / math.sqrt(3) * d / A), (60 * d / J) ** (1 / 3), period)
    path = smooth_way(start, end, duration * 1.01, period)
    np.testing.assert_array_equal(follow(limiter(period, start), path, period), path)


@given(periods, targets)
def test_no_target_makes_it_exceed_a_limit(period: float, jumps: list[tuple[float, int]]) -> None:
    path = np.concatenate([np.full(count, target) for target, count in jumps])
    assert_within_limits(follow(limiter(period), path, period), 0.0, period)


@given(periods, st.lists(st.floats(LOW, HIGH), min_size=2, max_size=60))
def test_nor_do_straight_lines_between_actions(period: float, actions: list[float]) -> None:
    times = np.arange(1, round(0.02 * len(actions) / period) + 1) * period
    path = np.interp(times, 0.02 * np.arange(len(actions) + 1), [0.0, *actions])
    assert_within_limits(follow(limiter(period), path, period), 0.0, period)


@given(periods, st.floats(LOW, HIGH), st.floats(LOW, HIGH))
def test_a_target_that_stands_still_is_reached_exactly_and_kept(period: float, start: float, target: float) -> None:
    """In time: the way at full speed, the time to get there and back, and settling."""
    duration = abs(target - start) / V + 2 * (V / A + A / J) + 25 * max(A / J, 2 * period)
    goals = follow(limiter(period, start), np.full(round(duration / period) + 20, target), period)
    np.testing.assert_array_equal(goals[-10:], target)


@given(periods, st.floats(-2.0, 2.0))
def test_a_target_that_moves_on_steadily_is_caught(period: float, velocity: float) -> None:
    path = velocity * np.arange(1, round(0.8 / period)) * period
    goals = follow(limiter(period), path, period)
    np.testing.assert_array_equal(goals[-3:], path[-3:])


@given(periods, targets)
def test_it_can_stop_before_a_position_limit_at_any_time(period: float, jumps: list[tuple[float, int]]) -> None:
    """The path may end anywhere: told to stay where it is about to be, it never runs into a limit."""
    joint = limiter(period)
    path = np.concatenate([np.full(count, target) for target, count in jumps])
    goals = follow(joint, path, period)
    rest = np.array([joint.follow(HIGH if joint.velocity > 0 else LOW, 0.0) for _ in range(round(0.3 / period))])
    assert_within_limits(np.concatenate([goals, rest]), 0.0, period)


def test_a_step_of_one_radian_takes_what_physics_asks_for() -> None:
    """Symmetric: up to √(A d + (A²/2J)²) - A²/2J = 5.8 > 4.9 rad/s, so with a cruise: d/V + V/A + A/J = 353 ms."""
    period = 0.001
    goals = follow(limiter(period), np.full(600, 1.0), period)
    near = int(np.flatnonzero(np.abs(goals - 1.0) > 0.01)[-1]) * period
    assert near == pytest.approx(1 / V + V / A + A / J, abs=0.05)


def test_what_others_command_is_continued() -> None:
    period = 0.001
    joint = limiter(period)
    for step in range(1, 200):
        joint.observe(1e-6 * step**2)
    assert joint.velocity == pytest.approx(2e-6 * 198.5 / period)
    assert joint.acceleration == pytest.approx(2e-6 / period**2)
