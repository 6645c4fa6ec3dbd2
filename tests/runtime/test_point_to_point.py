"""A minimum-jerk way from rest to rest."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from robot_mbrl.runtime.point_to_point import PointToPoint

LIMITS = np.array([38.0, 38.0]), np.array([1900.0, 1900.0])


def test_one_radian_at_half_a_radian_per_second_takes_3_75_seconds() -> None:
    """15/8 · 1/0.5 s; half-way at half the time, 0.103515625 of it at a quarter: 10/64 - 15/256 + 6/1024."""
    way = PointToPoint(np.array([0.0, 1.0]), np.array([1.0, 0.5]), 0.5, *LIMITS)
    assert way.duration == pytest.approx(3.75)
    np.testing.assert_allclose(way.sample(3.75 / 2), [0.5, 0.75])
    np.testing.assert_allclose(way.sample(3.75 / 4), [0.103515625, 1 - 0.103515625 / 2])
    np.testing.assert_array_equal(way.sample(9.0), [1.0, 0.5])


def test_a_way_of_nothing_takes_no_time() -> None:
    pose = np.array([0.3, 0.4])
    way = PointToPoint(pose, pose, 0.5, *LIMITS)
    assert way.duration == 0.0
    np.testing.assert_array_equal(way.sample(0.0), pose)


@given(st.lists(st.floats(-2.0, 2.0), min_size=4, max_size=4), st.floats(0.1, 5.0), st.floats(1.0, 40.0))
def test_speed_and_acceleration_stay_in_bounds_and_the_way_is_straight(
    ends: list[float], speed: float, acceleration: float
) -> None:
    start, end = np.array(ends[:2]), np.array(ends[2:])
    way = PointToPoint(start, end, speed, np.full(2, acceleration), np.full(2, 50 * acceleration))
    assume(way.duration > 1e-3)
    times = np.linspace(0.0, way.duration, 201)
    path = np.array([way.sample(time) for time in times])
    step = times[1]
    assert np.abs(np.diff(path, axis=0)).max() / step <= speed * (1 + 1e-9)
    assert np.abs(np.diff(path, 2, axis=0)).max() / step**2 <= acceleration * (1 + 1e-6) + 1e-9
    assert np.abs(np.diff(path, 3, axis=0)).max() / step**3 <= 50 * acceleration * (1 + 1e-3)
    np.testing.assert_allclose(path[0], start, atol=1e-12)
    np.testing.assert_allclose(path[-1], end, atol=1e-12)
    cross = (path - start) @ np.array([-(end - start)[1], (end - start)[0]])
    np.testing.assert_allclose(cross, 0.0, atol=1e-9)
