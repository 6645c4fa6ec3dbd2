"""What stalls of a machine cost a loop: by hand, and against a simulated one."""

import numpy as np
import pytest

from robot_mbrl.benchmarks.imposed_ticks import imposed_ticks


def test_stalls_cost_what_they_cost_at_a_random_moment() -> None:
    """Of a tick of 1000 with 400 of work, 600 can be lost.

    A stall of 700 costs a tick if it begins in the work (400 of 1000) or less than 100 before the next is due (100):
    0.5 on the average. One of 500 costs nothing; one of 1700 two ticks in the work, or up to 100 before a tick, and
    one at any other moment. Of a tick that works for 900 a stall of 700 costs one whenever it begins.
    """

    def cost(stalls: list[float], *works: float) -> float:
        return imposed_ticks(np.array(stalls), np.array(works), 1000.0)

    assert cost([700.0], 400.0) == pytest.approx(0.5, abs=0.01)
    assert cost([500.0, 0.0], 400.0) == 0.0
    assert cost([1700.0], 400.0) == pytest.approx(0.5 * 2 + 0.5, abs=0.01)
    assert cost(10 * [700.0], 400.0) == pytest.approx(5.0, abs=0.1)
    assert cost([700.0], 400.0, 900.0) == pytest.approx((0.5 + 1.0) / 2, abs=0.01)


def test_random_stalls_of_a_simulated_machine_cost_what_is_computed() -> None:
    """Ticks of 5 ms that work for 2.9 ms on a machine with a stall of 3.5 ms each second, at random."""
    rng = np.random.default_rng(0)
    period, work, stall, ticks = 5.0, 2.9, 3.5, 400_000
    begins = np.arange(0.0, ticks * period, 1000.0) + rng.uniform(100.0, 900.0, ticks * 5 // 1000)
    missed = 0
    for begin in begins:
        tick = np.floor(begin / period)
        phase = begin - tick * period
        end = phase + stall if phase >= work else work + stall
        late = max(0.0, end - period) + work if phase >= work else end
        missed += max(0, int(np.ceil(late / period)) - 1)
    computed = imposed_ticks(np.full(len(begins), stall), np.array([work]), period)
    assert missed == pytest.approx(computed, rel=0.05)
