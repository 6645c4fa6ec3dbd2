"""What a command must satisfy, and the path of a controlled stop."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_mbrl.contracts.errors import LimitViolation, NonFiniteCommand
from robot_mbrl.contracts.types import JointCommand
from robot_mbrl.drivers.arms import braking_path, check_command, load_arm

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


def test_a_stop_from_2_rad_per_s_at_10_takes_02_s_and_02_rad() -> None:
    goals = list(braking_path(np.zeros(1), np.array([2.0]), np.array([10.0]), np.array([[-9.0, 9.0]]), 0.005))
    assert len(goals) == 40
    assert goals[-1][0] == pytest.approx(0.2)


@given(
    st.lists(st.floats(-5.0, 5.0), min_size=2, max_size=2),
    st.lists(st.floats(1.0, 40.0), min_size=2, max_size=2),
    st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=2),
)
def test_braking_keeps_to_the_deceleration_and_the_limits(v: list[float], a: list[float], q: list[float]) -> None:
    timestep = 0.005
    velocity, acceleration, position = np.array(v), np.array(a), np.array(q)
    limits = np.array([[-1.5, 1.5], [-1.5, 1.5]])
    path = np.array([position, *braking_path(position, velocity, acceleration, limits, timestep)])
    assert (path >= limits[:, 0]).all()
    assert (path <= limits[:, 1]).all()
    wide = np.array([[-99.0, 99.0], [-99.0, 99.0]])
    free = np.array([position, *braking_path(position, velocity, acceleration, wide, timestep)])
    speed = np.vstack([np.abs(velocity), np.abs(np.diff(free, axis=0)) / timestep])
    assert (np.diff(speed, axis=0) <= 1e-9).all()
    assert (-np.diff(speed[1:], axis=0) / timestep <= acceleration + 1e-6).all()


def test_a_stop_at_rest_repeats_the_goal_once() -> None:
    goals = list(braking_path(np.full(6, 0.3), np.zeros(6), np.full(6, 10.0), LIMITS, 0.005))
    assert len(goals) == 1
    assert (goals[0] == 0.3).all()
