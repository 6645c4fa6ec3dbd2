"""When physics steps, and what happens when it cannot keep up."""

import pytest

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.drivers.virtual.real_time import StepSchedule

MS = to_ns(0.001)


@pytest.fixture
def schedule() -> StepSchedule:
    """Steps of 1 ms, the first due at 1 ms."""
    return StepSchedule(0.001, 0)


def test_a_step_is_due_once_a_timestep_and_not_before(schedule: StepSchedule) -> None:
    assert not schedule.may_step(MS - 1, None)
    assert schedule.may_step(MS, None)
    schedule.stepped(MS, MS + 50_000)
    assert not schedule.may_step(MS + 50_000, None)
    assert schedule.next_ns == 2 * MS


def test_a_step_waits_for_an_answer_that_is_due_before_it_would_be_over(schedule: StepSchedule) -> None:
    assert not schedule.may_step(MS, MS + 20_000)
    assert schedule.may_step(MS, MS + 500_000)


def test_a_step_does_not_wait_for_ever(schedule: StepSchedule) -> None:
    assert not schedule.may_step(4 * MS, 4 * MS + 20_000)
    assert schedule.may_step(6 * MS, 6 * MS + 20_000)


def test_a_short_lag_is_caught_up(schedule: StepSchedule) -> None:
    now_ns = 11 * MS
    steps = 0
    while schedule.may_step(now_ns, None):
        assert not schedule.stepped(now_ns, now_ns)
        steps += 1
    assert steps == 11
    assert schedule.overruns.count == 0
    assert schedule.overruns.worst_lag == pytest.approx(0.009)


def test_a_long_lag_is_written_off_and_counted(schedule: StepSchedule) -> None:
    now_ns = 101 * MS
    assert schedule.stepped(now_ns, now_ns)
    assert schedule.overruns.count == 1
    assert schedule.overruns.lost == pytest.approx(0.099)
    assert schedule.next_ns == now_ns + MS
