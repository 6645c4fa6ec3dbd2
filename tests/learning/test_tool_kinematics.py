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


@pytest.mark.parametrize("point", [(0.0, 0.0, 0.0), (0.05, -0.02, 0.03)])
@pytest.mark.parametrize("name", arm_names())
def test_it_is_where_mujoco_puts_the_tool(name: str, point: tuple[float, float, float]) -> None:
    arm = load_arm(name)
    model = build_model(arm, nominal_truth(arm).without_backlash())
    data, places = mujoco.MjData(model), Addresses(model, arm)
    poses = np.random.default_rng(0).uniform(-3.0, 3.0, (50, len(arm.joints)))
    expected = np.zeros((50, 3))
    for pose, place in zip(poses, expected, strict=True):
        data.qpos[places.position] = pose
        mujoco.mj_kinematics(model, data)
        place[:] = data.site_xpos[places.tool] + data.site_xmat[places.tool].reshape(3, 3) @ np.array(point)
    kinematics = ToolKinematics(model, arm.joint_names, point)
    np.testing.assert_allclose(kinematics.place(torch.as_tensor(poses)).numpy(), expected, atol=1e-12)
    single = kinematics.place(torch.as_tensor(poses, dtype=torch.float32).reshape(5, 10, -1))
    np.testing.assert_allclose(single.numpy().reshape(50, 3), expected, atol=1e-6)


def test_a_joint_that_the_pose_does_not_give_is_refused() -> None:
    arm = load_arm("so101_follower")
    model = build_model(arm, nominal_truth(arm).without_backlash())
    with pytest.raises(ConfigError, match="wrist_flex"):
        ToolKinematics(model, tuple(name for name in arm.joint_names if name != "wrist_flex"))
