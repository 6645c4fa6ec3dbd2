"""Tasks of one arm, registered with gymnasium: `gymnasium.make("robot_mbrl.sim.tasks:robot_mbrl/Reach-v0")`."""

import gymnasium

from robot_mbrl.sim.tasks.env import TASKS, TaskEnv, make_env, make_task
from robot_mbrl.sim.tasks.layout import Layout
from robot_mbrl.sim.tasks.task import CONTROL_PERIOD, Episode, Task

__all__ = ["CONTROL_PERIOD", "TASKS", "Episode", "Layout", "Task", "TaskEnv", "make_env", "make_task", "register"]


def register() -> None:
    """Register every task as `robot_mbrl/<Name>-v0`. Importing this package has done it."""
    for name, task in TASKS.items():
        gymnasium.register(
            id=f"robot_mbrl/{name.capitalize()}-v0",
            entry_point="robot_mbrl.sim.tasks.env:make_env",
            kwargs={"task": name},
            max_episode_steps=task.time_limit,
        )


register()
