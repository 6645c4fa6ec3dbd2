"""dm_control's suite as gymnasium environments: flat observations, actions in -1..1, time limits as truncation.

Same physics, observations and rewards as dm_control's own environment, step by step. The environment drives MuJoCo
itself instead of calling dm_control's `Environment.step`, and takes observation and reward from a kernel where
`dm_control_kernels` has one for the domain; other domains use their task's own functions.
"""

import importlib
import inspect
from typing import Any

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError, SimulationError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.sim.dm_control_kernels import KERNELS, Kernel

_UNLIMITED = 1e10
"""What dm_control's action specification says of an actuator without limits."""


def suite_tasks() -> tuple[tuple[str, str], ...]:
    """All (domain, task) pairs of the installed suite.

    Raises:
        ConfigError: dm_control is not installed.
    """
    return tuple(_import_dm_control("dm_control.suite").ALL_TASKS)


def make_suite_env(domain: str, task: str, seed: int | None = None, action_repeat: int = 1) -> "SuiteEnv":
    """Make the suite's task `domain`, `task`; the first `reset` without a seed starts from `seed`.

    Raises:
        ConfigError: dm_control is not installed, there is no such task, or `action_repeat` is below 1.
    """
    return SuiteEnv(domain, task, seed=seed, action_repeat=action_repeat)


class SuiteEnv(gymnasium.Env[FloatArray, NDArray[np.floating[Any]]]):
    """One task of dm_control's suite.

    The observation is the concatenation of the arrays in dm_control's observation dictionary, in its order. Actions
    in -1..1 are mapped linearly onto the actuators' ranges, and go to actuators without a range as they are.
    `reset(seed=s)` starts the very sequence of episodes that `dm_control.suite.load(..., task_kwargs={"random": s})`
    gives.

    Attributes:
        task: dm_control's task.
        physics: dm_control's physics; stepping it past the environment loses count of the time.
        observation_space: Box of float64, unbounded.
        action_space: Box of float64, -1..1.
    """

    def __init__(self, domain: str, task: str, *, seed: int | None = None, action_repeat: int = 1) -> None:
        if action_repeat < 1:
            raise ConfigError(f"action_repeat = {action_repeat} repeats nothing: give 1 or more")
        factory = _task_factory(domain, task)
        environment = factory(random=seed)
        self.task, self.physics = environment.task, environment.physics
        self._model, self._data = self.physics.model.ptr, self.physics.data.ptr
        self._action_repeat = action_repeat
        self._substeps: int = round(environment.control_timestep() / self.physics.timestep())
        self._step_limit = inspect.signature(factory).parameters["time_limit"].default / environment.control_timestep()
        self._steps = 0
        self._control, self._warnings = self._data.ctrl, self._data.warning.number

        spec = environment.action_spec()
        unlimited = np.asarray(spec.maximum) >= _UNLIMITED
        low, high = np.where(unlimited, -1.0, spec.minimum), np.where(unlimited, 1.0, spec.maximum)
        self._action_middle, self._action_scale = (low + high) / 2.0, (high - low) / 2.0
        self._rescales = not (np.all(low == -1.0) and np.all(high == 1.0))
        base = _import_dm_control("dm_control.suite.base").Task
        self._plain_control = type(self.task).before_step is base.before_step
        self._has_after_step = type(self.task).after_step is not base.after_step
        physics_class = _import_dm_control("dm_control.mujoco").Physics
        self._plain_physics = type(self.physics).step is physics_class.step and self.physics.legacy_step
        self._runge_kutta = self._model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4.value

        kernel = KERNELS.get(domain)
        self._kernel: Kernel = (
            _TaskKernel(self.task, self.physics) if kernel is None else kernel(self._model, self._data, task)
        )
        environment.reset()
        size = self._kernel.observe().size
        if seed is not None:
            self.task.random.seed(seed)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, spec.shape, np.float64)

    @property
    def substeps(self) -> int:
        """Physics steps in one `step`."""
        return self._substeps * self._action_repeat

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[FloatArray, dict[str, Any]]:
        """Start an episode; `seed` restarts the task's random sequence. There are no `options`.

        Raises:
            ConfigError: `options` is not empty.
        """
        if options:
            raise ConfigError(f"dm_control tasks have no reset options: remove {', '.join(options)}")
        super().reset(seed=seed)
        if seed is not None:
            self.task.random.seed(seed)
        self._steps = 0
        with self.physics.reset_context():
            self.task.initialize_episode(self.physics)
        return self._kernel.observe(), {}

    def step(self, action: NDArray[np.floating[Any]]) -> tuple[FloatArray, float, bool, bool, dict[str, Any]]:
        """Apply `action` for `action_repeat` control steps or to the episode's end; the reward is their sum.

        Terminated means that dm_control gave a last discount of 0; a time limit, and any other end, truncates.

        Raises:
            SimulationError: the physics diverged, or the action is not finite.
        """
        total = 0.0
        discount: float | None = None
        over = False
        for _ in range(self._action_repeat):
            self._control_step(action)
            total += self._kernel.reward()
            self._steps += 1
            over = self._steps >= self._step_limit
            if not over:
                discount = self.task.get_termination(self.physics)
                over = discount is not None
            if over:
                break
        terminated = discount == 0.0
        return self._kernel.observe(), total, terminated, over and not terminated, {}

    def _control_step(self, action: NDArray[np.floating[Any]]) -> None:
        control = self._action_middle + self._action_scale * action if self._rescales else action
        if self._plain_control:
            self._control[:] = control
        else:
            self.task.before_step(control, self.physics)
        if self._plain_physics:
            self._advance()
        else:
            self.physics.step(self._substeps)
        if self._has_after_step:
            self.task.after_step(self.physics)

    def _advance(self) -> None:
        """Step the physics so that positions and velocities are up to date, as dm_control's `legacy_step` does.

        mj_step1 has been called for the present state, so the first step is finished by mj_step2 alone, and a new
        mj_step1 follows the last. RK4 needs whole steps.
        """
        model, data, before = self._model, self._data, self._warnings.tobytes()
        if self._runge_kutta:
            mujoco.mj_step(model, data, self._substeps)
        else:
            mujoco.mj_step2(model, data)
            if self._substeps > 1:
                mujoco.mj_step(model, data, self._substeps - 1)
        mujoco.mj_step1(model, data)
        if self._warnings.tobytes() != before:
            raised = np.flatnonzero(self._warnings != np.frombuffer(before, self._warnings.dtype))
            names = ", ".join(mujoco.mjtWarning(int(index)).name for index in raised)
            raise SimulationError(f"the physics raised {names} at {data.time:.3f} s: reset the environment")


