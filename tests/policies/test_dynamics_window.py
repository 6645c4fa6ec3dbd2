"""Periods of a flight, cut at once or followed tick by tick: hand-computed states, gaps, and that both agree."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.dynamics_window import WindowHistory, windows

PERIOD = 0.05


def column(*values: float) -> FloatArray:
    return np.array(values)[:, None]


def test_a_period_begins_between_two_measurements() -> None:
    stamps = np.array([to_ns(t) for t in (0.0, 0.02, 0.04, 0.06)])
    found = windows(stamps, column(0.0, 2.0, 4.0, 8.0), column(1.0, 1.0, 1.0, 2.0), column(5.0, 6.0, 7.0, 8.0), PERIOD)
    # Only the last measurement has a whole period before it, which begins at 10 ms, half-way between two others.
    assert_allclose(found.state, [[1.0, 1.0]])
    assert_allclose(found.action, [[8.0]])
    assert_allclose(found.next_state, [[8.0, 2.0]])


def test_a_period_that_begins_at_a_measurement_takes_it_as_it_is() -> None:
    stamps = np.array([to_ns(0.01 * tick) for tick in range(8)])
    position = column(*range(8))
    found = windows(stamps, position, 10.0 * position, 100.0 * position, PERIOD)
    assert_allclose(found.state, [[0.0, 0.0], [1.0, 10.0], [2.0, 20.0]])
    assert_allclose(found.action, [[500.0], [600.0], [700.0]])
    assert_allclose(found.next_state, [[5.0, 50.0], [6.0, 60.0], [7.0, 70.0]])


def test_no_state_is_made_up_in_a_gap() -> None:
    stamps = np.array([to_ns(t) for t in (0.0, 0.01, 0.05, 0.06, 0.07)])
    ones = np.ones((5, 1))
    # Of 50 ms at most 25 may lie between two measurements; the periods that end at 60 and 70 ms begin in a gap of 40.
    found = windows(stamps, ones, ones, column(1.0, 2.0, 3.0, 4.0, 5.0), PERIOD)
    assert found.action.ravel().tolist() == [3.0]


def test_a_measurement_that_was_repeated_counts_once() -> None:
    stamps = np.array([to_ns(t) for t in (0.0, 0.02, 0.02, 0.04, 0.05)])
    position = column(0.0, 2.0, 9.0, 4.0, 5.0)
    found = windows(stamps, position, position, position, PERIOD)
    assert found.next_state.tolist() == [[5.0, 5.0]]


def test_too_short_a_flight_has_no_period() -> None:
    for count in (0, 1, 2):
        stamps = np.arange(count, dtype=np.int64) * to_ns(0.01)
        ones = np.ones((count, 2))
        assert windows(stamps, ones, ones, ones, PERIOD).state.shape == (0, 4)


@given(steps=st.lists(st.integers(1, 40), min_size=2, max_size=60), capacity=st.sampled_from([100, 512]))
def test_both_ways_to_look_at_a_flight_agree(steps: list[int], capacity: int) -> None:
    stamps = np.cumsum(steps) * 1_000_000
    random = np.random.default_rng(len(steps))
    position, velocity, held = random.normal(size=(3, len(steps), 2))
    history = WindowHistory(2, PERIOD, capacity)
    rows: list[FloatArray] = []
    for index, stamp_ns in enumerate(stamps.tolist()):
        history.append(stamp_ns, position[index], velocity[index], held[index])
        beginning = history.beginning()
        if beginning is not None:
            rows.append(np.concatenate([beginning[:4], held[index], position[index], velocity[index]]))
    found = windows(stamps, position, velocity, held, PERIOD)
    assert_allclose(np.hstack(found), np.array(rows).reshape(-1, 10), atol=1e-12)
