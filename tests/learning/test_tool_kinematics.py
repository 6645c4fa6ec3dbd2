"""The tool's place in torch is MuJoCo's."""

import mujoco
import numpy as np
import pytest
import torch

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import arm_names, load_arm
from robot_mbrl.learning.tool_kinematics import ToolKinematics
from robot_mbrl.sim.addresses import Addresses
from robot_mbrl.sim.model import build_model
from robot_mbrl.sim.truth import nominal_truth

POINTS = (0.0, 0.0, 0.0), (0.05, -0.02, 0.03)


@pytest.mark.parametrize("name", arm_names())
def test_it_is_where_mujoco_puts_the_tool_and_what_goes_with_it(name: str) -> None:
    arm = load_arm(name)
    model = build_model(arm, nominal_truth(arm).without_backlash())
    data, addresses = mujoco.MjData(model), Addresses(model, arm)
    poses = np.random.default_rng(0).uniform(-3.0, 3.0, (50, len(arm.joints)))
    expected = np.zeros((50, 2, 3))
    for pose, places in zip(poses, expected, strict=True):
        data.qpos[addresses.position] = pose
        mujoco.mj_kinematics(model, data)
        turn = data.site_xmat[addresses.tool].reshape(3, 3)
        places[:] = data.site_xpos[addresses.tool] + np.array(POINTS) @ turn.T
    kinematics = ToolKinematics(model, arm.joint_names, POINTS)
    np.testing.assert_allclose(kinematics.places(torch.as_tensor(poses)).numpy(), expected, atol=1e-12)
    single = kinematics.places(torch.as_tensor(poses, dtype=torch.float32).reshape(5, 10, -1))
    np.testing.assert_allclose(single.numpy().reshape(50, 2, 3), expected, atol=1e-6)
    tool = ToolKinematics(model, arm.joint_names).place(torch.as_tensor(poses))
    np.testing.assert_allclose(tool.numpy(), expected[:, 0], atol=1e-12)


def test_a_joint_that_the_pose_does_not_give_is_refused() -> None:
    arm = load_arm("so101_follower")
    model = build_model(arm, nominal_truth(arm).without_backlash())
    with pytest.raises(ConfigError, match="wrist_flex"):
        ToolKinematics(model, tuple(name for name in arm.joint_names if name != "wrist_flex"))
