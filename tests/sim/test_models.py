"""The arm models against their published tables, with kinematics written out independently of MuJoCo."""

import math

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import ArmDefinition, arm_names, load_arm
from robot_mbrl.sim.model import build_model, build_spec
from robot_mbrl.sim.names import TOOL_SITE
from robot_mbrl.sim.scene import Cube, Scene
from robot_mbrl.sim.truth import nominal_truth

# Position and quaternion (w x y z) of each SO-101 link in its parent: the published table, typed in a second time.
SO101_FRAMES = (
    ((0.0388353, 0, 0.0624), (0, 0, -1, 0)),
    ((-0.0303992, -0.0182778, -0.0542), (1, -1, -1, -1)),
    ((-0.11257, -0.028, 0), (1, 0, 0, 1)),
    ((-0.1349, 0.0052, 0), (1, 0, 0, -1)),
    ((0, -0.0611, 0.0181), (0.0172091, -0.0172091, 0.706897, 0.706897)),
)
SO101_TOOL = ((0.012, -0.000218, -0.098127), (1, 0, 1, 0))
SO101_MASSES = {
    "base": 0.147,
    "shoulder": 0.100006,
    "upper_arm": 0.103,
    "lower_arm": 0.104,
    "wrist": 0.079,
    "gripper": 0.087,
    "moving_jaw": 0.012,
}
SO101_RANGES = (
    (-1.91986, 1.91986),
    (-1.74533, 1.74533),
    (-1.69, 1.69),
    (-1.65806, 1.65806),
    (-2.74385, 2.84121),
    (-0.17453, 1.74533),
)
LOWER_ARM_INERTIA = 1e-5 * np.array([[2.8744, 0.7412, 0.1264], [0.7412, 15.9844, -0.0049], [0.1264, -0.0049, 14.5290]])

POSES = (
    (0.0, 0.0, 0.0, 0.0, 0.0),
    (0.5, -0.3, 0.7, -0.4, 1.1),
    (-1.2, 0.9, -1.1, 1.3, -2.0),
    (1.9, -1.7, 1.6, 0.2, 2.7),
)


def so101(**changes: float) -> tuple[ArmDefinition, mujoco.MjModel]:
    arm = load_arm("so101_follower")
    return arm, build_model(arm, nominal_truth(arm).model_copy(update=changes).without_backlash())


def homogeneous(position: tuple[float, ...], quaternion: tuple[float, ...]) -> NDArray[np.float64]:
    """By Rodrigues' formula R = I + 2 w [v]x + 2 [v]x², not by MuJoCo."""
    w, *v = np.asarray(quaternion, float) / np.linalg.norm(quaternion)
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    transform = np.eye(4)
    transform[:3, :3] += 2 * w * cross + 2 * cross @ cross
    transform[:3, 3] = position
    return transform


