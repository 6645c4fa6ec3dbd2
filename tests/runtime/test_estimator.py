"""The velocity estimate: exact where it must be, and how noisy and how late it is elsewhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.runtime.estimator import WINDOW, VelocityEstimator

TICK = 2 * np.pi / 4096


def irregular_times(rate: float, duration: float, seed: int) -> NDArray[np.int64]:
    """Stamps [ns] around the ticks of `rate` [Hz], up to a fifth of a period early or late."""
    count = round(rate * duration)
    jitter = np.random.default_rng(seed).uniform(-0.2, 0.2, count)
    return np.rint((np.arange(count) + jitter) / rate * 1e9).astype(np.int64)


def estimates(stamps: NDArray[np.int64], position: NDArray[np.floating]) -> NDArray[np.float64]:
    estimator = VelocityEstimator(1)
    return np.array(
        [estimator.update(int(stamp), np.array([angle]))[0] for stamp, angle in zip(stamps, position, strict=True)]
    )


@given(st.floats(-5.0, 5.0), st.sampled_from([100.0, 200.0, 1000.0]), st.integers(0, 1000))
def test_a_constant_velocity_is_found_exactly_at_irregular_stamps(velocity: float, rate: float, seed: int) -> None:
    stamps = irregular_times(rate, 0.2, seed)
    np.testing.assert_allclose(estimates(stamps, velocity * stamps / 1e9)[1:], velocity, atol=1e-6)


@pytest.mark.parametrize(("rate", "span"), [(100.0, 0.02), (200.0, 0.025), (1000.0, 0.025)])
def test_under_acceleration_it_lags_by_half_of_what_it_spans(rate: float, span: float) -> None:
    """10 rad/s² for 12.5 ms: 0.125 rad/s behind."""
    stamps = np.arange(round(rate * 0.5), dtype=np.int64) * round(1e9 / rate)
    times = stamps / 1e9
    lag = 10.0 * times - estimates(stamps, 5.0 * times**2)
    np.testing.assert_allclose(lag[round(rate * WINDOW) + 1 :], 10.0 * span / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("rate", "noise", "of_differences"), [(100.0, 0.031, 0.064), (200.0, 0.024, 0.13), (1000.0, 0.011, 0.67)]
)
def test_encoder_steps_leave_little_noise(rate: float, noise: float, of_differences: float) -> None:
    """RMS [rad/s] over speeds at which the steps come irregularly."""
    errors, differences = [], []
    for seed, velocity in enumerate(np.linspace(0.3, 3.0, 40)):
        stamps = irregular_times(rate, 1.0, seed)
        ticks = np.rint(velocity * stamps / 1e9 / TICK) * TICK
        errors.append(estimates(stamps, ticks)[round(rate * WINDOW) + 1 :] - velocity)
        differences.append(np.diff(ticks) / np.diff(stamps / 1e9) - velocity)
    assert np.sqrt(np.mean(np.concatenate(errors) ** 2)) == pytest.approx(noise, rel=0.05)
    assert np.sqrt(np.mean(np.concatenate(differences) ** 2)) == pytest.approx(of_differences, rel=0.05)


def test_on_a_sine_the_error_is_that_of_the_lag() -> None:
    """0.5 rad at 1 Hz: the peak acceleration of 19.7 rad/s² over 12.5 ms is 0.247 rad/s, plus the encoder's noise."""
    stamps = irregular_times(1000.0, 2.0, 3)
    times = stamps / 1e9
    position = np.rint(0.5 * np.sin(2 * np.pi * times) / TICK) * TICK
    found = estimates(stamps, position)[100:]
    true = np.pi * np.cos(2 * np.pi * times)
    assert np.abs(found - true[100:]).max() < 0.247 + 0.06
    late = np.pi * np.cos(2 * np.pi * (times - WINDOW / 2))
    assert np.abs(found - late[100:]).max() < 0.06


def test_at_rest_it_is_zero_to_the_last_bit() -> None:
    stamps = irregular_times(1000.0, 0.1, 0)
    np.testing.assert_array_equal(estimates(stamps, np.full(len(stamps), 0.3)), 0.0)


def test_nothing_is_known_before_the_second_sample_and_after_a_reset() -> None:
    estimator = VelocityEstimator(2)
    assert estimator.update(0, np.array([1.0, 2.0])).tolist() == [0.0, 0.0]
    assert estimator.update(to_ns(0.01), np.array([1.1, 1.8])) == pytest.approx([10.0, -20.0])
    estimator.reset()
    assert estimator.update(to_ns(0.02), np.array([9.0, 9.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("stamp", [to_ns(0.01), to_ns(0.005), -1])
def test_a_sample_that_is_no_newer_changes_nothing(stamp: int) -> None:
    estimator = VelocityEstimator(1)
    estimator.update(0, np.array([0.0]))
    estimator.update(to_ns(0.01), np.array([0.01]))
    assert estimator.update(stamp, np.array([5.0])) == pytest.approx([1.0])
    assert estimator.update(to_ns(0.02), np.array([0.02])) == pytest.approx([1.0])


def test_after_a_gap_longer_than_the_window_the_two_newest_samples_count() -> None:
    estimator = VelocityEstimator(1)
    for step in range(20):
        estimator.update(to_ns(0.001 * step), np.array([0.001 * step]))
    assert estimator.update(to_ns(1.019), np.array([3.019])) == pytest.approx([3.0])


def test_what_is_returned_is_the_callers_own() -> None:
    estimator = VelocityEstimator(1)
    estimator.update(0, np.array([0.0]))
    first = estimator.update(to_ns(0.01), np.array([0.01]))
    kept = first.copy()
    estimator.update(to_ns(0.02), np.array([0.05]))
    np.testing.assert_array_equal(first, kept)
