"""What `robot-mbrl calibrate monitor` does: flights in; thresholds, a report and, if asked for, an ensemble out."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import Progress

from robot_mbrl.cli.extras import needs_training
from robot_mbrl.contracts.atomic_file import write_atomically
from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import MonitorThresholds
from robot_mbrl.learning.doubt_figures import ShiftedGroup, standardized_errors
from robot_mbrl.learning.flight_episodes import FlightEpisode, piece_at, read_episodes
from robot_mbrl.learning.monitor_calibration import (
    SCORES,
    CalibrationSettings,
    ScoredEpisode,
    calibrate_thresholds,
    check_enough,
    score_episode,
)
from robot_mbrl.learning.monitor_report import Calibration, save_report
from robot_mbrl.policies.ensemble_file import model_digest
from robot_mbrl.policies.model_watch import ModelWatch
from robot_mbrl.policies.onnx_ensemble import OnnxEnsemble
from robot_mbrl.safety.conformal import episodes_needed

Ticks = Callable[[], None]
COMMAND: Final = "calibrate monitor"


class Request(NamedTuple):
    """What the command was asked for.

    Attributes:
        logs: of the nominal flights that the thresholds are taken from.
        training: of the nominal flights that the ensemble is trained on first; empty takes it as it is.
        test: of further nominal flights, for the report.
        shifted: of flights in which something went wrong, for the report; a path's name is the kind.
        onset: when it went wrong, since an episode began [s].
        ensemble: file of the ensemble.
        thresholds: file to write.
        report: file to write.
        episode: cut episodes into pieces of this length [s], and keep of shifted ones that in which it went wrong; None
            keeps them whole.
    """

    logs: Sequence[Path]
    training: Sequence[Path]
    test: Sequence[Path]
    shifted: Sequence[Path]
    onset: float
    ensemble: Path
    thresholds: Path
    report: Path
    episode: float | None


class _Shifted(NamedTuple):
    """Episodes in which the same kind of thing went wrong.

    Attributes:
        name: of the kind.
        episodes: or their pieces that hold the onset.
        onsets_ns: when it went wrong in each [ns].
    """

    name: str
    episodes: Sequence[FlightEpisode]
    onsets_ns: Sequence[int]

    def scored(self, scores: Mapping[int, ScoredEpisode]) -> ShiftedGroup:
        """With the episodes' scores, which are told by their identity."""
        return ShiftedGroup(self.name, [scores[id(episode)] for episode in self.episodes], self.onsets_ns)


def calibrate(request: Request, settings: CalibrationSettings) -> list[str]:
    """Do it; returns what to tell, a line each.

    Raises:
        ConfigError: logs, ensemble or episodes that cannot be used.
    """
    _require_seconds(request)
    names, nominal = read_episodes(request.logs, longest=request.episode)
    check_enough(len(nominal), settings)
    training = read_episodes(request.training, names)[1] if request.training else []
    tested = read_episodes(request.test, names, request.episode)[1] if request.test else []
    shifted = [_read_shifted(path, names, request) for path in request.shifted]
    changed = [episode for group in shifted for episode in group.episodes]
    _check_apart({"train": training, "calibrate": nominal, "test": tested, "be shifted": changed})
    told = []
    if training:
        told.append(needs_training(COMMAND, "train_monitor").train(request.ensemble, names, training))
    elif not request.ensemble.exists():
        raise ConfigError(f"{request.ensemble}: no such ensemble: give --train with flights to train it on")
    ensemble = OnnxEnsemble(request.ensemble)
    watch = ModelWatch(ensemble, names)
    every = [*nominal, *tested, *changed]
    with _bar("scoring", len(every)) as tick:
        scores = _score(every, watch, tick)
        calibrated = [scores[id(episode)] for episode in nominal]
        thresholds = calibrate_thresholds(calibrated, settings, model_digest(request.ensemble))
    flights, longest = {episode.flight for episode in nominal}, max(episode.seconds for episode in nominal)
    source = (
        f"split-conformal, {settings.alpha:g} of nominal episodes, from {len(nominal)} episodes of {len(flights)} "
        f"flights, of up to {longest:.1f} s, both scores together"
    )
    write_atomically(
        request.thresholds,
        dump_settings(MonitorThresholds(uncertainty=thresholds, sources={"uncertainty": source})),
    )
    needed = episodes_needed(settings.alpha / len(SCORES))
    if len(flights) < needed:
        told.append(
            f"warning: the {len(nominal)} episodes are of {len(flights)} flights, and those of one flight are alike: "
            f"for a promise about flights on other days give {needed} of them, or as many as there are days"
        )
    calibration = Calibration(
        arm=", ".join(names),
        joint_names=names,
        settings=settings,
        thresholds=thresholds,
        calibrated=calibrated,
        tested=[scores[id(episode)] for episode in tested],
        shifted=[group.scored(scores) for group in shifted],
        errors=standardized_errors(nominal, ensemble),
    )
    save_report(request.report, calibration)
    told.append(f"{request.thresholds}: {source}; give it to `robot-mbrl deploy --thresholds`")
    told.append(f"{request.report}: the report")
    return told


def _require_seconds(request: Request) -> None:
    """Refuse lengths of time that are none.

    Raises:
        ConfigError: which.
    """
    if request.episode is not None and not 0.0 < request.episode < math.inf:
        raise ConfigError(f"--episode {request.episode:g}: give a length above 0 s")
    if not 0.0 <= request.onset < math.inf:
        raise ConfigError(f"--onset {request.onset:g}: give a time of 0 s or more")


def _read_shifted(path: Path, names: tuple[str, ...], request: Request) -> _Shifted:
    """The shifted episodes at `path`, cut as the nominal ones: a score is a maximum, and grows with the time it has."""
    whole = read_episodes([path], names, nominal=False)[1]
    return _Shifted(
        path.stem,
        [piece_at(episode, request.onset, request.episode) for episode in whole],
        [int(episode.wake_ns[0]) + to_ns(request.onset) for episode in whole],
    )


def _check_apart(ends: Mapping[str, Sequence[FlightEpisode]]) -> None:
    """No flight may serve two ends: a model is surer of what it was trained on, a threshold fits its own episodes."""
    taken: dict[str, str] = {}
    for end, episodes in ends.items():
        for episode in episodes:
            other = taken.setdefault(episode.flight, end)
            if other != end:
                raise ConfigError(
                    f"{episode.source}: flight {episode.flight} cannot serve to {other} and to {end}: give each "
                    "flights of its own"
                )


def _score(episodes: Sequence[FlightEpisode], watch: ModelWatch, tick: Ticks) -> dict[int, ScoredEpisode]:
    """Scores by the identity of their episode."""
    scores: dict[int, ScoredEpisode] = {}
    for episode in episodes:
        scores[id(episode)] = score_episode(episode, watch)
        tick()
    return scores


@contextmanager
def _bar(what: str, total: int) -> Iterator[Ticks]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
