"""Trials of a bundle on the twin and on the emulated arm: the same starts, and the same ends for a plain policy."""

from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError, ProcessFailed
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.bundle_trial import Place, try_bundle
from robot_mbrl.runtime.lockstep_flight import LockstepFlight
from robot_mbrl.sim.geometry import MujocoGeometry
from robot_mbrl.sim.tasks import make_env, make_task
from tests.learning.task_bundles import linear_bundle, pose_bundle

PLACES: tuple[Place, Place] = ("twin", "arm")
POSE = np.array([0.4, -0.3, 0.5, 0.2, 0.0, 0.5])
SEEDS = (3, 5)
"""Number 4 starts with the wrist on the shoulder, and is left out."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pose_bundle(tmp_path_factory.mktemp("trial") / "bundle", POSE)


def expected() -> list[float]:
    """Distance of each episode's goal from the tool at `POSE` [m]."""
    environment, tool = make_env("reach"), MujocoGeometry(load_arm("so101_follower")).tool_position(POSE)
    goals = [environment.task.layout.part(environment.reset(seed=seed)[0], "goal") for seed in SEEDS]
    return [float(np.linalg.norm(tool - goal)) for goal in goals]


def test_a_policy_that_goes_to_a_pose_ends_there_in_both_places(bundle: Path) -> None:
    """But for gravity, which pulls the outstretched arm down by some 2 cm, in both places alike."""
    twin, arm = (try_bundle(bundle, place, len(SEEDS), SEEDS[0]) for place in PLACES)
    assert [trial.distance for trial in twin] == pytest.approx(expected(), abs=0.025)
    assert [trial.distance for trial in arm] == pytest.approx([trial.distance for trial in twin], abs=0.003)
    for trials in (twin, arm):
        assert [trial.success for trial in trials] == [trial.distance < 0.02 for trial in trials]
        assert [trial.stopped for trial in trials] == [None, None]


def test_a_goal_that_is_reached_counts(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task("reach")
    monkeypatch.setattr(type(task), "tolerance", max(expected()) + 0.03)
    assert all(trial.success for trial in try_bundle(bundle, "twin", len(SEEDS), SEEDS[0]))


def test_a_start_that_the_monitor_does_not_let_pass_is_a_goal_that_was_not_reached(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task("reach")
    monkeypatch.setattr(type(task), "tolerance", 10.0)
    monkeypatch.setattr(LockstepFlight, "fly", refuse)
    (trial,) = try_bundle(bundle, "arm", 1, SEEDS[0])
    assert not trial.success
    assert trial.stopped == "so101_follower: not running within 2.0 s"


def refuse(*_: object) -> FrameArray:
    raise ProcessFailed("so101_follower: not running within 2.0 s")


def test_what_nothing_here_measures_cannot_be_tried(tmp_path: Path) -> None:
    task = make_task("push")
    made = linear_bundle(tmp_path / "bundle", task, np.zeros((task.layout.size, 6)), np.zeros(6))
    with pytest.raises(ConfigError, match="its task is push: only reach can be tried"):
        try_bundle(made, "twin", 1, 0)


def test_another_arm_is_refused(bundle: Path) -> None:
    with pytest.raises(ConfigError, match=r"for the arm so101 with .*: this arm is koch"):
        try_bundle(bundle, "twin", 1, 0, arm="koch_follower")
