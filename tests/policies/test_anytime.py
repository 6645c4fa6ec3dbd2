"""How many iterations fit before a deadline, on a clock that moves only when told to."""

import pytest

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.errors import DeadlineTooShort
from robot_mbrl.policies.anytime import AnytimeBudget

MS = 1_000_000


def run(budget: AnytimeBudget, clock: ManualClock, deadline: float | None, took: list[float], finish: float) -> int:
    """A plan `deadline` [ms] from now, of at most `len(took)` iterations that take `took` [ms]; how many there were."""
    budget.start(None if deadline is None else clock.now_ns() + round(deadline * MS))
    iterations = 0
    while iterations < len(took) and budget.allows(iterations):
        clock.advance(took[iterations] / 1000.0)
        budget.count(iterations)
        iterations += 1
    clock.advance(finish / 1000.0)
    budget.finish()
    return iterations


def test_without_a_deadline_all_iterations_run() -> None:
    clock = ManualClock()
    assert run(AnytimeBudget(clock), clock, None, [10.0, 8.0, 6.0], 1.0) == 3


def test_an_iteration_begins_only_when_it_and_the_finish_took_no_longer_the_last_time() -> None:
    """10 + 8 + 6 and 1 to finish: 25 ms are enough for three, 24.9 ms for two, 17 ms for one."""
    clock = ManualClock()
    budget = AnytimeBudget(clock)
    run(budget, clock, None, [10.0, 8.0, 6.0], 1.0)
    assert run(budget, clock, 25.0, [10.0, 8.0, 6.0], 1.0) == 3
    assert run(budget, clock, 24.9, [10.0, 8.0, 6.0], 1.0) == 2
    assert run(budget, clock, 17.0, [10.0, 8.0, 6.0], 1.0) == 1


def test_an_iteration_that_never_ran_is_taken_to_be_as_long_as_the_one_before() -> None:
    clock = ManualClock()
    assert run(AnytimeBudget(clock), clock, 19.9, [10.0, 10.0], 0.0) == 1
    assert run(AnytimeBudget(clock), clock, 20.0, [10.0, 10.0], 0.0) == 2


def test_a_slow_first_iteration_still_gives_a_plan() -> None:
    clock = ManualClock()
    budget = AnytimeBudget(clock)
    run(budget, clock, None, [5.0, 5.0], 0.0)
    assert run(budget, clock, 12.0, [40.0, 5.0], 0.0) == 1
    assert run(budget, clock, 12.0, [5.0, 5.0], 0.0) == 2


def test_a_slow_iteration_is_tried_again_after_some_plans() -> None:
    """It took 50 ms once, when 5 are its least: after k refusals 5 + 45 x 0.9^k are expected, 24.4 ms for k = 8."""
    clock = ManualClock()
    budget = AnytimeBudget(clock)
    run(budget, clock, None, [5.0, 5.0, 5.0], 0.0)
    assert run(budget, clock, 30.0, [5.0, 50.0, 5.0], 0.0) == 2
    assert [run(budget, clock, 30.0, [5.0, 5.0, 5.0], 0.0) for _ in range(11)] == 8 * [1] + 3 * [3]


def test_an_iteration_that_never_was_fast_enough_stays_refused() -> None:
    clock = ManualClock()
    budget = AnytimeBudget(clock)
    run(budget, clock, None, [5.0, 26.0], 0.0)
    assert [run(budget, clock, 30.0, [5.0, 26.0], 0.0) for _ in range(50)] == 50 * [1]


def test_what_comes_before_the_first_iteration_counts_as_a_part_of_it() -> None:
    clock = ManualClock()
    budget = AnytimeBudget(clock)
    budget.start(None)
    clock.advance(0.007)
    assert budget.allows(0)
    clock.advance(0.003)
    budget.count(0)
    budget.finish()
    with pytest.raises(DeadlineTooShort, match=r"one iteration takes 10\.0 ms"):
        budget.start(clock.now_ns() + round(9.9 * MS))


def test_a_slow_finish_costs_iterations_of_the_next_plan_only() -> None:
    """5 and 1 to finish fit in 12 ms though it once took 40, when the processor was somebody else's."""
    clock = ManualClock()
    budget = AnytimeBudget(clock)
    assert run(budget, clock, None, [5.0, 5.0], 1.0) == 2
    assert run(budget, clock, 12.0, [5.0, 5.0], 40.0) == 2
    assert run(budget, clock, 12.0, [5.0, 5.0], 1.0) == 1
    assert run(budget, clock, 12.0, [5.0, 5.0], 1.0) == 2


def test_a_deadline_too_short_for_one_iteration_is_refused() -> None:
    clock = ManualClock()
    budget = AnytimeBudget(clock)
    run(budget, clock, None, [10.0], 2.0)
    with pytest.raises(DeadlineTooShort, match=r"^11\.9 ms are left for the plan, one iteration takes 12\.0 ms: give"):
        budget.start(clock.now_ns() + round(11.9 * MS))
    budget.start(clock.now_ns() + 12 * MS)


def test_a_deadline_in_the_past_is_refused_before_anything_was_measured() -> None:
    clock = ManualClock(start_ns=50 * MS)
    with pytest.raises(DeadlineTooShort, match=r"^-1\.0 ms are left for the plan"):
        AnytimeBudget(clock).start(49 * MS)
