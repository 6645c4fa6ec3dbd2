"""Environments side by side, in step: the twin's batches, dm_control's suite and gymnasium, behind one interface.

An episode is a pure function of its seed and its actions, so that a training run that was killed can come back to the
middle of one. Nothing restarts by itself: who steps also starts.

========================== ===========================================================================
name                       what it is
========================== ===========================================================================
reach, push                an arm at `sim.tasks`, all simulations in one batch, 20 actions a second
dm_control:DOMAIN-TASK     any task of dm_control's suite, such as dm_control:reacher-easy
gymnasium:ID               any environment of gymnasium's with a time limit, whose observation is a Box
========================== ===========================================================================
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray, IntArray
from robot_mbrl.policies.dreamer_settings import Difference
from robot_mbrl.sim.batch import BatchTaskEnv, BoolArray
from robot_mbrl.sim.dm_control_adapter import SuiteEnv
from robot_mbrl.sim.tasks import TASKS, Layout, make_task
from robot_mbrl.sim.tasks.task import Task
from robot_mbrl.sim.tasks.workspace import Workspace

Observations = NDArray[Any]
"""(k, ...) float32 numbers, or uint8 images."""

IMAGE_SIDE: Final = 64
"""Height and width of images [pixels]."""

_DELAY: Final = 1
"""What a further random generator of an episode is for."""

PLACE_MAGNITUDE: Final = 0.1
"""Typical size of a place's coordinate [m] in an arm's task; angles and rates are about 1."""
GAP_MAGNITUDE: Final = 0.03
"""The same of what is left from the tool to the goal [m]: the last centimetres are what counts."""


@dataclass(frozen=True, slots=True)
class EnvSpaces:
    """What goes in and out of one environment.

    Attributes:
        observation: shape.
        pixels: observations are uint8 images, (64, 64, channels); float32 numbers otherwise.
        actions: length of an action: numbers in -1..1, or of a one-hot vector when `discrete`.
        discrete: whether actions are choices.
        magnitudes: (o,) typical size of each component of a vector; empty where nothing is known.
        differences: of parts of a vector, that the reward depends on.
    """

    observation: tuple[int, ...]
    pixels: bool
    actions: int
    discrete: bool
    magnitudes: tuple[float, ...] = ()
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Steps:
    """What k environments answered.

    Attributes:
        observation: (k, ...) that the actions led to.
        reward: (k,).
        terminated: (k,) whether the episode ended in a terminal state.
        truncated: (k,) whether it was cut off, by its time limit for one.
        success: (k,) 0 or 1, whether the state solves the task; NaN where the environment does not say.
        distance: (k,) what is left to the goal [m]; NaN where the environment does not say.
    """

    observation: Observations
    reward: FloatArray
    terminated: BoolArray
    truncated: BoolArray
    success: FloatArray
    distance: FloatArray


class VectorEnv(Protocol):
    """Environments with the same spaces."""

    count: int
    spaces: EnvSpaces
    repeat: int
    """Environment steps that one action lasts."""

    def start(self, which: IntArray, seeds: Sequence[int]) -> Observations:
        """Start an episode with a seed in each environment of `which` (k,); the first observations (k, ...)."""
        ...

    def step(self, which: IntArray, actions: NDArray[np.float32]) -> Steps:
        """Apply `actions` (k, a) in the environments of `which` (k,)."""
        ...

    def close(self) -> None:
        """Let go of what they hold."""
        ...


class LateTargets:
    """A policy's joint targets in k simulations, and the actions by which they reach the servos some periods later."""

    def __init__(self, task: Task, count: int, longest: int) -> None:
        """Keep the targets of `longest` periods."""
        self._task, self._everyone = task, np.arange(count)
        self._delay = np.zeros(count, np.intp)
        self._newest_first = np.zeros((longest + 1, count, task.layout.joints))

    @property
    def targets(self) -> FloatArray:
        """(k, n) as the policy wants them [rad]."""
        newest: FloatArray = self._newest_first[0]
        return newest

    def start(self, which: IntArray, targets: FloatArray, delay: IntArray) -> None:
        """Begin in the simulations `which` (j,) with `targets` (j, n) [rad], `delay` (j,) periods late."""
        self._newest_first[:, which], self._delay[which] = targets, delay

    def step(self, actions: FloatArray, held: FloatArray) -> FloatArray:
        """The task's actions (k, n) that `actions` (k, n) of a while ago are for servos that hold `held` (k, n)."""
        newest = self._task.next_targets(self.targets, actions)
        self._newest_first = np.concatenate([newest[None], self._newest_first[:-1]])
        late: FloatArray = self._newest_first[self._delay, self._everyone]
        # Without delay the action itself, which the difference of two targets would round.
        return np.where(self._delay[:, None] == 0, actions, (late - held) / self._task.action_scale)


