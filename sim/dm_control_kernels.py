"""Observation and reward of dm_control's commonest domains, straight from MuJoCo's arrays.

dm_control builds a dictionary, resolves names to indices and broadcasts scalars through NumPy at every step. That
costs 10 to 50 µs where the physics of cartpole or reacher cost 2 to 6 µs. A kernel resolves its indices once and
computes in plain floats; `tests/sim/test_dm_control.py` holds each one to dm_control's own figures.

Formulas: Tassa et al., dm_control: Software and Tasks for Continuous Control, 2020 (arXiv:2006.12983), and the
sources of `dm_control.suite`.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np

from robot_mbrl.contracts.types import FloatArray

_XX, _XZ, _ZZ = 0, 2, 8
"""Places in a row of `xmat`, a 3 x 3 rotation matrix by rows."""


class Kernel(Protocol):
    """What a step needs of a task, for the state that MuJoCo's data hold now."""

    def observe(self) -> FloatArray:
        """Return the flat observation, a new array."""
        ...

    def reward(self) -> float:
        """Return the reward."""
        ...


def gaussian(distance: float, value_at_1: float = 0.1) -> float:
    """`exp(-distance² s² / 2)` with s such that the value at 1 is `value_at_1`."""
    return math.exp(math.log(value_at_1) * distance * distance)


def linear(distance: float, value_at_1: float = 0.0) -> float:
    """Straight line from 1 at 0 through `value_at_1` at 1, at least 0."""
    return max(0.0, 1.0 - abs(distance) * (1.0 - value_at_1))


class Cartpole:
    """Cart and pole(s): cart position, cosine and sine of each pole, velocities."""

    def __init__(self, model: Any, data: Any, task_name: str) -> None:
        self._qpos, self._qvel, self._ctrl = data.qpos, data.qvel, data.ctrl
        self._xmat = data.xmat.reshape(-1)
        poles = range(2, model.nbody)
        self._sparse = task_name.endswith("sparse")
        self._angles = np.array([9 * body + column for body in poles for column in (_ZZ, _XZ)])
        self._cosines = self._angles[::2]

    def observe(self) -> FloatArray:
        """Return the flat observation, a new array."""
        return np.concatenate((self._qpos[:1], self._xmat.take(self._angles), self._qvel))

    def reward(self) -> float:
        """Return the smooth reward or, in a sparse task, 1 while the poles stand above the middle of the rail."""
        cart = float(self._qpos[0])
        cosines: list[float] = self._xmat.take(self._cosines).tolist()
        if self._sparse:
            return float(abs(cart) <= 0.25 and all(0.995 <= cosine <= 1.0 for cosine in cosines))
        upright = sum((cosine + 1.0) / 2.0 for cosine in cosines) / len(cosines)
        centered = (1.0 + gaussian(cart / 2.0)) / 2.0
        control = float(self._ctrl[0])
        small_control = (4.0 + max(0.0, 1.0 - control * control)) / 5.0
        small_velocity = (1.0 + min(gaussian(rate / 5.0) for rate in self._qvel[1:].tolist())) / 2.0
        return upright * small_control * small_velocity * centered


class Reacher:
    """Two-link arm: joint angles, vector to the target, velocities."""

    def __init__(self, model: Any, data: Any, task_name: str) -> None:
        del task_name  # the target's size is in the model
        self._qpos, self._qvel = data.qpos, data.qvel
        finger, target = model.geom("finger").id, model.geom("target").id
        self._sizes = (model.geom_size[finger], model.geom_size[target])
        self._finger, self._target = data.geom_xpos[finger, :2], data.geom_xpos[target, :2]

    def observe(self) -> FloatArray:
        """Return the flat observation, a new array."""
        return np.concatenate((self._qpos, self._target - self._finger, self._qvel))

    def reward(self) -> float:
        """Return 1 while finger and target overlap, else 0."""
        finger_size, target_size = self._sizes
        (finger_x, finger_y), (target_x, target_y) = self._finger.tolist(), self._target.tolist()
        distance = math.sqrt((target_x - finger_x) ** 2 + (target_y - finger_y) ** 2)
        return float(distance <= target_size[0] + finger_size[0])


class Cheetah:
    """Running planar cheetah: joint positions but for the horizontal one, velocities."""

    RUN_SPEED = 10.0

    def __init__(self, model: Any, data: Any, task_name: str) -> None:
        del task_name  # the domain has one task
        self._qpos, self._qvel = data.qpos, data.qvel
        self._speed = data.sensordata[model.sensor("torso_subtreelinvel").adr[0] :]

    def observe(self) -> FloatArray:
        """Return the flat observation, a new array."""
        return np.concatenate((self._qpos[1:], self._qvel))

    def reward(self) -> float:
        """Return forward speed over 10 m/s, from 0 to 1."""
        speed = float(self._speed[0])
        return 1.0 if speed >= self.RUN_SPEED else linear((speed - self.RUN_SPEED) / self.RUN_SPEED)


class Walker:
    """Planar walker: orientation of each body, height of the torso, velocities."""

    STAND_HEIGHT = 1.2
    SPEEDS: ClassVar = {"stand": 0.0, "walk": 1.0, "run": 8.0}

    def __init__(self, model: Any, data: Any, task_name: str) -> None:
        torso = model.body("torso").id
        self._qvel, self._xmat = data.qvel, data.xmat.reshape(-1)
        self._height = data.xpos[torso, 2:]
        self._orientations = np.array([9 * body + column for body in range(1, model.nbody) for column in (_XX, _XZ)])
        self._upright = 9 * torso + _ZZ
        self._velocity = data.sensordata[model.sensor("torso_subtreelinvel").adr[0] :]
        self._move_speed = self.SPEEDS[task_name]

    def observe(self) -> FloatArray:
        """Return the flat observation, a new array."""
        return np.concatenate((self._xmat.take(self._orientations), self._height, self._qvel))

    def reward(self) -> float:
        """Return the reward for standing upright and, where the task has a speed, for moving."""
        height = float(self._height[0])
        margin = self.STAND_HEIGHT / 2.0
        standing = 1.0 if height >= self.STAND_HEIGHT else gaussian((self.STAND_HEIGHT - height) / margin)
        stand_reward = (3.0 * standing + (1.0 + float(self._xmat[self._upright])) / 2.0) / 4.0
        if self._move_speed == 0.0:
            return stand_reward
        lag = self._move_speed - float(self._velocity[0])
        move_reward = 1.0 if lag <= 0.0 else linear(lag / (self._move_speed / 2.0), value_at_1=0.5)
        return stand_reward * (5.0 * move_reward + 1.0) / 6.0


KERNELS: dict[str, Callable[[Any, Any, str], Kernel]] = {
    "cartpole": Cartpole,
    "cheetah": Cheetah,
    "reacher": Reacher,
    "walker": Walker,
}
"""Kernel of each domain that has one, called with MuJoCo's model and data and the task's name."""
