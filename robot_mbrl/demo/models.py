"""What the demonstration learns of its arm: the planner's model, the monitor's model, and how far to believe that one.

The planner's model starts from one that was trained on the twin, and is fitted to the arm's own motion and as many
steps of the twin, so that it does not unlearn what the arm was not shown. Whichever of both predicts the last part of
the exploration better, to which it was not fitted, is the one that plans.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import MonitorThresholds
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.demo.pace import Pace
from robot_mbrl.demo.screen import Screen
from robot_mbrl.learning.doubt_figures import standardized_errors
from robot_mbrl.learning.episodes import COLLECT, RandomActor, Transition, run_episode, seed_for
from robot_mbrl.learning.flight_episodes import FlightEpisode
from robot_mbrl.learning.flight_transitions import fitting_rows, task_episodes
from robot_mbrl.learning.model_analysis import Episode, Windows, cut_windows, open_loop_errors, persistence_errors
from robot_mbrl.learning.monitor_calibration import CalibrationSettings, calibrate_thresholds, score_episode
from robot_mbrl.learning.monitor_model import MonitorModelSettings, train_monitor_model
from robot_mbrl.learning.monitor_report import Calibration
from robot_mbrl.learning.run_folder import RunFolder
from robot_mbrl.learning.task_identity import identity_of
from robot_mbrl.learning.task_models_arm import ArmModel
from robot_mbrl.learning.tasks import LearningTask
from robot_mbrl.learning.trained_run import load_run
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_file import model_digest
from robot_mbrl.policies.ensemble_store import load_training
from robot_mbrl.policies.ensemble_training import EnsembleTrainer
from robot_mbrl.policies.model_watch import ModelWatch
from robot_mbrl.policies.onnx_ensemble import OnnxEnsemble

START: Final = Path(__file__).parent / "start"
"""Run folder with what `robot-mbrl train pets --task reach` learned on the twin; see `demo.start`."""
HELD_OUT: Final = 0.2
"""Share of each run of the arm, its end, that the planner's model is not fitted to but compared on."""
PHASES: Final = (0.0, 0.5)
"""Of the steps that a flight is cut into: neighbours half a period apart tell nearly all that there is."""
HORIZON: Final = 12
"""Steps ahead that models are compared at: as far as the planner looks."""
STARTS: Final = 500
"""Of the predictions that they are compared by, at most."""
EPOCHS: Final = 25
"""Of fitting the planner's model to the arm, at most."""
MONITOR: Final = MonitorModelSettings(stride=2, least_seconds=20.0)
"""Less motion than usual: here one arm makes one kind of motion."""


@dataclass(frozen=True, slots=True)
class PlannerFit:
    """The planner's model before and after it was fitted to the arm, on motion of the arm that was held out.

    Attributes:
        before: (k,) error of the joint angles after 1 to k steps, of the model that was trained on the twin [rad].
        after: (k,) of the fitted one.
        persistence: (k,) of predicting that nothing moves.
        rows: steps of the arm that it was fitted to.
        kept: whether the fitted one predicts better, and so plans.
    """

    before: FloatArray
    after: FloatArray
    persistence: FloatArray
    rows: int
    kept: bool


def fit_planner(flights: Sequence[FlightEpisode], path: Path, seed: int, screen: Screen) -> PlannerFit:
    """Fit the shipped model to `flights` and leave a run folder with the better one of both at `path`.

    Raises:
        ConfigError: too little motion.
    """
    source = RunFolder(START)
    start = load_run(START)
    model = start.task.model
    if not isinstance(model, ArmModel):
        raise ConfigError(f"{START}: a run of the task {start.settings.task}: give one of reach")
    known, unseen = split_runs(flights, model)
    rows = sum(len(episode.actions) for episode in known)
    inputs, targets = fitting_rows([*known, *_on_the_twin(start.task, rows, seed)], model)
    settings = start.settings.ensemble.model_copy(update={"epochs": EPOCHS})
    fitted = EnsembleTrainer(load_training(source.ensemble()).ensemble, settings, torch.Generator().manual_seed(seed))
    what = "fitting the planner's model"
    fitted.fit(inputs, targets, lambda report: screen.progress(what, report.epoch, EPOCHS))
    screen.progress(what, EPOCHS, EPOCHS)
    windows = cut_windows(unseen, HORIZON, STARTS, np.random.default_rng(seed))
    before, after = (_growth(model, ensemble, windows) for ensemble in (start.ensemble, fitted.ensemble))
    kept = bool(after[-1] < before[-1])
    path.mkdir()
    target = RunFolder(path)
    target.begin(start.settings, identity_of(start.task))
    progress = source.progress()
    target.commit(progress, fitted if kept else load_training(source.ensemble()), source.guide(progress))
    persistence = _root_mean_square(persistence_errors(model, windows)[0], model, windows)
    return PlannerFit(before, after, persistence, rows, kept)


