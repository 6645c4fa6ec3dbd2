"""Collects experience: environments in step, a policy that remembers, and rows for the replay.

In every tick each environment adds one row, and then either takes a step or, where its episode has ended, starts the
next one. An episode is a pure function of its seed and its actions: a collector comes back to the middle of its
episodes by going through them again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import SimulationError
from robot_mbrl.contracts.types import IntArray
from robot_mbrl.learning.sequence_learner import Float32Array, Latent, SequenceLearner
from robot_mbrl.learning.vector_env import EnvSpaces, VectorEnv
from robot_mbrl.sim.batch import BoolArray

TRAINING, EVALUATION = 0, 1
"""Kinds of episodes; their seeds never meet."""


@dataclass(frozen=True, slots=True)
class EpisodeEnd:
    """An episode that ended.

    Attributes:
        environment: number of the environment.
        returned: sum of its rewards.
        length: actions it took.
        success: of its last state, 0 or 1; NaN where the environment does not say.
        distance: left to the goal in its last state [m]; NaN where the environment does not say.
    """

    environment: int
    returned: float
    length: int
    success: float
    distance: float


class Chooser(Protocol):
    """Chooses actions in the learner's stead."""

    def choose(self, observation: NDArray[Any], is_first: BoolArray) -> Float32Array:
        """The actions (k, a) at `observation` (k, ...) of each environment, in some of which an episode begins (k,)."""
        ...


class RandomActions:
    """Uniform ones."""

    def __init__(self, spaces: EnvSpaces, random: np.random.Generator) -> None:
        self._spaces, self._random = spaces, random

    def choose(self, observation: NDArray[Any], is_first: BoolArray) -> Float32Array:
        """See `Chooser`."""
        del observation
        count, width = len(is_first), self._spaces.actions
        if self._spaces.discrete:
            return np.eye(width, dtype=np.float32)[self._random.integers(width, size=count)]
        return self._random.uniform(-1.0, 1.0, (count, width)).astype(np.float32)


class RowSink(Protocol):
    """Takes rows, as `SequenceReplay.add` does."""

    def add(self, streams: IntArray, step: Mapping[str, NDArray[Any]], latent: Mapping[str, NDArray[Any]]) -> None:
        """Take one row of each of `streams` (k,)."""
        ...


def episode_seed(seed: int, kind: int, environment: int, episode: int) -> int:
    """Seed of an episode, of 32 bits, different for each kind, environment and episode."""
    return int(np.random.SeedSequence([seed, kind, environment, episode]).generate_state(1)[0])


