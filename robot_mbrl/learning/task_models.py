"""Task models of environments: what a planner knows, from observations onwards.

A state is a vector of float32. The networks predict by how much its learned coordinates change in one step; the others
are known and advanced exactly.
"""

from abc import ABC, abstractmethod
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.task_model import Float32Array


class ObservedTaskModel(ABC):
    """A `policies.task_model.TaskModel` that makes its states from an environment's observations.

    Attributes:
        states: d, length of a state.
        actions: a, length of an action.
        inputs: i, what the networks see.
        outputs: o, what they predict.
        action_low: (a,) lowest action, in the environment's unit.
        action_high: (a,) highest action.
    """

    states: int
    inputs: int
    outputs: int

    def __init__(self, action_space: gymnasium.Space[Any]) -> None:
        """Take the actions of an environment.

        Raises:
            ConfigError: they are no vectors.
        """
        if not isinstance(action_space, gymnasium.spaces.Box) or len(action_space.shape) != 1:
            raise ConfigError(f"actions {action_space}: a planner needs vectors, give a task with a Box of one axis")
        self.actions = int(action_space.shape[0])
        self.action_low = torch.as_tensor(action_space.low, dtype=torch.float32)
        self.action_high = torch.as_tensor(action_space.high, dtype=torch.float32)

    @abstractmethod
    def state(self, observation: FloatArray) -> Float32Array:
        """States of the environment's observations, (..., size) -> (..., d)."""

    @abstractmethod
    def model_inputs(self, state: Tensor, action: Tensor) -> Tensor:
        """What the networks see, (..., d) and (..., a) -> (..., i)."""

    @abstractmethod
    def next_state(self, state: Tensor, action: Tensor, output: Tensor) -> Tensor:
        """State after the action when the networks predict `output`, (..., d), (..., a) and (..., o) -> (..., d)."""

    @abstractmethod
    def targets(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """What the networks should have predicted, (..., d), (..., a) and (..., d) -> (..., o)."""

    @abstractmethod
    def reward(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """Reward of a transition as the environment counts it, (..., d), (..., a) and (..., d) -> (...)."""

    def guide_inputs(self, state: Tensor) -> Tensor:
        """What a guide sees of states, (..., d) -> (..., x)."""
        return state

    def violation(self, state: Tensor) -> Tensor:
        """Signed distances past limits, positive where one is violated, (..., d) -> (..., c); c is 0 without limits."""
        return state[..., :0]


class FlatModel(ObservedTaskModel):
    """States whose first o coordinates are learned and whose others stay as they are.

    `next_state(s, a, y) = (s[:o] + y, s[o:])`; `targets` is the inverse, angles by the shorter way round.

    Attributes:
        angles: which of the learned coordinates are angles that an observation knows up to whole turns.
    """

    angles: tuple[int, ...] = ()

    def next_state(self, state: Tensor, action: Tensor, output: Tensor) -> Tensor:
        """State after the action when the networks predict `output`, (..., d), (..., a) and (..., o) -> (..., d)."""
        del action
        learned = state[..., : self.outputs] + output
        return torch.cat((learned, state[..., self.outputs :].expand(*learned.shape[:-1], -1)), dim=-1)

    def targets(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """What the networks should have predicted, (..., d), (..., a) and (..., d) -> (..., o)."""
        del action
        change = next_state[..., : self.outputs] - state[..., : self.outputs]
        for index in self.angles:
            change[..., index] = wrapped(change[..., index])
        return change


def wrapped(angle: Tensor) -> Tensor:
    """The same direction within -π..π [rad]."""
    return torch.remainder(angle + torch.pi, 2.0 * torch.pi) - torch.pi


def as_float32(values: NDArray[np.floating[Any]]) -> Float32Array:
    """`values` as a new float32 array."""
    return np.array(values, np.float32)
