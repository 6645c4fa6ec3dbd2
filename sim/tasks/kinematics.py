"""Inverse kinematics by damped least squares, `dq = Jᵀ (J Jᵀ + λ² I)⁻¹ e`, on MuJoCo's Jacobians."""

import mujoco
import numpy as np

from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.sim.model import build_model
from robot_mbrl.sim.tasks.task import Task
from robot_mbrl.sim.tasks.workspace import Workspace
from robot_mbrl.sim.truth import nominal_truth

DAMPING = 0.03
"""λ [m]: where the tool can move less than this per radian, it is not tried harder."""

POINTING_WEIGHT = 0.1
"""What a radian of pointing error counts [m]."""

DOWN = np.array([0.0, 0.0, -1.0])


class Kinematics:
    """The nominal arm of a task, posed at will.

    The tool points along the line from the origin of the link that carries it to the tool frame.
    """

    ITERATIONS = 60
    CLOSE_ENOUGH = 0.003
    LONGEST_STEP = 0.2
    """Of one iteration, in each joint [rad]."""

    def __init__(self, task: Task) -> None:
        self._model = build_model(task.arm, nominal_truth(task.arm).without_backlash(), actuation="position")
        self._data = mujoco.MjData(self._model)
        self.workspace = Workspace(self._model, task.arm)
        self._addresses = self.workspace.addresses
        self._low, self._high = task.position_limits.T
        self._carrier = self._model.site_bodyid[self._addresses.tool]
        self._jacobian = np.zeros((6, self._model.nv))

    def pose(self, joints: FloatArray) -> None:
        """Put the joints at (n,) [rad]."""
        self._data.qpos[self._addresses.position] = joints
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)

    @property
    def tool(self) -> FloatArray:
        """Place of the tool (3,) [m] in the present pose."""
        return np.array(self._data.site_xpos[self._addresses.tool])

    def step(self, motion: FloatArray, *, pointing_down: bool) -> FloatArray:
        """Change of the joints (n,) [rad] that moves the tool by `motion` (3,) [m], and turns it downwards if asked."""
        mujoco.mj_jacSite(self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._addresses.tool)
        jacobian = self._jacobian[:, self._addresses.velocity]
        if pointing_down:
            axis = self._data.site_xpos[self._addresses.tool] - self._data.xpos[self._carrier]
            turn = np.cross(axis / np.linalg.norm(axis), DOWN)
            jacobian = np.concatenate((jacobian[:3], POINTING_WEIGHT * jacobian[3:]))
            error = np.concatenate((motion, POINTING_WEIGHT * turn))
        else:
            jacobian, error = jacobian[:3], motion
        damped = jacobian @ jacobian.T + DAMPING**2 * np.eye(len(error))
        return np.asarray(jacobian.T @ np.linalg.solve(damped, error))

    def solve(self, place: FloatArray, start: FloatArray) -> FloatArray | None:
        """Joints (n,) [rad] within limits and without collision that bring the tool to `place`, sought from `start`."""
        joints = np.array(start)
        for _ in range(self.ITERATIONS):
            self.pose(joints)
            error = place - self.tool
            if np.linalg.norm(error) < self.CLOSE_ENOUGH:
                return joints if self.workspace.is_free(joints) else None
            change = np.clip(self.step(error, pointing_down=False), -self.LONGEST_STEP, self.LONGEST_STEP)
            joints = np.clip(joints + change, self._low, self._high)
        return None