class Collector:
    """Steps `environments` with a policy.

    Attributes:
        ticks: rows that each environment has given.
        actions: actions taken, of all environments.
    """

    def __init__(self, environments: VectorEnv, learner: SequenceLearner, seed: int, kind: int = TRAINING) -> None:
        """Start the first episode in every environment.

        Args:
            environments: to step.
            learner: acts.
            seed: of the run.
            kind: of episodes, `TRAINING` or `EVALUATION`.
        """
        self._envs, self._seed, self._kind = environments, seed, kind
        self._all: IntArray = np.arange(environments.count)
        count, spaces = environments.count, environments.spaces
        self.ticks = self.actions = 0
        self._latent = learner.initial(count)
        self._action = np.zeros((count, spaces.actions), np.float32)
        self._observation = np.zeros((count, *spaces.observation), np.uint8 if spaces.pixels else np.float32)
        self._reward, self._returns, self._final = np.zeros(count), np.zeros(count), np.full((2, count), np.nan)
        self._flags = np.zeros((3, count), np.bool_)
        self._ages, self._episodes = np.zeros(count, np.int64), np.full(count, -1, np.int64)
        self._history: list[Float32Array] = []
        self._begin(self._all)

    def tick(
        self,
        learner: SequenceLearner,
        *,
        explore: bool = True,
        sink: RowSink | None = None,
        chooser: Chooser | None = None,
    ) -> list[EpisodeEnd]:
        """Let every environment give a row and go on.

        Args:
            learner: observes and acts.
            explore: draw actions from the policy instead of taking its mode.
            sink: where the rows go; None keeps none.
            chooser: chooses the actions instead; the learner still observes.

        Returns:
            The episodes that ended.
        """
        is_first, is_last, is_terminal = self._flags
        chosen, self._latent = learner.act(self._latent, self._observation, self._action, is_first, explore)
        if sink is not None:
            step = {"observation": self._observation, "action": self._action, "reward": self._reward}
            flags = {"is_first": is_first, "is_last": is_last, "is_terminal": is_terminal}
            sink.add(self._all, {**step, **flags}, self._latent._asdict())
        if chooser is not None:
            chosen = chooser.choose(self._observation, is_first)
        over = np.flatnonzero(is_last)
        ends = [self._end(index) for index in over.tolist()]
        going = np.flatnonzero(~is_last)
        self._go_on(going, chosen[going])
        self._begin(over)
        self.ticks += 1
        return ends

    def state(self) -> dict[str, NDArray[Any]]:
        """Arrays from which `restore` comes back to the present tick."""
        longest = int(self._ages.max())
        history = np.array(self._history[-longest:] if longest else [], np.float32)
        kept = {
            "deter": self._latent.deter,
            "stoch": self._latent.stoch,
            "action": self._action,
            "observation": self._observation,
            "reward": self._reward,
            "flags": self._flags,
            "returns": self._returns,
            "final": self._final,
            "ages": self._ages,
            "episodes": self._episodes,
            "history": history.reshape(longest, *self._action.shape),
            "counters": np.array([self.ticks, self.actions]),
        }
        return {name: np.array(value) for name, value in kept.items()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go through the present episodes again, up to where `state` was taken.

        Raises:
            SimulationError: an environment did not come to the same observation.
        """
        ages, episodes, history = state["ages"], state["episodes"], state["history"]
        self._episodes[:] = episodes - 1
        for back in range(int(ages.max()), -1, -1):
            self._begin(np.flatnonzero(ages == back))
            if back:
                going = np.flatnonzero(ages >= back)
                self._go_on(going, history[-back][going])
        wrong = [i for i in self._all.tolist() if not np.array_equal(self._observation[i], state["observation"][i])]
        if wrong:
            raise SimulationError(
                f"environments {wrong} did not come back to where the run was saved: they do not follow from seed and "
                f"actions alone, begin a new run"
            )
        self._latent = Latent(state["deter"].copy(), state["stoch"].copy())
        self._action[:], self._reward[:], self._returns[:] = state["action"], state["reward"], state["returns"]
        self._flags[:], self._final[:] = state["flags"], state["final"]
        self._history = list(history)
        self.ticks, self.actions = (int(value) for value in state["counters"])

    def _end(self, index: int) -> EpisodeEnd:
        success, distance = self._final[:, index].tolist()
        return EpisodeEnd(index, float(self._returns[index]), int(self._ages[index]), success, distance)

    def _begin(self, which: IntArray) -> None:
        """Start the next episode in `which` (k,)."""
        if not which.size:
            return
        self._episodes[which] += 1
        seeds = [episode_seed(self._seed, self._kind, int(i), int(self._episodes[i])) for i in which]
        self._observation[which] = self._envs.start(which, seeds)
        self._action[which] = 0.0
        self._reward[which] = self._returns[which] = 0.0
        self._flags[:, which] = [[True], [False], [False]]
        self._ages[which] = 0

    def _go_on(self, which: IntArray, actions: Float32Array) -> None:
        """Take a step in `which` (k,)."""
        if not which.size:
            return
        steps = self._envs.step(which, actions)
        self._action[which] = actions
        self._history.append(self._action.copy())
        self._observation[which], self._reward[which] = steps.observation, steps.reward
        self._flags[:, which] = [np.zeros(len(which), np.bool_), steps.terminated | steps.truncated, steps.terminated]
        self._final[:, which] = steps.success, steps.distance
        self._returns[which] += steps.reward
        self._ages[which] += 1
        self.actions += len(which)
        del self._history[: -int(self._ages.max())]
