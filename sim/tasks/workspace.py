"""Where an arm can be: poses without collisions, and the places that its tool reaches in them."""

from dataclasses import dataclass

import mujoco
import numpy as np

from robot_mbrl.contracts.errors import SimulationError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.sim.addresses import Addresses

TRIES = 2000
"""Draws before giving up. Of an SO-101's poses about one in four is free and above the table."""

NEAREST = 0.17
"""Places on the table lie at least this far in front of the base's origin [m], clear of base and shoulder."""

INWARD = 0.8
"""Places on the table lie at this share of a tool place's distance, so that the tool can also go round them."""

MARGIN = 0.05
"""Poses keep this far from the position limits [rad], so that a servo's sag does not press against a stop."""


@dataclass(frozen=True, slots=True)
class Pose:
    """A pose and its tool place.

    Attributes:
        joints: (n,) [rad].
        tool: (3,) [m], base frame.
    """

    joints: FloatArray
    tool: FloatArray


class Workspace:
    """Draws poses of `arm` in `model`, on data of its own.

    Attributes:
        addresses: of arm and cube in the arrays of `model`.
    """

    def __init__(self, model: mujoco.MjModel, arm: ArmDefinition) -> None:
        self._arm, self._model = arm, model
        self._data = mujoco.MjData(model)
        self.addresses = Addresses(model, arm)
        limits = np.array([joint.position_limits for joint in arm.joints])
        self._low, self._high = limits[:, 0] + MARGIN, limits[:, 1] - MARGIN

    def place_cube(self, position: FloatArray) -> None:
        """Put the cube at `position` (3,) [m], upright; poses drawn after this keep clear of it.

        Raises:
            SimulationError: the scene has no cube.
        """
        self.addresses.place_cube(self._data.qpos, position)

    def tool_at(self, joints: FloatArray) -> FloatArray:
        """Tool place (3,) [m] with the joints at (n,) [rad]."""
        self._data.qpos[self.addresses.position] = joints
        mujoco.mj_kinematics(self._model, self._data)
        return np.array(self._data.site_xpos[self.addresses.tool])

    def is_free(self, joints: FloatArray) -> bool:
        """Whether no moving part of the arm touches anything with the joints at (n,) [rad]."""
        self._data.qpos[self.addresses.position] = joints
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_collision(self._model, self._data)
        bodies = self._model.geom_bodyid[self._data.contact.geom[: self._data.ncon]]
        return not self.addresses.arm_bodies[bodies].any()

    def draw_free_pose(self, random: np.random.Generator, lowest: float) -> Pose:
        """Draw a pose in which the arm touches nothing and its tool is at least `lowest` [m] above the table.

        Raises:
            SimulationError: there was none in `TRIES` draws.
        """
        for _ in range(TRIES):
            joints = random.uniform(self._low, self._high)
            tool = self.tool_at(joints)
            if tool[2] >= lowest and self.is_free(joints):
                return Pose(joints, tool)
        raise SimulationError(
            f"{self._arm.name}: no free pose with the tool above {lowest} m in {TRIES} draws: "
            f"check the arm's position limits and model"
        )

    def draw_low_place(self, random: np.random.Generator, highest: float) -> FloatArray:
        """Draw a place (2,) [m] on the table before the arm, inward of a tool place not above `highest` [m].

        Raises:
            SimulationError: there was none in `TRIES` draws.
        """
        for _ in range(TRIES):
            tool = self.tool_at(random.uniform(self._low, self._high))
            place = INWARD * tool[:2]
            if 0.0 <= tool[2] <= highest and place[0] >= NEAREST:
                return place
        raise SimulationError(
            f"{self._arm.name}: the tool came below {highest} m in none of {TRIES} random poses: "
            f"check the arm's position limits and model"
        )
