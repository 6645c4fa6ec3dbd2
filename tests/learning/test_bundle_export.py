"""Bundles of the twin's tasks: geometry and targets are the twin's own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.drivers.arms import arm_names, load_arm
from robot_mbrl.learning.bundle_export import code_version, kinematic_chain
from robot_mbrl.policies.bundle import read_bundle
from robot_mbrl.policies.joint_space import OBSERVED
from robot_mbrl.policies.kinematic_chain import ToolPosition
from robot_mbrl.policies.onnx_policy import OnnxPolicy
from robot_mbrl.runtime.policy_process import joint_space
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from robot_mbrl.sim.geometry import MujocoGeometry
from robot_mbrl.sim.tasks import make_env
from tests.learning.task_bundles import linear_bundle


@pytest.mark.parametrize("name", arm_names())
def test_the_chain_is_mujocos(name: str) -> None:
    arm = load_arm(name)
    place, geometry = ToolPosition(kinematic_chain(arm), arm.joint_names), MujocoGeometry(arm)
    limits = np.array([joint.position_limits for joint in arm.joints])
    for position in np.random.default_rng(0).uniform(limits[:, 0], limits[:, 1], (200, len(limits))):
        assert_allclose(place(position), geometry.tool_position(position), atol=1e-12)


@pytest.mark.parametrize("task", ["reach", "push"])
def test_the_policy_sets_the_targets_that_the_twin_would(tmp_path: Path, task: str) -> None:
    """Observations are built from what a deployment sees; the targets must be those of the task, step by step."""
    environment = make_env(task)
    layout, arm = environment.task.layout, environment.task.arm
    weight = np.random.default_rng(0).normal(0.0, 1.0, (layout.size, len(arm.joints)))
    bias = np.zeros(len(arm.joints))
    bundle = read_bundle(linear_bundle(tmp_path / "bundle", environment.task, weight, bias))
    deployment = DeploySettings(robot=TwinSettings(), goal=(0.2, 0.0, 0.1), loop=LoopSettings(policy_rate=20.0))
    space = replace(joint_space(arm, deployment, ManualClock()), observed=(*OBSERVED, *layout.slices))
    policy = OnnxPolicy(bundle, space)
    seen, _ = environment.reset(seed=3)
    for _ in range(30):
        parts = {name: layout.part(seen, name) for name in layout.slices}
        action = policy.act(
            parts | {"position": parts["joints"], "velocity": parts["velocities"], "commanded": parts["targets"]}
        )
        seen, *_ = environment.step(seen @ weight)
        assert_allclose(action.position, layout.part(seen, "targets"), atol=1e-5)


def test_a_version_names_the_program() -> None:
    assert code_version().startswith("robot-mbrl ")
