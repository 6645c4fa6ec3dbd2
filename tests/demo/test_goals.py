"""Goals are where the arm's tool can be; the exploration is one clear way from the pose in which the arm stands."""

from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.benchmarks.doubt.motions import CLEARANCE
from robot_mbrl.demo.goals import FARTHEST, HIGH, LOW, PIECE, GoalDraw, exploration
from robot_mbrl.demo.stand import READY
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.policies.scripted import load_trajectory
from robot_mbrl.sim.geometry import MujocoGeometry

ARM = load_arm("so101_follower")
POSE = np.array([READY.get(name, 0.0) for name in ARM.joint_names])


def test_goals_lie_in_the_box_and_near_each_other() -> None:
    goals = np.array(GoalDraw(ARM, np.random.default_rng(0)).draw(20))
    assert (goals >= np.array(LOW) - 1e-4).all()
    assert (goals <= np.array(HIGH) + 1e-4).all()
    assert np.linalg.norm(np.diff(goals, axis=0), axis=1).max() < FARTHEST + 1e-3
    assert np.ptp(goals, axis=0).min() > 0.05


def test_the_same_seed_gives_the_same_goals() -> None:
    first, again, other = (GoalDraw(ARM, np.random.default_rng(seed)).draw(3) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_first_pose_is_clear() -> None:
    geometry = MujocoGeometry(ARM)
    assert geometry.clearance(POSE).distance > CLEARANCE
    assert geometry.tool_position(POSE)[2] > CLEARANCE


def test_the_exploration_is_clear_all_the_way(tmp_path: Path) -> None:
    legs = exploration(ARM, POSE, 3.0 * PIECE, np.random.default_rng(3), tmp_path)
    assert sum(leg.seconds for leg in legs) >= 3.0 * PIECE
    geometry = MujocoGeometry(ARM)
    pose = POSE
    for leg in legs:
        trajectory = load_trajectory(Path(leg.policy.removeprefix("scripted:")))
        assert sum(waypoint.duration for waypoint in trajectory.waypoints) == pytest.approx(leg.seconds)
        for waypoint in trajectory.waypoints:
            after = np.array([waypoint.position[name] for name in ARM.joint_names])
            between = [pose + share * (after - pose) for share in np.linspace(0.0, 1.0, 5)]
            assert min(geometry.clearance(place).distance for place in between) > 0.5 * CLEARANCE
            pose = after
