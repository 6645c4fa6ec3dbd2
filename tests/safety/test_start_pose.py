"""The check of the start pose."""

import numpy as np
import pytest

from robot_mbrl.safety.start_pose import start_pose_problem

NAMES = ("shoulder", "elbow")
LIMITS = np.array([[-1.0, 1.0], [0.0, 2.0]])
REST = np.zeros(2)
INSIDE = np.array([0.5, 0.5])


def test_an_arm_at_rest_within_its_limits_may_start() -> None:
    assert start_pose_problem(NAMES, INSIDE, REST, LIMITS) is None
    assert start_pose_problem(NAMES, INSIDE, REST, LIMITS, held_goal=INSIDE + 0.05) is None
    assert start_pose_problem(NAMES, np.array([1.005, -0.005]), REST, LIMITS) is None


@pytest.mark.parametrize(
    ("position", "velocity", "goal", "complaint"),
    [
        ([1.02, 0.5], [0.0, 0.0], None, "shoulder: at 1.020 rad, outside -1.000..1.000 rad"),
        ([0.5, -0.02], [0.0, 0.0], None, "elbow: at -0.020 rad"),
        ([0.5, np.nan], [0.0, 0.0], None, "elbow: at nan rad"),
        ([0.5, 0.5], [0.0, -0.06], None, "elbow: moving at -0.060 rad/s, limit 0.05 rad/s"),
        ([0.5, 0.5], [np.nan, 0.0], None, "shoulder: moving at nan rad/s"),
        ([0.5, 0.5], [0.0, 0.0], [0.5, 0.61], "elbow: 0.110 rad from its goal, limit 0.1 rad"),
        ([0.5, 0.5], [0.0, 0.0], [np.nan, 0.5], "shoulder: nan rad from its goal"),
    ],
)
def test_anything_else_is_named_with_its_value_and_limit(
    position: list[float], velocity: list[float], goal: list[float] | None, complaint: str
) -> None:
    problem = start_pose_problem(
        NAMES, np.array(position), np.array(velocity), LIMITS, None if goal is None else np.array(goal)
    )
    assert problem is not None
    assert problem.startswith(complaint)
    assert "\n" not in problem
