"""How good a trained planner is: episodes apart from those of training, and intervals over seeds."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from robot_mbrl.learning.episodes import EVALUATE, Actor, Outcome, run_episode, seed_for
from robot_mbrl.learning.statistics import Interval, iqm_interval
from robot_mbrl.learning.tasks import LearningTask


class ActorMaker(Protocol):
    """Makes who acts in an episode."""

    def make(self, seed: int) -> Actor:
        """Return an actor whose random numbers start from `seed`."""
        ...


class Judged(Protocol):
    """What is summed up of an episode: an `Outcome`, or what a run folder keeps of one."""

    @property
    def total_reward(self) -> float:
        """The return."""
        ...

    @property
    def distance(self) -> float | None:
        """Left to the goal at the end [m]; None where the task has no such thing."""
        ...

    @property
    def success(self) -> bool | None:
        """Whether it ended at the goal; None where the task has no such thing."""
        ...


class Summary(NamedTuple):
    """Runs of one task, each with its mean over its episodes; intervals are over runs.

    Attributes:
        runs: how many.
        episodes: of each.
        total_reward: interquartile mean of the returns.
        distance: of what was left to the goal at the end [m]; None where the task has no such thing.
        success: of the share of episodes that ended at the goal; None where the task has no such thing.
    """

    runs: int
    episodes: int
    total_reward: Interval
    distance: Interval | None
    success: Interval | None


def evaluate(
    task: LearningTask, actors: ActorMaker, seed: int, episodes: int, told: Callable[[Outcome], None] | None = None
) -> list[Outcome]:
    """Outcomes of `episodes` episodes that no training with this `seed` sees; the same ones every time."""
    outcomes = []
    for index in range(episodes):
        number = seed_for(seed, EVALUATE, index)
        outcome = run_episode(task, actors.make(number), number)
        outcomes.append(outcome)
        if told is not None:
            told(outcome)
    return outcomes


def summarize(runs: Sequence[Sequence[Judged]], random: np.random.Generator) -> Summary:
    """Interquartile means over runs of one task, with 95 % intervals that resample the runs.

    Raises:
        ConfigError: there are no runs, or a return is not finite.
    """
    return Summary(
        runs=len(runs),
        episodes=min((len(run) for run in runs), default=0),
        total_reward=_interval([[outcome.total_reward for outcome in run] for run in runs], random),
        distance=_interval_of_known([[outcome.distance for outcome in run] for run in runs], random),
        success=_interval_of_known([[outcome.success for outcome in run] for run in runs], random),
    )


def _interval(scores: Sequence[Sequence[float]], random: np.random.Generator) -> Interval:
    means = np.array([[np.mean(run)] for run in scores], np.float64)
    return iqm_interval(means.reshape(-1, 1), random)


def _interval_of_known(scores: Sequence[Sequence[float | None]], random: np.random.Generator) -> Interval | None:
    known = [[score for score in run if score is not None] for run in scores]
    return _interval(known, random) if all(known) else None
