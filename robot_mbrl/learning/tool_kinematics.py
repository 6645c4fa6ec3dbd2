"""Where an arm's tool is, or points that go with it, in torch, for many poses at once.

A point v in the frame of link k, turned by the hinge and seen from the link before it, is

    v' = C_k Rz(q_k) v + d_k

where each frame is turned so that its hinge axis is z. With v = (x, y, z) that is one product a joint,

    v' = C_k (x, y, 0) cos q_k + C_k (-y, x, 0) sin q_k + C_k (0, 0, z) + d_k = W_k (v cos q_k, v sin q_k, v) + d_k

from the tool's place in the last frame inwards, without ever building a rotation of the whole chain.
"""

from collections.abc import Sequence

import mujoco
import numpy as np
import torch
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.sim.names import TOOL_SITE


class ToolKinematics:
    """Forward kinematics of points of the tool frame, by default its origin, taken from an arm's MuJoCo model.

    Attributes:
        joints: n, length of a pose.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        joint_names: tuple[str, ...],
        points: Sequence[tuple[float, float, float]] = ((0.0, 0.0, 0.0),),
    ) -> None:
        """Read the chain from the tool site to the world.

        Args:
            model: of an arm with rigid gears.
            joint_names: the joints that a pose gives, in its order.
            points: p of them, in the tool frame [m].

        Raises:
            ConfigError: a joint on the way to the tool is not among them, is no hinge, or misses its body's origin.
        """
        self.joints = len(joint_names)
        site = model.site(TOOL_SITE)
        body, rotation = int(site.bodyid[0]), np.eye(3)
        offset = site.pos[:, None] + _matrix(site.quat) @ np.array(points).T
        # (joint, W, d) from the tool inwards; rotation and offset of bodies that do not move are folded in.
        self._steps: list[tuple[int, Tensor, Tensor]] = []
        self._tool = torch.zeros(3, len(points), dtype=torch.float64)
        joint = -1
        while body > 0:
            place, turn = np.array(model.body_pos[body]), _matrix(model.body_quat[body])
            if model.body_jntnum[body]:
                index, axis = _hinge(model, body, joint_names)
                align = _z_to(axis)
                self._append(joint, align.T @ rotation, align.T @ offset)
                joint, rotation, offset = index, align, np.zeros((3, 1))
            rotation, offset = turn @ rotation, turn @ offset + place[:, None]
            body = int(model.body_parentid[body])
        self._append(joint, rotation, offset)
        single = [(joint, turn.float(), place.float()) for joint, turn, place in self._steps]
        self._in_single = self._tool.float(), single

    def place(self, joints: Tensor) -> Tensor:
        """The first point [m] in the base frame for joint positions [rad], see `places`, (..., n) -> (..., 3)."""
        return self.places(joints)[..., 0, :]

    def places(self, joints: Tensor) -> Tensor:
        """All points [m] in the base frame for joint positions [rad], float32 or float64, (..., n) -> (..., p, 3)."""
        angles = joints.reshape(-1, self.joints).T.contiguous()
        sine, cosine = torch.sin(angles), torch.cos(angles)
        tool, steps = self._in_single if joints.dtype == torch.float32 else (self._tool, self._steps)
        points = tool[:, :, None].expand(-1, -1, angles.shape[1])
        for joint, turn, offset in steps:
            turned = torch.cat((cosine[joint] * points, sine[joint] * points, points))
            points = torch.addmm(offset, turn, turned.flatten(1)).view_as(points)
        return points.permute(2, 1, 0).reshape(*joints.shape[:-1], -1, 3)

    def _append(self, joint: int, rotation: FloatArray, offset: FloatArray) -> None:
        """Note what follows the turn of `joint`; before the first joint that is the tool's own place."""
        place = torch.as_tensor(offset)
        if joint < 0:
            self._tool = place
        else:
            about_z = rotation * [1.0, 1.0, 0.0]
            across = np.stack((about_z[:, 1], -about_z[:, 0], np.zeros(3)), axis=1)
            self._steps.append((joint, torch.as_tensor(np.hstack((about_z, across, rotation - about_z))), place))


def _hinge(model: mujoco.MjModel, body: int, joint_names: tuple[str, ...]) -> tuple[int, FloatArray]:
    """The pose's index and the axis (3,) of the one hinge of `body`."""
    joint = model.joint(int(model.body_jntadr[body]))
    simple = model.body_jntnum[body] == 1 and joint.type[0] == mujoco.mjtJoint.mjJNT_HINGE and not joint.pos.any()
    if not simple or joint.name not in joint_names:
        raise ConfigError(
            f"joint {joint.name!r} carries the tool: it must be one of {', '.join(joint_names)}, a single hinge "
            "through the origin of its link; build the model with rigid gears"
        )
    return joint_names.index(joint.name), np.array(joint.axis)


def _matrix(quaternion: FloatArray) -> FloatArray:
    """Rotation matrix (3, 3) of a unit quaternion w x y z."""
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)


def _z_to(axis: FloatArray) -> FloatArray:
    """A rotation matrix (3, 3) that brings z to the unit vector `axis`."""
    quaternion = np.zeros(4)
    mujoco.mju_quatZ2Vec(quaternion, axis)
    return _matrix(quaternion)
