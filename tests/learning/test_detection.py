"""ROC by hand, and the moment of a stop against the check that would have made it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.monitor_settings import Grades
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.learning.detection import auroc, first_stop_ns, roc_curve, wilson_interval
from robot_mbrl.safety.judgement import Grader


def test_the_area_counts_pairs_and_half_the_ties() -> None:
    # Of six pairs 3 > 1, 3 > 2, 2 > 1 count one each, 2 = 2 a half, and two of 0 none.
    assert auroc([3.0, 2.0, 0.0], [1.0, 2.0]) == pytest.approx(3.5 / 6)
    assert auroc([2.0, math.inf], [1.0]) == 1.0
    assert math.isnan(auroc([], [1.0]))


def test_the_curve_goes_through_every_limit() -> None:
    false, true = roc_curve([3.0, 2.0, 0.0], [1.0, 2.0])
    # Limits: infinity, 3, 2, 1, 0, minus infinity; a score stops when it is above.
    assert false.tolist() == [0.0, 0.0, 0.0, 0.5, 1.0, 1.0]
    assert true == pytest.approx([0.0, 0.0, 1 / 3, 2 / 3, 2 / 3, 1.0])
    # The curve's area with straight lines between its points is the area by pairs.
    assert np.trapezoid(true, false) == pytest.approx(auroc([3.0, 2.0, 0.0], [1.0, 2.0]))


@given(
    steps=st.lists(st.integers(1, 30), min_size=1, max_size=40),
    data=st.data(),
    persistence=st.integers(0, 60),
    limit=st.integers(1, 9),
)
def test_the_stop_comes_when_the_check_makes_it(
    steps: list[int], data: st.DataObject, persistence: int, limit: int
) -> None:
    values = data.draw(
        st.lists(st.one_of(st.integers(0, 10), st.just(math.nan)), min_size=len(steps), max_size=len(steps))
    )
    times_ns = np.cumsum(steps) * 1_000_000
    grader = Grader(Grades(stop=limit, persistence=persistence * 1e-3), 0.1)
    expected = None
    for value, now_ns in zip(values, times_ns.tolist(), strict=True):
        # The monitor's checks take a missing value for 0.
        level = grader.judge(0.0 if math.isnan(value) else value, now_ns).level
        expected = now_ns if expected is None and level is VerdictLevel.STOP else expected
    assert first_stop_ns(times_ns, np.array(values, np.float64), limit, persistence * 1e-3) == expected


def test_a_break_starts_the_persistence_anew() -> None:
    stamps = np.arange(8, dtype=np.int64) * to_ns(0.01)
    values = np.array([2.0, 2.0, 0.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    assert first_stop_ns(stamps, values, 1.0, 0.03) == to_ns(0.06)
    assert first_stop_ns(stamps, values, 2.0, 0.03) is None


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, table I, case 81 of 263: 0.2553 to 0.3662; case 0 of 20: 0 to 0.1611.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)
