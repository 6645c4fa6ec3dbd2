"""What a command must satisfy, and the path of a controlled stop."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import LimitViolation, NonFiniteCommand
from robot_mbrl.contracts.types import JointCommand
from robot_mbrl.drivers.arms import BRAKING_TIMESTEP, CommandedPath, check_command, load_arm

ARM = load_arm("so101_follower")
LIMITS = np.array([joint.position_limits for joint in ARM.joints])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("index", range(6))
def test_a_number_that_is_not_finite_is_refused_and_named(bad: float, index: int) -> None:
    goal = np.zeros(6)
    goal[index] = bad
    with pytest.raises(NonFiniteCommand, match=f"{ARM.joints[index].name}: goal"):
        check_command(ARM, JointCommand(goal))


def test_the_limits_themselves_are_allowed_and_beyond_them_is_not() -> None:
    for column, outwards in ((0, -1.0), (1, 1.0)):
        check_command(ARM, JointCommand(LIMITS[:, column].copy()))
        for index, joint in enumerate(ARM.joints):
            goal = LIMITS[:, column].copy()
            goal[index] += outwards * 0.001
            with pytest.raises(LimitViolation, match=f"{joint.name}: goal"):
                check_command(ARM, JointCommand(goal))


@pytest.mark.parametrize("shape", [(5,), (7,), (6, 1), ()])
def test_a_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(LimitViolation, match="shape"):
        check_command(ARM, JointCommand(np.zeros(shape)))


def moving_path(velocity: float, timestep: float = 0.01) -> CommandedPath:
    """The first joint at `velocity` [rad/s], the others at rest; the last goal was sent at 0.1 s."""
    path = CommandedPath(ARM)
    path.seed(np.zeros(6), 0)
    for step in range(1, 11):
        goal = np.zeros(6)
        goal[0] = velocity * step * timestep
        path.advance(goal, to_ns(step * timestep))
    return path


def test_a_stop_from_2_rad_per_s_takes_the_time_and_the_way_that_the_limits_ask_for() -> None:
    """2/38 + 38/1900 s = 72.63 ms, and 2/2 times that: 72.63 mrad, in 15 goals 5 ms apart."""
    path = moving_path(2.0)
    plan = path.plan(to_ns(0.1))
    assert plan.duration == pytest.approx(2 / 38 + 38 / 1900)
    goals = list(path.braking(to_ns(0.1)))
    assert len(goals) == 15
    np.testing.assert_allclose(goals[-1], [0.2 + plan.duration, 0, 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_array_equal(goals[-1], plan.sample(plan.duration))


@given(st.floats(-4.9, 4.9))
def test_the_goals_of_a_stop_keep_to_the_acceleration_limit_and_never_speed_up(velocity: float) -> None:
    path = moving_path(velocity)
    way = np.array([path.goal[0], *(goal[0] for goal in path.braking(to_ns(0.1)))])
    speed = np.append(abs(velocity), np.abs(np.diff(way)) / BRAKING_TIMESTEP)
    assert (np.diff(speed) <= 1e-9).all()
    assert (-np.diff(speed[1:]) / BRAKING_TIMESTEP <= 38.0 + 1e-6).all()


def test_a_stop_does_not_pass_a_position_limit() -> None:
    path = CommandedPath(ARM)
    path.seed(np.full(6, 1.5), 0)
    path.advance(np.full(6, 1.53), to_ns(0.01))
    goals = np.array(list(path.braking(to_ns(0.01))))
    assert (goals <= LIMITS[:, 1]).all()
    free = 1.53 + 3 / 2 * (3 / 38 + 38 / 1900)
    np.testing.assert_allclose(goals[-1], np.minimum(free, LIMITS[:, 1]))


def test_a_stop_at_rest_repeats_the_goal_once() -> None:
    path = moving_path(2.0)
    goals = list(path.braking(to_ns(0.2)))
    assert len(goals) == 1
    np.testing.assert_array_equal(goals[0], path.goal)
