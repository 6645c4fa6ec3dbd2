"""The path through a policy's actions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.runtime.action_path import BACKLOG, ActionPath

ACTION_PERIOD = 0.02
APPROACH_SPEED = 0.5
NEVER = to_ns(1e6)


def started(position: float = 0.0) -> ActionPath:
    path = ActionPath(1, ACTION_PERIOD, APPROACH_SPEED)
    path.start(np.array([position]))
    return path


def following(position: float = 0.0) -> ActionPath:
    """A path that has caught the policy, which waits at `position` [rad]."""
    path = started(position)
    path.append(np.array([position]), NEVER)
    path.advance(ACTION_PERIOD, 0)
    return path


def append(path: ActionPath, position: float, expires_ns: int = NEVER) -> None:
    path.append(np.array([position]), expires_ns)


def advance(path: ActionPath, elapsed: float, now_ns: int = 0) -> float:
    return float(path.advance(elapsed, now_ns)[0])


def test_between_two_actions_the_path_is_a_straight_line_over_the_action_period() -> None:
    path = following()
    append(path, 0.008)
    assert [advance(path, 0.005) for _ in range(4)] == pytest.approx([0.002, 0.004, 0.006, 0.008])
    append(path, 0.004)
    assert [advance(path, 0.005) for _ in range(4)] == pytest.approx([0.007, 0.006, 0.005, 0.004])


def test_past_the_last_action_nothing_is_extrapolated() -> None:
    path = following()
    append(path, 0.008)
    assert advance(path, 1.0) == 0.008
    assert advance(path, 1.0) == 0.008


def test_a_first_action_far_away_is_approached_slowly() -> None:
    path = started()
    append(path, 1.0)
    assert advance(path, 1.0) == pytest.approx(0.5)
    assert advance(path, 1.0) == pytest.approx(1.0)


def test_while_approaching_only_the_newest_action_counts() -> None:
    path = started()
    append(path, 1.0)
    advance(path, 0.2)
    append(path, -1.0)
    assert advance(path, 0.2) == pytest.approx(0.0)


def test_an_approach_slows_down_towards_its_end() -> None:
    """With 0.1 s of time constant from 50 mrad on, as long as actions come."""
    path = started()
    gaps = []
    for _ in range(40):
        append(path, 0.05)
        gaps.append(0.05 - advance(path, ACTION_PERIOD))
    assert gaps[:5] == pytest.approx([0.05 * 0.8**k for k in range(1, 6)])
    assert gaps[-1] == 0.0


def test_a_policy_that_comes_closer_is_waited_for() -> None:
    path = started()
    for count in range(30):
        goal = 0.4 - 0.02 * count
        append(path, goal)
        position = advance(path, ACTION_PERIOD)
        assert position <= max(goal, 0.021)
    assert position == pytest.approx(goal, abs=2e-3)


def test_once_caught_the_policys_own_speed_holds() -> None:
    path = following()
    append(path, 0.01)
    append(path, 0.06)
    assert advance(path, 0.02) == pytest.approx(0.01)
    assert advance(path, 0.01) == pytest.approx(0.035)


def test_a_slowed_motion_stays_on_the_path_and_falls_behind() -> None:
    """At half the pace the corner of an angle is still passed through."""
    path = ActionPath(2, ACTION_PERIOD, APPROACH_SPEED)
    path.start(np.zeros(2))
    path.append(np.zeros(2), NEVER)
    path.advance(ACTION_PERIOD, 0)
    corners = [np.array([0.01, 0.0]), np.array([0.01, 0.01])]
    seen = []
    for corner in corners:
        path.append(corner, NEVER)
        seen += [path.advance(ACTION_PERIOD / 8, 0).copy() for _ in range(4)]
    seen += [path.advance(ACTION_PERIOD / 8, 0).copy() for _ in range(8)]
    for x, y in seen:
        assert y == pytest.approx(0.0) or x == pytest.approx(0.01)
    np.testing.assert_allclose(seen[7], [0.01, 0.0], atol=1e-12)
    np.testing.assert_allclose(seen[-1], [0.01, 0.01])


def test_an_expired_action_is_left_out_and_the_way_past_it_taken_at_the_policys_speed() -> None:
    """Actions 0.02 rad apart are 1 rad/s; without the first, 0.04 rad to the second still take 40 ms."""
    path = following(0.001)
    append(path, 0.021, expires_ns=5)
    append(path, 0.041)
    assert advance(path, 0.02, now_ns=5) == pytest.approx(0.021)
    assert advance(path, 0.02, now_ns=5) == pytest.approx(0.041)


def test_an_action_expires_on_the_way_to_it() -> None:
    path = following()
    append(path, 0.008, expires_ns=to_ns(0.01))
    assert advance(path, 0.01, to_ns(0.009)) == pytest.approx(0.004)
    assert advance(path, 0.01, to_ns(0.010)) == pytest.approx(0.004)
    assert path.expires_ns == to_ns(0.01)


def test_a_start_keeps_the_newest_action_only() -> None:
    path = started()
    append(path, 0.008)
    append(path, 0.016)
    path.start(np.array([0.516]))
    assert path.behind == 0.0
    assert [advance(path, 0.5), advance(path, 0.5)] == pytest.approx([0.266, 0.016])


def test_what_is_forgotten_is_not_gone_to() -> None:
    path = started()
    append(path, 0.008)
    path.forget()
    assert path.expires_ns == -1
    path.start(np.array([0.5]))
    assert advance(path, 1.0) == 0.5


def test_a_policy_that_moves_on_is_caught_up_with_at_the_approach_speed() -> None:
    """It is 0.2 rad ahead and moves at 1 rad/s: 0.15 rad at 0.5 rad/s, then 0.1 s · ln 50 down to a millirad."""
    path = started()
    gaps = []
    for count in range(45):
        goal = 0.2 + count * ACTION_PERIOD
        append(path, goal)
        gaps.append(goal - advance(path, ACTION_PERIOD))
    assert gaps[10] == pytest.approx(0.2 - 10 * 0.5 * ACTION_PERIOD, abs=0.011)
    np.testing.assert_allclose(gaps[-5:], 0.0, atol=1e-12)


def test_no_more_than_a_backlog_waits_and_the_oldest_go_first() -> None:
    path = following()
    append(path, 0.001)
    for count in range(2 * BACKLOG):
        append(path, 0.001 * (count + 2))
    assert path.behind == pytest.approx((2 * BACKLOG + 1) * ACTION_PERIOD)
    assert advance(path, 0.0) == 0.0
    assert advance(path, 10.0) == pytest.approx(0.001 * (2 * BACKLOG + 1))


@given(
    st.lists(st.tuples(st.floats(-0.05, 0.05), st.integers(0, 8)), min_size=1, max_size=40),
    st.floats(0.0, 1.25),
)
def test_the_path_never_leaps(steps: list[tuple[float, int]], pace: float) -> None:
    """A tick's step is the pace times the largest speed that the policy or the approach has, whatever is late."""
    path, period, goal, before = started(), 0.002, 0.0, 0.0
    fastest = APPROACH_SPEED + max(abs(step) / ACTION_PERIOD for step, _ in steps)
    for step, ticks in steps:
        goal += step
        append(path, goal)
        for _ in range(ticks):
            position = advance(path, pace * period)
            assert abs(position - before) <= pace * period * fastest * (1 + 1e-9) + 1e-12
            before = position