class TwinEnv:
    """An arm's task on the twin, all simulations in one batch.

    The targets that are observed are the policy's own, as where it is deployed: what the servos hold is `delay` behind.
    """

    repeat = 1

    def __init__(
        self,
        task: Task,
        count: int,
        threads: int = 1,
        speed: float = 1.0,
        delay: tuple[int, int] = (0, 0),
        effort: float = 0.0,
    ) -> None:
        """Make `count` environments.

        Args:
            task: of each.
            count: how many.
            threads: to simulate on.
            speed: share of the joints' top speeds that an action of 1 stands for.
            delay: least and greatest number of periods until an action reaches the servos; drawn for each episode.
            effort: reward that actions of -1 or 1 in all joints cost, beside what the task takes for them.
        """
        self.count, self._task, self._speed, self._delay, self._effort = count, task, speed, delay, effort
        self._late = LateTargets(task, count, delay[1])
        self._held = np.zeros((count, task.layout.joints))
        self._batch = BatchTaskEnv(task, count, np.random.default_rng(0), nthread=threads)
        self._workspace = Workspace(self._batch.model, task.arm)
        size, joints = task.layout.size, task.layout.joints
        self.spaces = EnvSpaces(
            (size,),
            False,
            joints,
            discrete=False,
            magnitudes=_magnitudes(task.layout),
            differences=_gaps(task.layout),
        )

    def start(self, which: IntArray, seeds: Sequence[int]) -> Observations:
        """Start an episode with a seed in each environment of `which` (k,); the first observations (k, size)."""
        mask = np.zeros(self.count, np.bool_)
        mask[which] = True
        drawn = {
            int(sim): self._task.draw_episode(self._workspace, np.random.default_rng(seed))
            for sim, seed in zip(which, seeds, strict=True)
        }
        observations = self._batch.reset(mask, [drawn[sim] for sim in sorted(drawn)])
        self._held = self._task.layout.part(observations, "targets").copy()
        low, high = self._delay
        delays = [np.random.default_rng([seed, _DELAY]).integers(low, high + 1) for seed in seeds]
        self._late.start(which, self._held[which], np.array(delays, np.intp))
        return observations[which].astype(np.float32)

    def step(self, which: IntArray, actions: NDArray[np.float32]) -> Steps:
        """Apply `actions` (k, n) in the environments of `which` (k,); those of the others stand still."""
        everywhere, applied = np.zeros((self.count, self.spaces.actions)), np.clip(actions, -1.0, 1.0)
        everywhere[which] = self._speed * applied
        following, reward, terminated, truncated, info = self._batch.step(self._late.step(everywhere, self._held))
        self._held = self._task.layout.part(following, "targets").copy()
        seen = info["final_observation"][which].astype(np.float64)
        self._task.layout.part(seen, "targets")[:] = self._late.targets[which]
        observation = seen.astype(np.float32)
        success, distance = (info[name][which].astype(np.float64) for name in ("success", "distance"))
        left = reward[which] - self._effort * np.square(applied, dtype=np.float64).mean(axis=1)
        return Steps(observation, left, terminated[which], truncated[which], success, distance)

    def close(self) -> None:
        """Do nothing: memory is all that is held."""


class GymnasiumEnvs:
    """gymnasium's environments, one after the other."""

    def __init__(self, environments: list[gymnasium.Env[Any, Any]], name: str, repeat: int = 1) -> None:
        """Take `environments`, all of the same kind.

        Raises:
            ConfigError: observation or action space is of a kind that cannot be learned from here.
        """
        self.count, self.repeat, self._environments = len(environments), repeat, environments
        self._action_space = environments[0].action_space
        self.spaces = _gymnasium_spaces(environments[0], name)

    def start(self, which: IntArray, seeds: Sequence[int]) -> Observations:
        """Start an episode with a seed in each environment of `which` (k,); the first observations (k, ...)."""
        pairs = zip(which.tolist(), seeds, strict=True)
        return self._stacked([self._environments[index].reset(seed=int(seed))[0] for index, seed in pairs])

    def step(self, which: IntArray, actions: NDArray[np.float32]) -> Steps:
        """Apply `actions` (k, a) in the environments of `which` (k,)."""
        answers = [
            self._environments[index].step(self._native(action))
            for index, action in zip(which.tolist(), actions, strict=True)
        ]
        return Steps(
            self._stacked([answer[0] for answer in answers]),
            np.array([answer[1] for answer in answers], np.float64),
            np.array([answer[2] for answer in answers], np.bool_),
            np.array([answer[3] for answer in answers], np.bool_),
            *(np.array([answer[4].get(name, np.nan) for answer in answers]) for name in ("success", "distance")),
        )

    def close(self) -> None:
        """Close all environments."""
        for environment in self._environments:
            environment.close()

    def _stacked(self, observations: list[Any]) -> Observations:
        number = np.uint8 if self.spaces.pixels else np.float32
        return np.stack([np.asarray(value, number).reshape(self.spaces.observation) for value in observations])

    def _native(self, action: NDArray[np.float32]) -> Any:
        """What the environment itself takes: a choice, or numbers within its own bounds."""
        if isinstance(self._action_space, spaces.Discrete):
            return int(self._action_space.start) + int(action.argmax())
        assert isinstance(self._action_space, spaces.Box)
        low, high = self._action_space.low, self._action_space.high
        share = (np.clip(action, -1.0, 1.0).reshape(low.shape) + 1.0) / 2.0
        return low + share * (high - low)


