"""Divided differences are exact for cubics at uneven times; spans remember for as long as they say."""

import numpy as np
import pytest

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.safety.motion_history import MotionHistory, Span


def test_the_derivatives_of_a_cubic_at_uneven_times() -> None:
    """For q = a + b t + c t² + d t³ the third divided difference is d wherever the samples lie, so the jerk is 6 d."""
    rng = np.random.default_rng(3)
    history = MotionHistory(1, 0.04)
    times = np.cumsum(rng.uniform(0.01, 0.02, 30))
    for time in times[:-1]:
        history.append(to_ns(time), [1.0 + 2.0 * time - 3.0 * time**2 + 5.0 * time**3])
    last = times[-1]
    q = [1.0 + 2.0 * last - 3.0 * last**2 + 5.0 * last**3]
    assert history.derivatives(to_ns(last), q).jerk[0] == pytest.approx(30.0, rel=1e-3)


def test_velocity_and_acceleration_are_averages_over_a_window_each() -> None:
    history = MotionHistory(2, 0.04)
    times = [0.01 * k for k in range(20)]
    for time in times[:-1]:
        history.append(to_ns(time), [3.0 * time, 0.5 * 7.0 * time**2])
    velocity, acceleration, jerk = history.derivatives(to_ns(0.19), [3.0 * 0.19, 3.5 * 0.19**2])
    # The parabola's average velocity over 40 ms is that of 20 ms ago.
    assert velocity == pytest.approx([3.0, 7.0 * 0.17])
    assert acceleration == pytest.approx([0.0, 7.0], abs=1e-6)
    assert jerk == pytest.approx([0.0, 0.0], abs=1e-4)


def test_what_the_samples_do_not_reach_is_zero() -> None:
    history = MotionHistory(1, 0.04)
    for k in range(4):
        assert history.derivatives(to_ns(0.01 * k), [float(k)]).velocity == [0.0]
        history.append(to_ns(0.01 * k), [float(k)])
    velocity, acceleration, jerk = history.derivatives(to_ns(0.04), [4.0])
    assert velocity[0] == pytest.approx(100.0)
    assert (acceleration, jerk) == ([0.0], [0.0])
    assert history.derivatives(to_ns(0.03), [9.0]).velocity == [0.0]


def test_fast_loops_do_not_shorten_the_window() -> None:
    history = MotionHistory(1, 0.04)
    for k in range(200):
        history.append(to_ns(0.001 * k), [0.5 * 7.0 * (0.001 * k) ** 2])
    derivatives = history.derivatives(to_ns(0.2), [0.5 * 7.0 * 0.2**2])
    assert derivatives.velocity[0] == pytest.approx(7.0 * (0.2 - 0.02), abs=7.0 * 0.005)
    assert derivatives.acceleration[0] == pytest.approx(7.0)


def test_a_span_forgets_after_its_duration() -> None:
    span = Span(0.06)
    span.add(0, [5.0, 1.0])
    assert span.ends() == ([5.0, 1.0], [5.0, 1.0])
    results = []
    for k in range(1, 60):
        span.add(to_ns(0.002 * k), [0.0, 2.0])
        results.append(span.ends())
    assert results[0] == ([0.0, 1.0], [5.0, 2.0])
    assert results[29] == ([0.0, 1.0], [5.0, 2.0])
    assert results[36] == ([0.0, 2.0], [0.0, 2.0])


def test_a_span_does_not_remember_across_a_gap_or_a_step_back() -> None:
    for later in (to_ns(1.0), -to_ns(1.0)):
        span = Span(0.06)
        span.add(0, [5.0])
        span.add(later, [0.0])
        assert span.ends() == ([0.0], [0.0])
