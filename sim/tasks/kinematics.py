"""Inverse kinematics by damped least squares on MuJoCo's Jacobians, and the sag of servos under gravity.

A step of the joints towards a motion e of the tool is `dq = J⁺ e + (I - J⁺ J) p` with `J⁺ = Jᵀ (J Jᵀ + λ² I)⁻¹`: what
the motion leaves free goes to p, which turns the tool downwards.
"""

import mujoco
import numpy as np

from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.sim.apply import KP
from robot_mbrl.sim.model import build_model
from robot_mbrl.sim.tasks.task import Task
from robot_mbrl.sim.tasks.workspace import Workspace
from robot_mbrl.sim.truth import nominal_truth

DAMPING = 0.03
"""λ [m]: where the tool can move less than this per radian, it is not tried harder."""

TURNING = 0.5
"""Share of the pointing error that one step takes away."""

DOWN = np.array([0.0, 0.0, -1.0])


class Kinematics:
    """The nominal arm of a task, posed at will.

    The tool points along the line from the origin of the link that carries it to the tool frame.
    """

    ITERATIONS = 60
    CLOSE_ENOUGH = 0.002
    """Distance at which a solution is one [m]."""
    LONGEST_STEP = 0.2
    """Of one iteration, in each joint [rad]."""

    def __init__(self, task: Task) -> None:
        self._model = build_model(task.arm, nominal_truth(task.arm).without_backlash(), actuation="position")
        self._data = mujoco.MjData(self._model)
        self._workspace = Workspace(self._model, task.arm)
        self._addresses = self._workspace.addresses
        self._low, self._high = np.ascontiguousarray(task.position_limits.T)
        self._carrier = self._model.site_bodyid[self._addresses.tool]
        self._jacobian = np.zeros((6, self._model.nv))

    def solve(
        self, place: FloatArray, start: FloatArray, *, pointing_down: bool, iterations: int = ITERATIONS
    ) -> tuple[FloatArray, float]:
        """Joints (n,) [rad] within the limits that bring the tool near `place` (3,) [m], sought from `start` (n,).

        Returns:
            The joints and how far the tool is from `place` there [m].
        """
        joints = np.array(start)
        for _ in range(iterations):
            error = place - self._pose(joints)
            if not pointing_down and np.linalg.norm(error) < self.CLOSE_ENOUGH:
                break
            change = self._step(error, pointing_down=pointing_down)
            change *= min(1.0, self.LONGEST_STEP / max(float(np.abs(change).max()), 1e-9))
            joints = np.minimum(np.maximum(joints + change, self._low), self._high)
        return joints, float(np.linalg.norm(place - self._pose(joints)))

    def nearest_solution(
        self, place: FloatArray, joints: FloatArray, starts: list[FloatArray], *, pointing_down: bool
    ) -> FloatArray | None:
        """Of the poses without collision found from `joints` and `starts`, the shortest way from `joints`."""
        found = []
        for start in (joints, *starts):
            solution, distance = self.solve(place, start, pointing_down=pointing_down)
            if distance < self.CLOSE_ENOUGH and self._workspace.is_free(solution):
                found.append(solution)
        return min(found, key=lambda solution: float(np.abs(solution - joints).max()), default=None)

    def targets_for(self, joints: FloatArray) -> FloatArray:
        """Targets (n,) [rad] with which the servos hold `joints` (n,) [rad] against gravity."""
        self._data.qpos[self._addresses.position] = joints
        self._data.qvel[:] = 0.0
        mujoco.mj_forward(self._model, self._data)
        gravity = self._data.qfrc_bias[self._addresses.velocity]
        stiffness = self._model.actuator_gainprm[self._addresses.control, KP]
        return np.asarray(joints + gravity / stiffness)

    def _pose(self, joints: FloatArray) -> FloatArray:
        """Put the joints at (n,) [rad] and return the tool's place (3,) [m]."""
        self._data.qpos[self._addresses.position] = joints
        mujoco.mj_kinematics(self._model, self._data)
        return np.array(self._data.site_xpos[self._addresses.tool])

    def _step(self, motion: FloatArray, *, pointing_down: bool) -> FloatArray:
        """Change of the joints (n,) [rad] for a motion (3,) [m] of the tool, from the present pose."""
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._addresses.tool)
        moving, turning = self._jacobian[:3, self._addresses.velocity], self._jacobian[3:, self._addresses.velocity]
        inverse = moving.T @ np.linalg.inv(moving @ moving.T + DAMPING**2 * np.eye(3))
        change: FloatArray = inverse @ motion
        if pointing_down:
            axis = self._data.site_xpos[self._addresses.tool] - self._data.xpos[self._carrier]
            free: FloatArray = turning.T @ np.cross(axis / np.linalg.norm(axis), DOWN)
            change = change + TURNING * (free - inverse @ (moving @ free))
        return change
