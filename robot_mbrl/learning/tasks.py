"""Tasks to learn, by name: an environment and what a planner knows of it.

========================== ==========================================================================
name                       what it is
========================== ==========================================================================
reach, push                an arm at `sim.tasks` on the twin, 20 actions a second
dm_control:DOMAIN-TASK     dm_control's suite: cartpole-swingup, cartpole-balance, reacher-easy, reacher-hard
gymnasium:Pendulum-v1      gymnasium's pendulum
========================== ==========================================================================
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import gymnasium
import numpy as np

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.task_models import ObservedTaskModel
from robot_mbrl.learning.task_models_arm import arm_model
from robot_mbrl.learning.task_models_suite import CartpoleModel, PendulumModel, ReacherModel
from robot_mbrl.sim.dm_control_adapter import SuiteEnv
from robot_mbrl.sim.tasks import TASKS, TaskEnv, make_task

Environment = gymnasium.Env[Any, Any]


@dataclass(frozen=True, slots=True)
class LearningTask:
    """An environment and the model of its task.

    Attributes:
        name: as `make_learning_task` takes it.
        environment: gymnasium's interface; episodes are truncated, never terminated.
        model: states, rewards and limits as a planner sees them.
        repeat: environment steps that one action lasts.
    """

    name: str
    environment: Environment
    model: ObservedTaskModel
    repeat: int = 1


def make_learning_task(name: str, arm: str = "so101_follower", repeat: int = 1) -> LearningTask:
    """Make the task `name`.

    Args:
        name: see the table above.
        arm: name of an arm definition, or the path of one; for reach and push.
        repeat: environment steps that one action lasts; dm_control's tasks only.

    Raises:
        ConfigError: there is no such task or arm, or the task cannot repeat actions.
    """
    if name in TASKS:
        _refuse_repeat(name, repeat)
        task = make_task(name, arm)
        return LearningTask(name, TaskEnv(task), arm_model(task))
    if name not in _MAKERS:
        raise ConfigError(f"unknown task {name!r}: give one of {', '.join(task_names())}")
    return _MAKERS[name](name, repeat)


def task_names() -> tuple[str, ...]:
    """Names of all tasks."""
    return (*TASKS, *_MAKERS)


def _refuse_repeat(name: str, repeat: int) -> None:
    if repeat != 1:
        raise ConfigError(f"{name}: repeat = {repeat}, but only dm_control's tasks repeat actions: give 1")


def _cartpole(name: str, repeat: int) -> LearningTask:
    environment = SuiteEnv(*_suite_name(name), action_repeat=repeat)
    return LearningTask(name, environment, CartpoleModel(environment.action_space, repeat), repeat)


def _reacher(name: str, repeat: int) -> LearningTask:
    environment = SuiteEnv(*_suite_name(name), action_repeat=repeat)
    environment.reset(seed=0)  # the target's size is set at the start of an episode
    sizes = environment.physics.named.model.geom_size
    radius = float(np.sum(sizes[["target", "finger"], 0]))
    return LearningTask(name, environment, ReacherModel(environment.action_space, repeat, radius), repeat)


def _pendulum(name: str, repeat: int) -> LearningTask:
    _refuse_repeat(name, repeat)
    environment: Environment = gymnasium.make(name.partition(":")[2])
    return LearningTask(name, environment, PendulumModel(environment.action_space))


def _suite_name(name: str) -> tuple[str, str]:
    domain, _, task = name.partition(":")[2].partition("-")
    return domain, task


_MAKERS: Final[dict[str, Callable[[str, int], LearningTask]]] = {
    "dm_control:cartpole-swingup": _cartpole,
    "dm_control:cartpole-balance": _cartpole,
    "dm_control:reacher-easy": _reacher,
    "dm_control:reacher-hard": _reacher,
    "gymnasium:Pendulum-v1": _pendulum,
}