def make_vector_env(
    name: str,
    count: int,
    *,
    arm: str = "so101_follower",
    repeat: int = 1,
    speed: float = 1.0,
    delay: tuple[int, int] = (0, 0),
    effort: float = 0.0,
    threads: int = 1,
) -> VectorEnv:
    """Make `count` environments of a task.

    Args:
        name: see the table above.
        count: how many.
        arm: name of an arm definition, or the path of one; for reach and push.
        repeat: environment steps that one action lasts; dm_control's tasks only.
        speed: share of the joints' top speeds that an action of 1 stands for; reach and push only.
        delay: least and greatest number of periods until an action reaches the servos; reach and push only.
        effort: reward that actions of -1 or 1 in all joints cost, beside the task's; reach and push only.
        threads: to simulate batches on; 0 for all processors.

    Raises:
        ConfigError: there is no such task or arm, its episodes have no time limit, or it has spaces that cannot be
            learned from.
    """
    kind, _, rest = name.partition(":")
    if repeat != 1 and kind != "dm_control":
        raise ConfigError(f"{name}: repeat = {repeat}, but only dm_control's tasks repeat actions: give 1")
    if name in TASKS:
        return TwinEnv(make_task(name, arm), count, threads, speed, delay, effort)
    if speed != 1.0 or delay != (0, 0) or effort != 0.0:
        raise ConfigError(
            f"{name}: speed = {speed}, delay = {delay} and effort = {effort}, but only {' and '.join(TASKS)} have "
            "them: give 1, [0, 0] and 0"
        )
    if kind == "dm_control" and rest:
        domain, _, task = rest.partition("-")
        return GymnasiumEnvs([SuiteEnv(domain, task, action_repeat=repeat) for _ in range(count)], name, repeat)
    if kind == "gymnasium" and rest:
        return GymnasiumEnvs([_gymnasium_env(rest, name) for _ in range(count)], name)
    raise ConfigError(f"unknown task {name!r}: give one of {', '.join(TASKS)}, dm_control:DOMAIN-TASK, gymnasium:ID")


def _gymnasium_env(identifier: str, name: str) -> gymnasium.Env[Any, Any]:
    """An environment whose episodes end: what is collected of one is kept until then, and an evaluation waits for it.

    Raises:
        ConfigError: there is none, or it has no time limit.
    """
    try:
        environment = gymnasium.make(identifier)
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise ConfigError(
            f"{name}: gymnasium cannot make it ({error}): give a registered id, and install what it needs"
        ) from error
    if environment.spec is None or environment.spec.max_episode_steps is None:
        environment.close()
        raise ConfigError(f"{name}: its episodes may never end: register it with max_episode_steps")
    return environment


def _magnitudes(layout: Layout) -> tuple[float, ...]:
    sizes = np.ones(layout.size)
    for name in layout.slices.keys() & {"tool", "object", "goal"}:
        sizes[layout.slices[name]] = PLACE_MAGNITUDE
    return tuple(sizes.tolist())


def _gaps(layout: Layout) -> tuple[Difference, ...]:
    """From the tool to what it shall be at, and from that to the goal."""
    places = [layout.slices[name].start for name in ("tool", "object", "goal") if name in layout.slices]
    return tuple(
        Difference(minuend=there, subtrahend=here, length=3, magnitude=GAP_MAGNITUDE)
        for here, there in pairwise(places)
    )


def _gymnasium_spaces(environment: gymnasium.Env[Any, Any], name: str) -> EnvSpaces:
    seen, acted = environment.observation_space, environment.action_space
    if not isinstance(seen, spaces.Box):
        raise ConfigError(f"{name}: its observation is a {type(seen).__name__}: only a Box can be learned from")
    pixels = seen.dtype == np.uint8 and len(seen.shape) == 3
    if pixels and seen.shape[:2] != (IMAGE_SIDE, IMAGE_SIDE):
        raise ConfigError(f"{name}: images of {seen.shape[0]} x {seen.shape[1]}: resize them to 64 x 64")
    observation = seen.shape if pixels else (int(np.prod(seen.shape)),)
    if isinstance(acted, spaces.Discrete):
        return EnvSpaces(observation, pixels, actions=int(acted.n), discrete=True)
    if not isinstance(acted, spaces.Box) or not np.isfinite([acted.low, acted.high]).all():
        raise ConfigError(f"{name}: its action space is {acted}: only Discrete and a Box with bounds can be learned")
    return EnvSpaces(observation, pixels, actions=int(np.prod(acted.shape)), discrete=False)
