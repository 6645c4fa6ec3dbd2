"""`Teacher`: the arm's hand-written controller, asked what it would do.

It is asked in every state of an episode, whoever acts there, and about other goals in the same state, which costs the
arm nothing: the controller sees a goal, but is not seen by the world.
"""

from typing import Final

import numpy as np

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.episodes import ScriptedActors
from robot_mbrl.learning.task_models_arm import ArmModel
from robot_mbrl.learning.tasks import LearningTask
from robot_mbrl.learning.transitions import Lessons
from robot_mbrl.policies.task_model import Float32Array

_HELD: Final = 10
"""Steps for which an imagined goal stays: a controller that has found a pose for a place need not look again."""


class Teacher:
    """Teaches in one episode."""

    def __init__(self, task: LearningTask, imagined: int, seed: int) -> None:
        """Ask about the goal and as many `imagined` ones, whose random numbers start from `seed`.

        Raises:
            ConfigError: the task is none of the arm's.
        """
        actors = ScriptedActors(task)
        if not isinstance(task.model, ArmModel):
            raise ConfigError(f"{task.name}: its goals cannot be imagined: only those of reach and push can")
        self._model, self._random = task.model, np.random.default_rng(seed)
        self._controllers = [actors.make(seed + index) for index in range(1 + imagined)]
        self._goals: list[Float32Array] = []
        self._step = 0

    def lessons(self, state: Float32Array) -> Lessons:
        """Those of the episode's next state (d,): first of the state as it is."""
        model, place = self._model, self._model.task.layout.slices["goal"]
        if self._step % _HELD == 0:
            self._goals = [model.imagined_goal(state, self._random) for _ in self._controllers[1:]]
        self._step += 1
        asked = np.tile(state, (len(self._controllers), 1))
        for other, goal in zip(asked[1:], self._goals, strict=True):
            other[place] = goal
        acted = [controller.act(seen) for controller, seen in zip(self._controllers, asked, strict=True)]
        return Lessons(asked, np.array(acted))
