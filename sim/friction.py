"""Friction of the gears: Coulomb, viscous, and Stribeck's excess at low speed."""

import numpy as np

from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.sim.parameters import JointTruth


class Friction:
    """Writes n joints' friction into MuJoCo's arrays. MuJoCo knows Coulomb and viscous friction, not Stribeck's."""

    def __init__(self, joints: tuple[JointTruth, ...], loss: FloatArray, damping: FloatArray) -> None:
        """Take the figures of `joints` and views (n,) of the motors' `dof_frictionloss` and `dof_damping`."""
        self._loss, self._damping = loss, damping
        self._coulomb = np.array([joint.coulomb for joint in joints])
        self._viscous = np.array([joint.viscous for joint in joints])
        self._excess = np.array([joint.stribeck_excess for joint in joints])
        self._inverse_velocity = np.array([1.0 / joint.stribeck_velocity for joint in joints])
        self._scale = np.ones(len(joints))
        self._work = np.zeros(len(joints))
        self._apply_scale()

    def set_scale(self, joint: int, scale: float) -> None:
        """Multiply all friction of a joint by `scale`, 1 being what the truth says."""
        self._scale[joint] = scale
        self._apply_scale()

    def _apply_scale(self) -> None:
        self._scaled_coulomb = self._coulomb * self._scale
        self._scaled_excess = self._excess * self._scale
        self._has_stribeck = bool(self._scaled_excess.any())
        self._loss[:] = self._scaled_coulomb
        self._damping[:] = self._viscous * self._scale

    def update(self, velocity: FloatArray) -> None:
        """Coulomb + excess exp(-(ω / ω_s)²) at the motors' speeds ω (n,) [rad/s]."""
        if not self._has_stribeck:
            return
        work = self._work
        np.multiply(velocity, self._inverse_velocity, out=work)
        np.multiply(work, work, out=work)
        np.negative(work, out=work)
        np.exp(work, out=work)
        np.multiply(work, self._scaled_excess, out=work)
        np.add(work, self._scaled_coulomb, out=self._loss)