def turned(angle: float) -> NDArray[np.float64]:
    transform = np.eye(4)
    transform[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    return transform


def so101_tool(pose: tuple[float, ...]) -> NDArray[np.float64]:
    transform = np.eye(4)
    for frame, angle in zip(SO101_FRAMES, pose, strict=True):
        transform = transform @ homogeneous(*frame) @ turned(angle)
    return transform @ homogeneous(*SO101_TOOL)


@pytest.mark.parametrize("pose", POSES)
def test_the_tool_is_where_homogeneous_transforms_put_it(pose: tuple[float, ...]) -> None:
    arm, model = so101()
    data = mujoco.MjData(model)
    for name, angle in zip(arm.joint_names, pose, strict=False):
        data.joint(name).qpos[0] = angle
    mujoco.mj_kinematics(model, data)
    expected = so101_tool(pose)
    np.testing.assert_allclose(data.site(TOOL_SITE).xpos, expected[:3, 3], atol=1e-12)
    np.testing.assert_allclose(data.site(TOOL_SITE).xmat.reshape(3, 3), expected[:3, :3], atol=1e-12)


def test_the_zero_pose_reaches_forward() -> None:
    """Hand-computed from the table: 0.3914 m ahead, 1 mm to the right, 0.2463 m up."""
    _, model = so101()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    np.testing.assert_allclose(data.site(TOOL_SITE).xpos, (0.3914, -0.0010, 0.2463), atol=5e-5)


def test_the_koch_arm_s_frames_add_up() -> None:
    """In Menagerie's zero pose no frame is turned, so the gripper's origin is the sum of the positions (hand-computed).

    x = 0.012 - 0.0148 - 0.10048 - 0.045, y = -0.0209 + 0.0065 + 0.00005 + 0.013097, z = 0.0409 + 0.0154 + 0.1083 +
    0.0026999, and x and y change sign because the base is turned to reach along +x.
    """
    arm = load_arm("koch_follower")
    model = build_model(arm, nominal_truth(arm).without_backlash())
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    np.testing.assert_allclose(data.body("gripper").xpos, (0.14828, 0.001253, 0.1672999), atol=1e-9)
    moving = 0.05014 + 0.050177 + 0.06379 + 0.019805 + 0.029277 + 0.012831
    assert model.body_subtreemass[model.body("shoulder").id] == pytest.approx(moving, rel=1e-12)


def test_masses_are_the_published_ones() -> None:
    _, model = so101()
    for body, mass in SO101_MASSES.items():
        assert model.body(body).mass[0] == pytest.approx(mass, rel=1e-12)
    assert model.body_mass.sum() == pytest.approx(0.632006, rel=1e-9)


def test_the_inertia_tensor_keeps_its_off_diagonal_entries() -> None:
    """MuJoCo stores principal moments: turned back, they must be the table's matrix, entry by entry."""
    _, model = so101()
    body = model.body("lower_arm")
    rotation = homogeneous((0, 0, 0), tuple(model.body_iquat[body.id]))[:3, :3]
    np.testing.assert_allclose(rotation @ np.diag(body.inertia) @ rotation.T, LOWER_ARM_INERTIA, atol=1e-12)


@pytest.mark.parametrize("name", arm_names())
def test_inertias_are_those_of_real_bodies(name: str) -> None:
    """Principal moments are positive, and each is at most the sum of the other two."""
    arm = load_arm(name)
    model = build_model(arm, nominal_truth(arm))
    moving = model.body_mass > 0.0
    moments = np.sort(model.body_inertia[moving], axis=1)
    assert (moments > 0.0).all()
    assert (moments[:, 2] <= moments[:, 0] + moments[:, 1]).all()


def test_stops_are_the_published_ranges() -> None:
    arm, model = so101()
    for name, stops in zip(arm.joint_names, SO101_RANGES, strict=True):
        np.testing.assert_allclose(model.joint(name).range, stops, atol=1e-12)


@pytest.mark.parametrize("name", arm_names())
def test_motors_and_joints_come_in_the_arm_s_order(name: str) -> None:
    arm = load_arm(name)
    model = build_model(arm, nominal_truth(arm), Scene(cube=Cube()))
    motors = [model.actuator(index).name for index in range(model.nu)]
    hinges = [model.joint(index).name for index in range(model.njnt)]
    assert tuple(motors) == arm.joint_names
    assert tuple(hinges[: 2 * model.nu : 2]) == arm.joint_names
    assert hinges[1 : 2 * model.nu : 2] == [f"{joint}_backlash" for joint in arm.joint_names]


@pytest.mark.parametrize("name", arm_names())
def test_the_same_angles_mean_the_same_pose_on_both_arms(name: str) -> None:
    """Positive shoulder lift leans forward, positive elbow and wrist bend down, positive pan turns right."""
    arm = load_arm(name)
    model = build_model(arm, nominal_truth(arm).without_backlash())
    data = mujoco.MjData(model)

    def tool(joint: str | None = None) -> NDArray[np.float64]:
        mujoco.mj_resetData(model, data)
        if joint is not None:
            data.joint(joint).qpos[0] = 0.3
        mujoco.mj_kinematics(model, data)
        return np.array(data.site(TOOL_SITE).xpos)

    assert tool()[0] > 0.15
    assert tool("shoulder_pan")[1] < tool()[1] - 0.02
    for joint in ("shoulder_lift", "elbow_flex", "wrist_flex"):
        assert tool(joint)[2] < tool()[2] - 0.01


@pytest.mark.parametrize("name", arm_names())
def test_nothing_touches_in_the_zero_pose(name: str) -> None:
    arm = load_arm(name)
    model = build_model(arm, nominal_truth(arm))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    assert data.ncon == 0


def test_a_closed_gripper_holds_a_cube_against_gravity() -> None:
    """The jaw pushes with 0.3 N·m at 0.08 m, 3.75 N; friction 0.6 on two jaws carries 4.5 N, the cube weighs 0.2 N."""
    arm = load_arm("so101_follower")
    truth = nominal_truth(arm).without_backlash().model_copy(update={"gravity": 0.0})
    model = build_model(arm, truth, Scene(table=False, cube=Cube(position=(0.3914, -0.001, 0.2463))))
    data = mujoco.MjData(model)
    for index, name in enumerate(arm.joint_names[:5]):
        model.eq_data[model.equality(name).id, 0] = data.joint(name).qpos[0]
        data.eq_active[model.equality(name).id] = True
        data.ctrl[index] = 0.0
    data.joint("gripper").qpos[0] = 0.4
    data.ctrl[5] = -0.3 * truth.joints[5].resistance / truth.joints[5].torque_constant
    mujoco.mj_step(model, data, 1500)
    model.opt.gravity[2] = -9.81
    before = data.body("cube").xpos.copy()
    mujoco.mj_step(model, data, 500)
    assert np.linalg.norm(data.body("cube").xpos - before) < 0.002


def test_position_actuation_refuses_backlash() -> None:
    arm = load_arm("so101_follower")
    with pytest.raises(ConfigError, match=r"without_backlash"):
        build_model(arm, nominal_truth(arm), actuation="position")


def test_an_unknown_model_is_named() -> None:
    arm = load_arm("so101_follower").model_copy(update={"model": "so100"})
    with pytest.raises(ConfigError, match=r"'so100'.*koch, so101"):
        build_spec(arm)