class _TaskKernel:
    """Observation and reward by the task's own functions, for domains without a kernel."""

    def __init__(self, task: Any, physics: Any) -> None:
        self._task, self._physics = task, physics

    def observe(self) -> FloatArray:
        observation = self._task.get_observation(self._physics)
        return np.concatenate([np.ravel(value) for value in observation.values()], dtype=np.float64)

    def reward(self) -> float:
        return float(self._task.get_reward(self._physics))


def _task_factory(domain: str, task: str) -> Any:
    """The suite's function that builds `domain`, `task`."""
    known = suite_tasks()
    if (domain, task) not in known:
        tasks = [name for name_of_domain, name in known if name_of_domain == domain]
        if tasks:
            raise ConfigError(f"dm_control's domain {domain!r} has no task {task!r}: give one of {', '.join(tasks)}")
        domains = ", ".join(sorted({name for name, _ in known}))
        raise ConfigError(f"dm_control has no domain {domain!r}: give one of {domains}")
    return _import_dm_control(f"dm_control.suite.{domain}").SUITE[task]


def _import_dm_control(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{module} cannot be imported ({error}): install it with pip install 'robot-mbrl[dm-control]'"
        ) from error


gymnasium.register(id="robot_mbrl/Suite-v0", entry_point="robot_mbrl.sim.dm_control_adapter:SuiteEnv")
