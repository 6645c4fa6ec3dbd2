"""A task as a gymnasium environment: one arm, one simulation."""

from dataclasses import replace
from typing import Any

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError, NonFiniteCommand
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.sim.apply import apply_truth
from robot_mbrl.sim.parameters import ArmTruth
from robot_mbrl.sim.randomization import Randomization
from robot_mbrl.sim.tasks.push import PushTask
from robot_mbrl.sim.tasks.reach import ReachTask
from robot_mbrl.sim.tasks.task import TIMESTEP, Episode, Task
from robot_mbrl.sim.tasks.workspace import Workspace
from robot_mbrl.sim.tasks.world import World, build_task_model, check_physics
from robot_mbrl.sim.truth import nominal_truth

TASKS: dict[str, type[Task]] = {ReachTask.name: ReachTask, PushTask.name: PushTask}
"""Tasks by name."""

EPISODE_PARTS = ("joints", "goal", "object_position")
"""What `reset(options=...)` may give; the rest is drawn."""


def make_task(name: str, arm: str | ArmDefinition = "so101_follower", timestep: float = TIMESTEP) -> Task:
    """Make the task `name` for an arm; `timestep` is the physics' [s].

    Raises:
        ConfigError: there is no such task or arm, or the timestep does not divide the control period.
    """
    if name not in TASKS:
        raise ConfigError(f"unknown task {name!r}: give one of {', '.join(TASKS)}")
    return TASKS[name](load_arm(arm) if isinstance(arm, str) else arm, timestep)


def make_env(
    task: str, arm: str | ArmDefinition = "so101_follower", timestep: float = TIMESTEP, **options: Any
) -> "TaskEnv":
    """Make the environment of a task by name; `options` are those of `TaskEnv`.

    Raises:
        ConfigError: see `make_task`.
    """
    return TaskEnv(make_task(task, arm, timestep), **options)


class TaskEnv(gymnasium.Env[FloatArray, NDArray[np.floating[Any]]]):
    """One arm at one task, 20 actions a second of simulated time.

    Observations are laid out by `task.layout`. An action is the change of the joint targets, as a share of what the
    joints' top speed allows in one period. An episode never terminates; after `task.time_limit` steps it is truncated.
    `info["success"]` says whether the present state solves the task, `info["distance"]` what is left [m].

    Attributes:
        task: rewards, layout and limits.
        truth: physical parameters of the present episode.
        model: MuJoCo's model.
        data: MuJoCo's data, positions and places up to date, forces those of the last physics step.
        observation_space: Box of float64, (task.layout.size,).
        action_space: Box of float64, -1..1, (n,).
    """

    def __init__(
        self, task: Task, *, truth: ArmTruth | None = None, randomization: Randomization | None = None
    ) -> None:
        """Build the simulation.

        Args:
            task: what to do, with which arm.
            truth: physical parameters; None for the published ones with rigid gears.
            randomization: at every reset, parameters are drawn from this around `truth`; None keeps `truth`.
        """
        self.task = task
        self.truth = nominal_truth(task.arm).without_backlash() if truth is None else truth
        self.model = build_task_model(task, self.truth, randomization)
        self.data = mujoco.MjData(self.model)
        self._world = World(task, self.model)
        self._workspace = Workspace(self.model, task.arm)
        self._base_truth, self._randomization = self.truth, randomization
        self._warnings = self.data.warning.number
        self._targets = np.zeros(task.layout.joints)
        self._goal = np.zeros(3)
        self._observation = np.zeros(task.layout.size)
        self._steps = 0
        self.observation_space = gymnasium.spaces.Box(*task.observation_limits, dtype=np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (task.layout.joints,), np.float64)

    @property
    def substeps(self) -> int:
        """Physics steps in one `step`."""
        return self._world.substeps

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: starts the environment's random sequence anew.
            options: parts of the `Episode` to use instead of drawn ones, by name.

        Raises:
            ConfigError: an unknown option, or one of the wrong shape.
            SimulationError: no free pose was found.
        """
        super().reset(seed=seed)
        if self._randomization is not None:
            self.truth = self._randomization.draw(self._base_truth, self.np_random)
            apply_truth(self.model, self.task.arm, self.truth)
        episode = self.task.draw_episode(self._workspace, self.np_random)
        episode = _with_options(episode, options or {})
        self._world.start(self.model, self.data, episode)
        self._targets, self._goal, self._steps = episode.joints, episode.goal, 0
        return self._observe(), self._info()

    def step(self, action: NDArray[np.floating[Any]]) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """Change the targets by `action` (n,), clipped to -1..1, and let one period pass.

        Raises:
            NonFiniteCommand: the action holds NaN or infinity; nothing moved.
            SimulationError: the physics diverged.
        """
        applied = np.asarray(action, np.float64)
        if not np.isfinite(applied).all():
            raise NonFiniteCommand(f"{self.task.name}: action {applied.tolist()} is not finite: give -1..1")
        before = self._observation
        self._targets = self.task.next_targets(self._targets, applied)
        self.data.ctrl[self._world.addresses.control] = self._targets
        mujoco.mj_step(self.model, self.data, self._world.substeps)
        check_physics(self._warnings, self.data.time, self.task.name)
        mujoco.mj_kinematics(self.model, self.data)
        self._steps += 1
        observation = self._observe()
        reward = self.task.reward(before, applied, observation)
        return observation, float(reward), False, self._steps >= self.task.time_limit, self._info()

    def _observe(self) -> FloatArray:
        data = self.data
        self._observation = self._world.observe(data.qpos, data.qvel, data.site_xpos, self._targets, self._goal)
        return self._observation.copy()

    def _info(self) -> dict[str, Any]:
        distance = float(self.task.distance(self._observation))
        return {"success": distance < self.task.tolerance, "distance": distance}


def _with_options(episode: Episode, options: dict[str, Any]) -> Episode:
    """`episode` with the given parts replaced."""
    parts: dict[str, FloatArray] = {}
    for name, value in options.items():
        drawn = getattr(episode, name) if name in EPISODE_PARTS else None
        if drawn is None:
            known = [part for part in EPISODE_PARTS if getattr(episode, part) is not None]
            raise ConfigError(f"unknown reset option {name!r}: give one of {', '.join(known)}")
        given = np.asarray(value, np.float64)
        if given.shape != drawn.shape or not np.isfinite(given).all():
            raise ConfigError(f"reset option {name} = {value!r}: give {drawn.size} finite numbers")
        parts[name] = given
    return replace(episode, **parts)
