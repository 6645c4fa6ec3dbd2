"""Thresholds for the monitor's doubt, from nominal flights, with a stated rate of false stops.

Each score of the model beside the policy has a split-conformal threshold (`safety.conformal`) at half the promised
rate, so that an episode is stopped by either with at most the whole (the union bound). The episodes must not be those
that the model was trained on: it is surer of these than of any other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import Grades, UncertaintySettings
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.detection import first_stop_ns
from robot_mbrl.learning.flight_episodes import FlightEpisode
from robot_mbrl.policies.model_watch import ModelWatch
from robot_mbrl.safety.conformal import conformal_threshold, episode_score, episodes_needed

SCORES: Final = ("disagreement", "residual")


class CalibrationSettings(Settings):
    """What is promised.

    Attributes:
        alpha: rate of nominal episodes that doubt may stop, both scores together.
        persistence: how long a score must stay above its threshold [s].
    """

    alpha: float = Field(default=0.01, gt=0.0, lt=1.0)
    persistence: float = Field(default=0.15, ge=0.0, le=10.0)


@dataclass(frozen=True, slots=True)
class ScoredEpisode:
    """What the model said in an episode, tick by tick.

    Attributes:
        source: of the episode.
        flight: name of its flight.
        wake_ns: (k,) when each tick was judged [ns].
        disagreement: (k,); NaN where nothing was asked.
        residual: (k,); NaN where nothing was compared.
    """

    source: str
    flight: str
    wake_ns: NDArray[np.int64]
    disagreement: FloatArray
    residual: FloatArray

    def score(self, name: str, persistence: float) -> float:
        """The episode's score by one of `SCORES`; see `safety.conformal.episode_score`."""
        return episode_score(self.wake_ns, getattr(self, name), persistence)

    def stop_ns(self, thresholds: UncertaintySettings) -> int | None:
        """When doubt would have stopped the episode by `thresholds` [ns]; None if never."""
        stops = []
        for name in SCORES:
            grades: Grades | None = getattr(thresholds, name)
            if grades is not None and grades.stop is not None:
                stops.append(first_stop_ns(self.wake_ns, getattr(self, name), grades.stop, grades.persistence))
        return min((stop for stop in stops if stop is not None), default=None)


def score_episode(episode: FlightEpisode, watch: ModelWatch) -> ScoredEpisode:
    """Let `watch` see an episode as it would have in flight."""
    watch.reset()
    scores = np.full((len(episode.wake_ns), 2), np.nan)
    for tick in np.flatnonzero(episode.following).tolist():
        scores[tick] = watch.update(
            int(episode.stamps_ns[tick]),
            episode.position[tick],
            episode.velocity[tick],
            episode.held[tick],
            episode.requested[tick],
        )
    return ScoredEpisode(episode.source, episode.flight, episode.wake_ns, scores[:, 0], scores[:, 1])


def score_episodes(
    episodes: Sequence[FlightEpisode], watch: ModelWatch, progress: Callable[[], None] = lambda: None
) -> list[ScoredEpisode]:
    """`score_episode` of each, calling `progress` after each."""
    scored = []
    for episode in episodes:
        scored.append(score_episode(episode, watch))
        progress()
    return scored


def check_enough(episodes: int, settings: CalibrationSettings) -> None:
    """Refuse to promise more than `episodes` can carry, before any work is done on them.

    Raises:
        ConfigError: how many are missing.
    """
    needed = episodes_needed(settings.alpha / len(SCORES))
    if episodes < needed:
        raise ConfigError(
            f"{episodes} nominal episodes: a false-stop rate of {settings.alpha:g} an episode needs {needed}, "
            f"{needed - episodes} more are missing: fly them, or allow a rate of "
            f"{len(SCORES) / (episodes + 1):.3g} or more"
        )


def calibrate_thresholds(
    nominal: Sequence[ScoredEpisode], settings: CalibrationSettings, model: str | None = None
) -> UncertaintySettings:
    """The stop thresholds of both scores, required from then on.

    Args:
        nominal: scored episodes that the model was not trained on.
        settings: what is promised.
        model: SHA-256 of the ensemble's file, which the thresholds then belong to.

    Raises:
        ConfigError: too few episodes, or scores without finite thresholds.
    """
    check_enough(len(nominal), settings)
    grades = {}
    for name in SCORES:
        scores = [episode.score(name, settings.persistence) for episode in nominal]
        stop = conformal_threshold(scores, settings.alpha / len(SCORES))
        if stop <= 0.0:
            raise ConfigError(
                f"the {name} of {len(nominal)} nominal episodes never stays above 0 for {settings.persistence:g} s, so "
                "that nothing was asked or compared: fly them with a loop whose rate the ensemble's period allows"
            )
        grades[name] = Grades(stop=stop, persistence=settings.persistence)
    return UncertaintySettings(
        required=True, model=model, disagreement=grades["disagreement"], residual=grades["residual"]
    )
