"""`Demonstrator`: the arm's hand-written controller in environments side by side, for a replay to begin with."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import IntArray
from robot_mbrl.sim.batch import BoolArray
from robot_mbrl.sim.tasks import TASKS, make_task
from robot_mbrl.sim.tasks.scripted import Controller, scripted_controller

Float32Array = NDArray[np.float32]

NOISE: Final = 0.3
"""Standard deviation of what is added to each action: what lies beside the controller's way is seen, too."""


class Demonstrator:
    """Acts in `learning.vector_env.TwinEnv`. An episode's actions follow from the seed and the episodes before it."""

    def __init__(self, task: str, arm: str, speed: float, seed: IntArray | list[int]) -> None:
        """Act in `task` with `arm`, where an action of 1 stands for the share `speed` of the joints' top speeds.

        Raises:
            ConfigError: there is no controller for the task.
        """
        if task not in TASKS:
            raise ConfigError(f"demonstrations of {task}: there is a controller for {' and '.join(TASKS)} only: give 0")
        self._task, self._speed, self._random = make_task(task, arm), speed, np.random.default_rng(seed)
        self._controllers: list[Controller] = []

    def choose(self, observation: NDArray[Any], is_first: BoolArray) -> Float32Array:
        """See `learning.collector.Chooser`."""
        if not self._controllers:
            self._controllers = [self._controller() for _ in is_first]
        for index in np.flatnonzero(is_first).tolist():
            self._controllers[index] = self._controller()
        seen = observation.astype(np.float64)
        wanted = np.array([each.act(row) for each, row in zip(self._controllers, seen, strict=True)]) / self._speed
        # Slower joints would lead the tool off its straight line.
        bounded = wanted / np.maximum(1.0, np.abs(wanted).max(1, keepdims=True))
        noisy = bounded + NOISE * self._random.standard_normal(bounded.shape)
        chosen: Float32Array = np.clip(noisy, -1.0, 1.0).astype(np.float32)
        return chosen

    def _controller(self) -> Controller:
        return scripted_controller(self._task, self._random)
