"""Task models of dm_control's cartpole and reacher and of gymnasium's pendulum.

Rewards are those of the environments' own sources, see `sim.dm_control_kernels` and
`gymnasium.envs.classic_control.pendulum`. When an action is held for several control steps, the environment adds up
their rewards; the model counts the last one that many times.
"""

import math
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.task_models import FlatModel, as_float32, wrapped
from robot_mbrl.policies.task_model import Float32Array

LOG_TENTH = math.log(0.1)
"""dm_control's Gaussian tolerances have fallen to 0.1 at one margin."""


class CartpoleModel(FlatModel):
    """dm_control's cartpole swing-up and balance, smooth reward, one pole.

    State: cart position [m], pole angle from upright [rad], cart velocity [m/s], pole rate [rad/s]; all learned.
    """

    states, inputs, outputs = 4, 6, 4
    angles = (1,)

    def __init__(self, action_space: gymnasium.Space[Any], repeat: int) -> None:
        super().__init__(action_space)
        self._repeat = repeat

    def state(self, observation: FloatArray) -> Float32Array:
        """States of observations (cart, cosine, sine, velocities), (..., 5) -> (..., 4)."""
        cart, cosine, sine, velocity, rate = np.moveaxis(observation, -1, 0)
        return as_float32(np.stack((cart, np.arctan2(sine, cosine), velocity, rate), axis=-1))

    def model_inputs(self, state: Tensor, action: Tensor) -> Tensor:
        """What the networks see, (..., 4) and (..., 1) -> (..., 6)."""
        angle = state[..., 1:2]
        return torch.cat((state[..., :1], torch.sin(angle), torch.cos(angle), state[..., 2:], action), dim=-1)

    def reward(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """Upright, centred, with small control and velocity, (..., 4), (..., 1) and (..., 4) -> (...)."""
        del state
        cart, angle, _, rate = next_state.unbind(-1)
        upright = (torch.cos(angle) + 1.0) / 2.0
        centered = (1.0 + torch.exp(LOG_TENTH * (cart / 2.0).square())) / 2.0
        small_control = (4.0 + (1.0 - action[..., 0].square()).clamp(min=0.0)) / 5.0
        small_velocity = (1.0 + torch.exp(LOG_TENTH * (rate / 5.0).square())) / 2.0
        return self._repeat * upright * small_control * small_velocity * centered


class ReacherModel(FlatModel):
    """dm_control's reacher: a planar arm of two links, 1 while finger and target overlap.

    State: shoulder and wrist angle [rad], their rates [rad/s], target place [m]; the target is known.
    """

    states, inputs, outputs = 6, 8, 4
    LINK = 0.12
    """Length of either link [m], from `reacher.xml`."""

    def __init__(self, action_space: gymnasium.Space[Any], repeat: int, radius: float) -> None:
        """Take the environment's actions, held for `repeat` steps; `radius` [m] is finger's and target's together."""
        super().__init__(action_space)
        self._repeat, self._radius = repeat, radius

    def state(self, observation: FloatArray) -> Float32Array:
        """States of observations (angles, way to the target, rates), (..., 6) -> (..., 6)."""
        angles, way, rates = observation[..., :2], observation[..., 2:4], observation[..., 4:]
        target = self.finger(torch.as_tensor(angles)).numpy() + way
        return as_float32(np.concatenate((angles, rates, target), axis=-1))

    def finger(self, angles: Tensor) -> Tensor:
        """Place of the finger [m] for shoulder and wrist angle [rad], (..., 2) -> (..., 2)."""
        directions = torch.stack((angles[..., 0], angles[..., 0] + angles[..., 1]), dim=-1)
        return self.LINK * torch.stack((torch.cos(directions).sum(-1), torch.sin(directions).sum(-1)), dim=-1)

    def model_inputs(self, state: Tensor, action: Tensor) -> Tensor:
        """What the networks see, (..., 6) and (..., 2) -> (..., 8)."""
        angles = state[..., :2]
        return torch.cat((torch.sin(angles), torch.cos(angles), state[..., 2:4], action), dim=-1)

    def reward(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """1 while finger and target overlap, else 0, (..., 6), (..., 2) and (..., 6) -> (...)."""
        del state, action
        way = next_state[..., 4:] - self.finger(next_state[..., :2])
        overlap: Tensor = torch.linalg.vector_norm(way, dim=-1) <= self._radius
        return self._repeat * overlap.to(way.dtype)


class PendulumModel(FlatModel):
    """gymnasium's Pendulum-v1.

    State: angle from upright [rad] and rate [rad/s], both learned. An action is a torque [N·m].
    """

    states, inputs, outputs = 2, 4, 2
    angles = (0,)

    def state(self, observation: FloatArray) -> Float32Array:
        """States of observations (cosine, sine, rate), (..., 3) -> (..., 2)."""
        cosine, sine, rate = np.moveaxis(observation, -1, 0)
        return as_float32(np.stack((np.arctan2(sine, cosine), rate), axis=-1))

    def model_inputs(self, state: Tensor, action: Tensor) -> Tensor:
        """What the networks see, (..., 2) and (..., 1) -> (..., 4)."""
        angle = state[..., :1]
        return torch.cat((torch.sin(angle), torch.cos(angle), state[..., 1:], action), dim=-1)

    def reward(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """`-(θ² + 0.1 θ̇² + 0.001 u²)` of the state before the action, (..., 2), (..., 1) and (..., 2) -> (...)."""
        angle, rate = state.unbind(-1)
        torque = action[..., 0].clamp(self.action_low[0], self.action_high[0])
        cost = wrapped(angle).square() + 0.1 * rate.square() + 0.001 * torque.square()
        return -cost.expand(next_state.shape[:-1])
