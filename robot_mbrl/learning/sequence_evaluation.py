"""Evaluates a recurrent policy on episodes that no training sees, and keeps the rows of some for predictions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.types import IntArray
from robot_mbrl.learning.collector import EVALUATION, Collector, EpisodeEnd
from robot_mbrl.learning.sequence_learner import SequenceLearner
from robot_mbrl.learning.vector_env import VectorEnv

Fields = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Episodes of an evaluation.

    Attributes:
        ends: one for each environment, in its order.
        rows: (b, t, ...) the beginnings of the first few, by field as in `SequenceBatch`, with the latent before them;
            as many rows as the shortest of those episodes has.
    """

    ends: list[EpisodeEnd]
    rows: Fields

    @property
    def mean_return(self) -> float:
        """Mean of the returns."""
        return float(np.mean([end.returned for end in self.ends]))

    @property
    def success(self) -> float | None:
        """Share of episodes whose last state solves the task; None where the environment does not say."""
        return _known_mean([end.success for end in self.ends])

    @property
    def distance(self) -> float | None:
        """Mean of what is left to the goal in the last states [m]; None where the environment does not say."""
        return _known_mean([end.distance for end in self.ends])


class RowKeeper:
    """Keeps the first `length` rows of the first `streams` streams."""

    def __init__(self, streams: int, length: int) -> None:
        self._streams, self._length = streams, length
        self._rows: list[Fields] = []

    def add(self, streams: IntArray, step: Mapping[str, NDArray[Any]], latent: Mapping[str, NDArray[Any]]) -> None:
        """Take one row of each stream; all come in every call."""
        del streams, latent
        if len(self._rows) < self._length:
            self._rows.append({name: np.array(value[: self._streams]) for name, value in step.items()})

    def fields(self) -> Fields:
        """What was kept, (b, t, ...) by field, up to where the first of the streams' episodes ended."""
        ends = (index for index, row in enumerate(self._rows, start=1) if row["is_last"].any())
        rows = self._rows[: next(ends, len(self._rows))]
        return {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]}


def evaluate(
    environments: VectorEnv, learner: SequenceLearner, seed: int, *, kept: int = 3, kept_rows: int = 100
) -> Evaluated:
    """One episode in each of the environments, the same ones for the same `seed`; actions are the policy's mode.

    Args:
        environments: not those of training.
        learner: acts.
        seed: of the run.
        kept: episodes whose rows are kept.
        kept_rows: of each, at most.
    """
    collector = Collector(environments, learner, seed, EVALUATION)
    keeper = RowKeeper(min(kept, environments.count), kept_rows)
    ends: dict[int, EpisodeEnd] = {}
    while len(ends) < environments.count:
        for end in collector.tick(learner, explore=False, sink=keeper):
            ends.setdefault(end.environment, end)
    start = learner.initial(min(kept, environments.count))
    return Evaluated([ends[index] for index in sorted(ends)], {**keeper.fields(), **start._asdict()})


def _known_mean(values: list[float]) -> float | None:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None
