"""Where the tool of a serial chain of hinges is: the geometry that a policy was trained with, in the policy's own file.

A point v in the frame of link k, turned by the hinge's angle q about its axis u (Rodrigues 1840) and seen from the link
before it, is

    v' = R_k (v cos q + cross(u, v) sin q + u dot(u, v) (1 - cos q)) + p_k

From the tool's place in the last frame inwards that is some twenty products a joint, without a rotation of the chain.
"""

import math
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


class Hinge(Settings):
    """A link and the hinge that turns it against the one before it, through the origin of its frame.

    Attributes:
        joint: name of the joint that turns it.
        position: origin of its frame in the frame before it [m].
        orientation: of its frame in the frame before it, w x y z; normalised when it is used.
        axis: of the hinge, in its own frame; normalised when it is used.
    """

    joint: str = Field(min_length=1)
    position: Vector
    orientation: Quaternion
    axis: Vector


class KinematicChain(Settings):
    """From the arm's base frame to the tool frame's origin.

    Attributes:
        hinges: from the base outwards.
        tool: origin of the tool frame in the frame of the last hinge [m].
    """

    hinges: Annotated[tuple[Hinge, ...], Field(min_length=1)]
    tool: Vector


class _Step(NamedTuple):
    """One hinge, ready for use: the joint's index, R row by row, p and u."""

    joint: int
    rows: tuple[Vector, Vector, Vector]
    position: Vector
    axis: Vector


class ToolPosition:
    """Forward kinematics of one chain, for one pose at a time."""

    def __init__(self, chain: KinematicChain, joint_names: tuple[str, ...]) -> None:
        """Prepare `chain` for poses in the order of `joint_names`.

        Raises:
            ConfigError: a hinge's joint is not among them, or its axis or orientation is zero.
        """
        for hinge in chain.hinges:
            if hinge.joint not in joint_names:
                raise ConfigError(
                    f"kinematic chain: hinge {hinge.joint!r} is no joint of the arm: give one of "
                    f"{', '.join(joint_names)}"
                )
        self._tool = chain.tool
        self._steps = [_step(hinge, joint_names.index(hinge.joint)) for hinge in reversed(chain.hinges)]

    def __call__(self, position: FloatArray) -> Vector:
        """Origin of the tool frame [m], base frame, at joint angles `position` (n,) [rad].

        In plain floats: on vectors of three, what NumPy costs a call is more than what it saves.
        """
        angles = position.tolist()
        x, y, z = self._tool
        for joint, (row_x, row_y, row_z), (px, py, pz), (ux, uy, uz) in self._steps:
            cosine, sine = math.cos(angles[joint]), math.sin(angles[joint])
            along = (ux * x + uy * y + uz * z) * (1.0 - cosine)
            tx = x * cosine + (uy * z - uz * y) * sine + ux * along
            ty = y * cosine + (uz * x - ux * z) * sine + uy * along
            tz = z * cosine + (ux * y - uy * x) * sine + uz * along
            x = row_x[0] * tx + row_x[1] * ty + row_x[2] * tz + px
            y = row_y[0] * tx + row_y[1] * ty + row_y[2] * tz + py
            z = row_z[0] * tx + row_z[1] * ty + row_z[2] * tz + pz
        return x, y, z


def _step(hinge: Hinge, joint: int) -> _Step:
    w, x, y, z = _unit(hinge.orientation, hinge, "orientation")
    rows = (
        (1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)),
        (2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)),
        (2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)),
    )
    ux, uy, uz = _unit(hinge.axis, hinge, "axis")
    return _Step(joint, rows, hinge.position, (ux, uy, uz))


def _unit(values: tuple[float, ...], hinge: Hinge, what: str) -> list[float]:
    length = float(np.linalg.norm(values))
    if not length > 0.0:
        raise ConfigError(f"kinematic chain: {what} of hinge {hinge.joint!r} is {values}: give a direction")
    return [value / length for value in values]
