"""The `Policy` protocol: NumPy in, NumPy out. A new policy is one file."""

from collections.abc import Mapping
from typing import Protocol

from robot_mbrl.contracts.types import Action, FloatArray


class Policy(Protocol):
    """Something that answers an observation with an action and with its own doubt."""

    def reset(self) -> None:
        """Forget the episode so far."""
        ...

    def act(self, observation: Mapping[str, FloatArray]) -> Action:
        """Return the action for `observation`: named float64 arrays, as the task's observation space lists them."""
        ...
