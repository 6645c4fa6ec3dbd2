"""The arm's geometry against homogeneous transforms, brute force, and distances worked out by hand."""

import math

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition, arm_names, load_arm
from robot_mbrl.sim.geometry import PARKED_CLEARANCE, PARKED_RANGE, MujocoGeometry
from robot_mbrl.sim.linkages import linkage_of
from robot_mbrl.sim.links import Box, Quaternion, Vector
from robot_mbrl.sim.model import build_model
from robot_mbrl.sim.names import TABLE
from robot_mbrl.sim.truth import nominal_truth

ARMS = ("so101_follower", "koch_follower")


def parked(arm: ArmDefinition) -> FloatArray:
    return np.array([joint.park_position for joint in arm.joints])


def random_poses(arm: ArmDefinition, count: int, seed: int = 7) -> FloatArray:
    limits = np.array([joint.position_limits for joint in arm.joints])
    return np.random.default_rng(seed).uniform(limits[:, 0], limits[:, 1], (count, len(arm.joints)))


def transform(position: Vector, quaternion: Quaternion) -> NDArray[np.float64]:
    """By Rodrigues' formula R = I + 2 w [v]x + 2 [v]x²."""
    w, *v = np.asarray(quaternion, float) / np.linalg.norm(quaternion)
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += 2 * w * cross + 2 * cross @ cross
    matrix[:3, 3] = position
    return matrix


def hinge(axis: Vector, angle: float) -> NDArray[np.float64]:
    half = angle / 2.0
    x, y, z = (math.sin(half) * part for part in axis)
    return transform((0.0, 0.0, 0.0), (math.cos(half), x, y, z))


@pytest.mark.parametrize("name", ARMS)
def test_the_tool_is_where_a_chain_of_transforms_puts_it(name: str) -> None:
    arm = load_arm(name)
    linkage, geometry = linkage_of(arm), MujocoGeometry(arm)
    for pose in (np.zeros(6), parked(arm), *random_poses(arm, 20)):
        chain = transform(linkage.base.position, linkage.base.orientation)
        for link, angle in zip(linkage.links, pose, strict=True):
            chain = chain @ transform(link.position, link.orientation) @ hinge(link.axis, angle)
            if link.name == linkage.tool.link:
                break
        expected = chain @ (*linkage.tool.position, 1.0)
        np.testing.assert_allclose(geometry.tool_position(pose), expected[:3], atol=1e-12)


def brute_force(arm: ArmDefinition, pose: FloatArray) -> tuple[float, str]:
    """Nearest of all pairs of shapes that are neither neighbours nor listed as never touching."""
    linkage = linkage_of(arm)
    model = build_model(arm, nominal_truth(arm).without_backlash())
    data = mujoco.MjData(model)
    for name, angle in zip(arm.joint_names, pose, strict=True):
        data.joint(name).qpos[0] = angle
    mujoco.mj_kinematics(model, data)
    order = [TABLE, linkage.base.name, *(link.name for link in linkage.links)]
    found: list[tuple[float, str]] = []
    for a in range(model.ngeom):
        for b in range(a + 1, model.ngeom):
            bodies = [model.body(model.geom_bodyid[geom]).name for geom in (a, b)]
            first, second = (TABLE if body == "world" else body for body in bodies)
            near = abs(order.index(first) - order.index(second)) <= (2 if TABLE in (first, second) else 1)
            if not near and (first, second) not in linkage.never_touching:
                found.append((mujoco.mj_geomDistance(model, data, a, b, 10.0, None), f"{first} - {second}"))
    return min(found)


@pytest.mark.parametrize("name", ARMS)
def test_clearance_is_the_nearest_pair_of_all(name: str) -> None:
    """Away from the park position, where no pair has an allowance."""
    arm = load_arm(name)
    geometry = MujocoGeometry(arm)
    away = np.abs(random_poses(arm, 150) - parked(arm))[:, 1:4].max(axis=1) > PARKED_RANGE
    poses = random_poses(arm, 150)[away]
    assert len(poses) > 100
    for pose in poses:
        clearance, (distance, pair) = geometry.clearance(pose), brute_force(arm, pose)
        assert clearance.distance == pytest.approx(distance, abs=1e-9)
        assert clearance.pair == pair


def test_an_so101_that_lies_forward_is_in_the_table() -> None:
    """Shoulder lift 1.7 leans the whole reach forward and down: the gripper, 0.39 m out, is far below the table."""
    arm = load_arm("so101_follower")
    clearance = MujocoGeometry(arm).clearance(np.array([0.0, 1.7, 0.0, 0.0, 0.0, 0.0]))
    assert clearance.distance < -0.1
    assert clearance.pair in ("table - gripper", "table - moving_jaw")


