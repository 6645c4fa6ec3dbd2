"""Episodes of a task, and who acts in them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.tasks import LearningTask
from robot_mbrl.policies.task_model import Float32Array, Plan, Planner
from robot_mbrl.sim.tasks import TaskEnv
from robot_mbrl.sim.tasks.scripted import scripted_controller

COLLECT, EVALUATE, FIT, GUIDE, TEACH = range(5)
"""What a seed is for, so that no two things share random numbers."""

_LONGEST_COLOURED: Final = 1024
"""Steps of coloured noise drawn at once."""


class Actor(Protocol):
    """Answers states with actions for one episode."""

    def act(self, state: Float32Array) -> Float32Array:
        """Return the action (a,) for a state (d,)."""
        ...

    @property
    def disagreement(self) -> float | None:
        """Of its last action, see `policies.task_model.Plan`; None when it has none to tell."""
        ...


class PlannerActor:
    """Plans, executes the first actions of the plan, and plans again."""

    def __init__(self, planner: Planner, actions_per_plan: int = 1) -> None:
        self._planner, self._actions_per_plan = planner, actions_per_plan
        self._plan: Plan | None = None
        self._step = 0
        self.disagreement: float | None = None
        planner.reset()

    def act(self, state: Float32Array) -> Float32Array:
        """Return the action (a,) for a state (d,)."""
        if self._plan is None or self._step == self._actions_per_plan:
            self._plan = self._planner.plan(state, elapsed=max(1, self._step))
            self._step = 0
        index, self._step = self._step, self._step + 1
        self.disagreement = float(self._plan.disagreement[index])
        action: Float32Array = self._plan.actions[index]
        return action


class RandomActor:
    """Coloured noise between the lowest and the highest action: slow enough to get somewhere."""

    disagreement: float | None = None

    def __init__(self, task: LearningTask, exponent: float, random: np.random.Generator) -> None:
        """Draw noise whose power falls with frequency to the power of `exponent`; 0 is white."""
        low, high = task.model.action_low.numpy(), task.model.action_high.numpy()
        noise = coloured_noise(_LONGEST_COLOURED, task.model.actions, exponent, random)
        actions = (low + high) / 2.0 + np.clip(noise, -1.0, 1.0) * (high - low) / 2.0
        self._actions = actions.astype(np.float32)
        self._step = 0

    def act(self, state: Float32Array) -> Float32Array:
        """Return the next action (a,)."""
        del state
        action: Float32Array = self._actions[self._step % _LONGEST_COLOURED]
        self._step += 1
        return action


class ScriptedActor:
    """The arm's hand-written controller, with coloured noise on its actions: demonstrations that also go astray."""

    disagreement: float | None = None

    def __init__(self, task: LearningTask, noise: Actor, share: float, random: np.random.Generator) -> None:
        """Mix the controller's actions with those of `noise`, whose share is `share`.

        Raises:
            ConfigError: the task is none of the arm's.
        """
        if not isinstance(task.environment, TaskEnv):
            raise ConfigError(f"{task.name}: has no scripted controller: only reach and push have one")
        self._controller = scripted_controller(task.environment.task, random)
        self._noise, self._share = noise, share

    def act(self, state: Float32Array) -> Float32Array:
        """Return the next action (a,)."""
        shown = self._controller.act(state.astype(np.float64))
        action: Float32Array = ((1.0 - self._share) * shown + self._share * self._noise.act(state)).astype(np.float32)
        return action


class ScriptedActors:
    """Makes actors for episodes: the arm's hand-written controller as it is.

    Attributes:
        task: where they act.
    """

    def __init__(self, task: LearningTask) -> None:
        """Take `task`.

        Raises:
            ConfigError: the task is none of the arm's.
        """
        self.task = task
        self.make(0)

    def make(self, seed: int) -> ScriptedActor:
        """An actor whose random numbers start from `seed`."""
        random = np.random.default_rng(seed)
        return ScriptedActor(self.task, RandomActor(self.task, 0.0, random), 0.0, random)


@dataclass(frozen=True, slots=True)
class Transition:
    """One step of an episode: state (d,), action (a,), next state (d,), reward."""

    state: Float32Array
    action: Float32Array
    next_state: Float32Array
    reward: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an episode went.

    Attributes:
        total_reward: sum of the rewards, undiscounted: the return.
        steps: environment steps it took.
        distance: what was left to the goal at the end [m]; None where the task has no such thing.
        success: whether the last state solves the task; None where the task has no such thing.
        disagreement: mean over the steps; None when the actor has none.
    """

    total_reward: float
    steps: int
    distance: float | None
    success: bool | None
    disagreement: float | None


def run_episode(
    task: LearningTask,
    actor: Actor,
    seed: int,
    keep: Callable[[Transition], None] | None = None,
    between: Callable[[], None] | None = None,
) -> Outcome:
    """Let `actor` act in the episode that `seed` starts, until it ends.

    `keep` gets every transition, and `between` is called between two actions.
    """
    observation, info = task.environment.reset(seed=seed)
    state, total, decisions, ended = task.model.state(observation), 0.0, 0, False
    doubts: list[float] = []
    while not ended:
        action = actor.act(state)
        observation, reward, terminated, truncated, info = task.environment.step(action)
        next_state, ended = task.model.state(observation), terminated or truncated
        if keep is not None:
            keep(Transition(state, action, next_state, float(reward)))
        if between is not None and not ended:
            between()
        state, total, decisions = next_state, total + float(reward), decisions + 1
        if actor.disagreement is not None:
            doubts.append(actor.disagreement)
    return Outcome(
        total_reward=total,
        steps=decisions * task.repeat,
        distance=float(info["distance"]) if "distance" in info else None,
        success=bool(info["success"]) if "success" in info else None,
        disagreement=float(np.mean(doubts)) if doubts else None,
    )


def coloured_noise(steps: int, size: int, exponent: float, random: np.random.Generator) -> FloatArray:
    """Gaussian noise (steps, size) of unit deviation, power spectrum `1 / f^exponent` (Timmer and König 1995).

    Its lowest frequency is `1 / steps`; the mean is no part of it.
    """
    frequencies = np.fft.rfftfreq(steps)[1:]
    scale = frequencies ** (-exponent / 2.0)
    real, imaginary = random.standard_normal((2, size, len(scale))) * scale
    spectrum = np.concatenate((np.zeros((size, 1)), real + 1j * imaginary), axis=1)
    noise = np.fft.irfft(spectrum, n=steps, axis=1).T
    deviation: FloatArray = noise / noise.std(axis=0)
    return deviation


def seed_for(seed: int, purpose: int, index: int) -> int:
    """A number below 2³¹ that differs by run, purpose and index: `SeedSequence` of the three."""
    return int(np.random.SeedSequence((seed, purpose, index)).generate_state(1)[0] >> 1)


def torch_generator(seed: int) -> torch.Generator:
    """A generator that starts from `seed`."""
    generator = torch.Generator()
    generator.manual_seed(seed)
    return generator
