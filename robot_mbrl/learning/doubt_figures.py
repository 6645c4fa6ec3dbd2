"""What thresholds are worth: false stops, true stops, delays, and whether the predicted variance can be believed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import Grades, UncertaintySettings
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.detection import auroc
from robot_mbrl.learning.flight_episodes import FlightEpisode, episode_windows
from robot_mbrl.learning.monitor_calibration import SCORES, ScoredEpisode
from robot_mbrl.policies.onnx_ensemble import OnnxEnsemble

COVERAGES: Final = {0.5: 0.6744897501960817, 0.8: 1.2815515655446004, 0.95: 1.959963984540054}
"""Share of a Gaussian within so many deviations of its mean: the normal distribution's quantile at (1 + share) / 2."""


@dataclass(frozen=True, slots=True)
class ShiftedGroup:
    """Episodes in which the same kind of thing went wrong.

    Attributes:
        name: of the kind.
        episodes: scored.
        onsets_ns: when it set in, in each [ns].
    """

    name: str
    episodes: Sequence[ScoredEpisode]
    onsets_ns: Sequence[int]


@dataclass(frozen=True, slots=True)
class Detection:
    """How doubt told one kind of shift.

    Attributes:
        name: of the kind.
        episodes: how many.
        auroc: of an episode's score, nominal episodes against these; by each of `SCORES`, and by the larger of both in
            terms of its threshold under "either".
        early: episodes that were stopped before the shift set in.
        stopped: episodes that were stopped after it.
        delays: (stopped,) from the onset to the stop [s].
    """

    name: str
    episodes: int
    auroc: dict[str, float]
    early: int
    stopped: int
    delays: tuple[float, ...]

    @property
    def stop_rate(self) -> float:
        """Share of the episodes that were not stopped early."""
        return self.stopped / max(self.episodes - self.early, 1)

    @property
    def median_delay(self) -> float:
        """[s]; infinity where half of the episodes or more were never stopped, NaN without any."""
        counted = self.episodes - self.early
        if not counted:
            return math.nan
        missing = [math.inf] * (counted - self.stopped)
        ordered = sorted([*self.delays, *missing])
        return (ordered[(counted - 1) // 2] + ordered[counted // 2]) / 2.0


def detect(group: ShiftedGroup, nominal: Sequence[ScoredEpisode], thresholds: UncertaintySettings) -> Detection:
    """What `thresholds` make of a group of shifted episodes, and of `nominal` ones for comparison."""
    delays: list[float] = []
    early = 0
    for episode, onset_ns in zip(group.episodes, group.onsets_ns, strict=True):
        stop_ns = episode.stop_ns(thresholds)
        if stop_ns is not None and stop_ns < onset_ns:
            early += 1
        elif stop_ns is not None:
            delays.append((stop_ns - onset_ns) / NANOSECONDS)
    return Detection(
        name=group.name,
        episodes=len(group.episodes),
        auroc={
            name: auroc(ratios(group.episodes, thresholds, names), ratios(nominal, thresholds, names))
            for name, names in (*((name, (name,)) for name in SCORES), ("either", SCORES))
        },
        early=early,
        stopped=len(delays),
        delays=tuple(delays),
    )


def ratios(
    episodes: Sequence[ScoredEpisode], thresholds: UncertaintySettings, names: Sequence[str] = SCORES
) -> list[float]:
    """Each episode's score in terms of its threshold, the largest of `names`: above 1 it is stopped."""
    pairs = [(name, _grades(thresholds, name)) for name in names]
    return [
        max(episode.score(name, grades.persistence) / grades.stop for name, grades in pairs if grades.stop is not None)
        for episode in episodes
    ]


def false_stops(nominal: Sequence[ScoredEpisode], thresholds: UncertaintySettings) -> int:
    """How many nominal episodes `thresholds` would stop."""
    return sum(episode.stop_ns(thresholds) is not None for episode in nominal)


def standardized_errors(episodes: Sequence[FlightEpisode], ensemble: OnnxEnsemble, stride: int = 10) -> FloatArray:
    """(k, 2n) errors of one-step predictions in predicted standard deviations, every `stride` ticks."""
    rows: list[FloatArray] = []
    for episode in episodes:
        cut = episode_windows(episode, ensemble.description.period)
        for index in range(0, len(cut.state), stride):
            step = ensemble.step(cut.state[index], cut.action[index])
            rows.append((cut.next_state[index] - step.mean) / np.sqrt(step.variance))
    return np.array(rows).reshape(-1, ensemble.states)


def coverage(errors: FloatArray, deviations: float) -> FloatArray:
    """(2n,) share of `errors` (k, 2n) that lie within so many deviations."""
    share: FloatArray = np.mean(np.abs(errors) <= deviations, axis=0)
    return share


def _grades(thresholds: UncertaintySettings, name: str) -> Grades:
    grades: Grades | None = getattr(thresholds, name)
    if grades is None or grades.stop is None:
        raise ConfigError(f"the thresholds have no stop for {name}: calibrate the monitor")
    return grades
