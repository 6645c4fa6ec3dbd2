"""Clocks and the absolute-deadline ticker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_mbrl.contracts.clock import ManualClock, MonotonicClock, Ticker, to_ns


@given(st.lists(st.integers(0, 50_000_000), max_size=60))
def test_deadlines_never_leave_the_grid_and_missed_ticks_are_counted(work: list[int]) -> None:
    """Whatever each tick's work takes, ticks fall on start + k * period, and k is ticks run plus ticks missed."""
    clock = ManualClock(start_ns=123)
    ticker = Ticker(0.005, clock)
    for index, duration in enumerate(work):
        ticker.wait()
        assert (ticker.deadline_ns - 123) % 5_000_000 == 0
        assert (ticker.deadline_ns - 123) // 5_000_000 == index + 1 + ticker.missed
        assert clock.now_ns() == ticker.deadline_ns
        clock.advance(duration / 1e9)


def test_an_overrun_skips_whole_ticks_and_says_how_many() -> None:
    clock = ManualClock()
    ticker = Ticker(0.010, clock)
    assert ticker.wait() == 0
    clock.advance(0.025)
    assert ticker.wait() == 2
    assert clock.now_ns() == to_ns(0.040)
    assert ticker.missed == 2


def test_a_tick_that_is_exactly_due_is_not_missed() -> None:
    clock = ManualClock()
    ticker = Ticker(0.010, clock)
    clock.advance(0.010)
    assert ticker.wait() == 0
    assert clock.now_ns() == to_ns(0.010)


@pytest.mark.parametrize("spin", [0.0, 0.001])
def test_the_monotonic_clock_never_returns_early(spin: float) -> None:
    clock = MonotonicClock(spin)
    for wait_ns in (0, 100_000, 2_000_000):
        deadline = clock.now_ns() + wait_ns
        clock.sleep_until_ns(deadline)
        assert clock.now_ns() >= deadline


def test_time_cannot_go_back_and_a_period_must_be_positive() -> None:
    with pytest.raises(ValueError, match="cannot go back"):
        ManualClock().advance(-1.0)
    with pytest.raises(ValueError, match="must be positive"):
        Ticker(0.0, ManualClock())