def split_runs(flights: Sequence[FlightEpisode], model: ArmModel) -> tuple[list[Episode], list[Episode]]:
    """The runs of `flights` as episodes of the task of `model`: what to fit to, and the end of each, held out."""
    known, unseen = [], []
    for flight in flights:
        for phase in PHASES:
            for states, actions in task_episodes(flight, model, phase):
                cut = round((1.0 - HELD_OUT) * len(actions))
                known.append(Episode(states[: cut + 1], actions[:cut]))
                unseen.append(Episode(states[cut:], actions[cut:]))
    return known, unseen


def _on_the_twin(task: LearningTask, steps: int, seed: int) -> list[Episode]:
    """At least so many steps of smooth random actions in the simulation of the task."""
    episodes: list[Episode] = []
    while sum(len(episode.actions) for episode in episodes) < steps:
        number = seed_for(seed, COLLECT, len(episodes))
        kept: list[Transition] = []
        run_episode(task, RandomActor(task, 1.0, np.random.default_rng(number)), number, kept.append)
        states = [kept[0].state, *(transition.next_state for transition in kept)]
        episodes.append(Episode(np.stack(states), np.stack([transition.action for transition in kept])))
    return episodes


@torch.no_grad()
def _growth(model: ArmModel, ensemble: ProbabilisticEnsemble, windows: Windows) -> FloatArray:
    """(k,) error of the joint angles that the elites' mean predicts [rad]."""
    errors = open_loop_errors(model, lambda x: ensemble(x)[0], windows, ensemble.members)[ensemble.elites]
    return _root_mean_square(errors.mean(dim=0), model, windows)


def _root_mean_square(errors: Tensor, model: ArmModel, windows: Windows) -> FloatArray:
    """(k,) over starts and joints, of errors (b, k, o), where the episodes were long enough."""
    angles = errors[..., : model.task.layout.joints].double().numpy()
    lengths = windows.lengths.numpy()
    steps = range(angles.shape[1])
    return np.array([np.sqrt(np.square(angles[lengths > step, step]).mean()) for step in steps])


def train_monitor(path: Path, joint_names: tuple[str, ...], flights: Sequence[FlightEpisode], screen: Screen) -> int:
    """Fit the monitor's model to `flights` into the file `path`; returns how many periods it was fitted to.

    Raises:
        ConfigError: too little motion, or a joint that never moved.
    """
    what, epochs = "fitting the monitor's model", MONITOR.ensemble.epochs
    report = train_monitor_model(
        path, joint_names, flights, MONITOR, lambda epoch: screen.progress(what, epoch.epoch, epochs)
    )
    screen.progress(what, epochs, epochs)
    return report.rows


def calibrate_doubt(
    ensemble_path: Path,
    thresholds_path: Path,
    joint_names: tuple[str, ...],
    nominal: Sequence[FlightEpisode],
    pace: Pace,
    screen: Screen,
) -> Calibration:
    """Take the thresholds of doubt from `nominal` legs, which nothing was fitted to, and write them.

    Raises:
        ConfigError: too few legs for the promise, or scores without finite thresholds.
    """
    ensemble = OnnxEnsemble(ensemble_path)
    watch = ModelWatch(ensemble, joint_names)
    scored = []
    for number, episode in enumerate(nominal, start=1):
        scored.append(score_episode(episode, watch))
        screen.progress("scoring the nominal legs", number, len(nominal))
    settings = CalibrationSettings(alpha=pace.alpha)
    thresholds = calibrate_thresholds(scored, settings, model_digest(ensemble_path))
    source = f"split-conformal, {pace.alpha:g} of legs of {pace.dwell:g} s, from {len(nominal)} legs"
    text = dump_settings(MonitorThresholds(uncertainty=thresholds, sources={"uncertainty": source}))
    thresholds_path.write_text(text, encoding="utf-8")
    return Calibration(
        arm=", ".join(joint_names),
        joint_names=joint_names,
        settings=settings,
        thresholds=thresholds,
        calibrated=scored,
        tested=[],
        shifted=[],
        errors=standardized_errors(nominal, ensemble),
    )