def test_the_depth_in_the_table_is_that_of_the_lowest_corner() -> None:
    """Worked out from the linkage: the lowest of the gripper's and the jaw's box corners below z = 0."""
    arm = load_arm("so101_follower")
    pose = np.array([0.4, 1.2, 0.1, 0.3, 0.6, 0.2])
    linkage = linkage_of(arm)
    chain, lowest = np.eye(4), math.inf
    for link, angle in zip(linkage.links, pose, strict=True):
        chain = chain @ transform(link.position, link.orientation) @ hinge(link.axis, angle)
        for shape in link.shapes if link.name in ("gripper", "moving_jaw") else ():
            assert isinstance(shape, Box)
            signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8)
            corners = np.asarray(shape.position)[:, None] + np.asarray(shape.half)[:, None] * signs
            lowest = min(lowest, float((chain[2, :3] @ corners + chain[2, 3]).min()))
    assert lowest < 0.0
    assert MujocoGeometry(arm).clearance(pose).distance == pytest.approx(lowest, abs=1e-9)


def test_a_jaw_in_the_base_is_named() -> None:
    """Folded down over its own base: lift back, elbow and wrist bent in."""
    arm = load_arm("so101_follower")
    clearance = MujocoGeometry(arm).clearance(np.array([0.0, -0.9, 1.69, 1.65, 0.0, 0.0]))
    assert clearance.distance < 0.0
    assert clearance.pair == "base - moving_jaw"


@pytest.mark.parametrize("name", arm_names())
def test_nothing_is_near_in_the_zero_pose_nor_when_parked(name: str) -> None:
    arm = load_arm(name)
    geometry = MujocoGeometry(arm)
    assert geometry.clearance(np.zeros(6)).distance > PARKED_CLEARANCE
    assert geometry.clearance(parked(arm)).distance >= PARKED_CLEARANCE - 1e-9


def test_resting_links_have_an_allowance_only_around_the_park_position() -> None:
    """Parked, an SO-101's wrist is at its shoulder: half way out of the range, half of what it lacked is left."""
    arm = load_arm("so101_follower")
    geometry = MujocoGeometry(arm)
    lifted = parked(arm)
    lifted[3] += PARKED_RANGE / 2.0
    distance = geometry.clearance(lifted).distance
    (at_rest, pair), (true_distance, same_pair) = brute_force(arm, parked(arm)), brute_force(arm, lifted)
    assert pair == same_pair == "shoulder - wrist"
    assert at_rest < 0.001
    assert distance == pytest.approx(true_distance + (PARKED_CLEARANCE - at_rest) / 2.0, abs=1e-9)


def test_turning_the_base_changes_no_clearance_of_the_folded_arm() -> None:
    arm = load_arm("so101_follower")
    geometry = MujocoGeometry(arm)
    turned = parked(arm)
    turned[0] = 1.5
    assert geometry.clearance(turned).distance == pytest.approx(geometry.clearance(parked(arm)).distance, abs=1e-9)


def test_the_same_angles_give_the_same_bits_whatever_came_before() -> None:
    arm = load_arm("so101_follower")
    poses = random_poses(arm, 40)
    first, second = MujocoGeometry(arm), MujocoGeometry(arm)
    forwards = [(first.clearance(pose), first.tool_position(pose).tobytes()) for pose in poses]
    backwards = [(second.clearance(pose), second.tool_position(pose).tobytes()) for pose in poses[::-1]]
    assert forwards == backwards[::-1]


def test_angles_that_change_in_place_are_looked_at_anew() -> None:
    arm = load_arm("so101_follower")
    geometry, angles = MujocoGeometry(arm), np.zeros(6)
    before = geometry.tool_position(angles)
    angles[0] = 0.5
    np.testing.assert_array_equal(geometry.tool_position(angles), MujocoGeometry(arm).tool_position(angles.copy()))
    assert np.linalg.norm(geometry.tool_position(angles) - before) > 0.1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_unknown_angles_are_never_clear(bad: float) -> None:
    geometry = MujocoGeometry(load_arm("so101_follower"))
    assert geometry.clearance(np.array([0.0, 0.0, bad, 0.0, 0.0, 0.0])).distance == -math.inf


def test_a_pose_of_another_arm_is_refused() -> None:
    geometry = MujocoGeometry(load_arm("so101_follower"))
    for ask in (geometry.tool_position, geometry.clearance):
        with pytest.raises(ConfigError, match=r"so101_follower.*\(5,\).*give 6"):
            ask(np.zeros(5))
