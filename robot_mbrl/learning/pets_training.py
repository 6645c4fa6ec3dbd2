"""The learning loop of PETS (Chua et al. 2018, algorithm 1): act, keep, fit, and again.

Random episodes come first, and shown ones where the settings want some; then each episode is planned on the ensemble
and ends with a fit to all transitions so far. Every random number comes from the run's seed, the purpose and the number
of the episode, so that a run that was killed goes on from its last complete episode to the same results, bit by bit, on
one machine with one number of threads.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from robot_mbrl.learning.episodes import (
    COLLECT,
    FIT,
    GUIDE,
    TEACH,
    Actor,
    Outcome,
    RandomActor,
    ScriptedActor,
    ScriptedActors,
    Transition,
    run_episode,
    seed_for,
    torch_generator,
)
from robot_mbrl.learning.evaluation import evaluate
from robot_mbrl.learning.guidance import GuideTrainers, make_guide, new_guide, policy_data, value_data
from robot_mbrl.learning.pets_settings import PetsTrainingSettings
from robot_mbrl.learning.planning import PlannerActors
from robot_mbrl.learning.run_files import BOARD
from robot_mbrl.learning.run_folder import TRANSITIONS, Phase, Progress, Result, RunFolder
from robot_mbrl.learning.task_identity import identity_of
from robot_mbrl.learning.tasks import LearningTask, make_learning_task
from robot_mbrl.learning.teacher import Teacher
from robot_mbrl.learning.transitions import TransitionFile, Transitions
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_data import FloatRows
from robot_mbrl.policies.ensemble_store import load_training
from robot_mbrl.policies.ensemble_training import EnsembleTrainer, FitReport
from robot_mbrl.policies.task_model import Float32Array

Told = Callable[[Progress], None]
"""Told when a run begins or goes on, and after every complete episode and its evaluation if there was one."""


def train_pets(settings: PetsTrainingSettings, path: Path, told: Told | None = None) -> Progress:
    """Train in the folder `path`, or go on there, until `settings.steps` environment steps are done.

    Returns:
        All results.

    Raises:
        ConfigError: unknown task, settings that do not fit it, or a folder that holds another run.
    """
    folder = RunFolder(path)
    task = make_learning_task(settings.task, settings.arm, settings.repeat)
    _require_fit(settings, task)
    with folder.held():
        progress = folder.begin(settings, identity_of(task))
        ensemble, guide = _trainers(settings, task, folder, progress)
        with (
            TransitionFile(path / TRANSITIONS, task.model.states, task.model.actions, settings.lessons) as file,
            SummaryWriter(str(path / BOARD), purge_step=progress.steps + 1) as board,
        ):
            transitions = file.read(progress.transitions, settings.capacity)
            training = _Training(settings, task, ensemble, guide, transitions, board)
            if told is not None:
                told(progress)
            while progress.steps < settings.steps:
                known = transitions.total
                progress = training.advance(progress)
                file.append(transitions, known)
                progress = (
                    folder.commit(progress, ensemble, guide) if training.fitted else folder.commit(progress, None)
                )
                if told is not None:
                    told(progress)
    return progress


def fitting_data(task: LearningTask, transitions: Transitions) -> tuple[Float32Array, Float32Array]:
    """What the networks see and should predict, (N, i) and (N, o)."""
    columns = (transitions.states, transitions.actions, transitions.next_states)
    state, action, next_state = (torch.from_numpy(column) for column in columns)
    inputs, targets = task.model.model_inputs(state, action), task.model.targets(state, action, next_state)
    return np.ascontiguousarray(inputs.numpy()), np.ascontiguousarray(targets.numpy())


class _Training:
    """One run in memory.

    Attributes:
        fitted: whether the ensemble has seen data.
    """

    def __init__(
        self,
        settings: PetsTrainingSettings,
        task: LearningTask,
        ensemble: EnsembleTrainer,
        guide: GuideTrainers | None,
        transitions: Transitions,
        board: SummaryWriter,
    ) -> None:
        self._settings, self._task, self._ensemble, self._guide = settings, task, ensemble, guide
        self._transitions, self._board = transitions, board
        self._evaluation_task = make_learning_task(settings.task, settings.arm, settings.repeat)
        self._actors = PlannerActors(
            settings.planner_settings,
            task.model,
            ensemble.ensemble,
            settings.actions_per_plan,
            make_guide(task.model, guide, settings.guide),
        )
        self.fitted = False

    def advance(self, progress: Progress) -> Progress:
        """One more episode, the fit that follows it, and an evaluation when one is due."""
        settings, number = self._settings, progress.episodes
        started = time.monotonic()
        phase, actor = self._collector(number)
        keep = partial(self._keep, self._teacher(number))
        between = self._fit_on if number >= settings.first_episodes else None
        outcome = run_episode(self._task, actor, seed_for(settings.seed, COLLECT, number), keep, between)
        steps = progress.steps + outcome.steps
        results = [_result(phase, number, steps, outcome)]
        self._board.add_scalar("time/episode [s]", time.monotonic() - started, steps)
        if number + 1 >= settings.first_episodes:
            self._fit(number, steps)
        if self.fitted and (_is_due(progress.steps, steps, settings.evaluate_every) or steps >= settings.steps):
            results += self._evaluate(steps)
        for result in results:
            self._show(result)
        self._board.flush()
        return progress.model_copy(
            update={
                "steps": steps,
                "episodes": number + 1,
                "transitions": self._transitions.total,
                "results": (*progress.results, *results),
            }
        )

    def _collector(self, number: int) -> tuple[Phase, Actor]:
        """Who acts in episode `number`: nobody knows anything before the first fit."""
        settings = self._settings
        seed = seed_for(settings.seed, COLLECT, number)
        if number >= settings.first_episodes:
            return "training", self._actors.make(seed)
        random = np.random.default_rng(seed)
        noise = RandomActor(self._task, settings.random_exponent, random)
        if number < settings.random_episodes:
            return "random", noise
        return "shown", ScriptedActor(self._task, noise, settings.shown_noise, random)

    def _teacher(self, number: int) -> Teacher | None:
        """Who teaches in episode `number`; None without a guide."""
        guide = self._settings.guide
        if guide is None:
            return None
        return Teacher(self._task, guide.imagined, seed_for(self._settings.seed, TEACH, number))

    def _keep(self, teacher: Teacher | None, transition: Transition) -> None:
        lessons = None if teacher is None else teacher.lessons(transition.state)
        self._transitions.add(transition.state, transition.action, transition.next_state, transition.reward, lessons)

    def _fit_on(self) -> None:
        """Let the nets take in what came since, in the middle of an episode, when the settings say so."""
        every, total = self._settings.refit_every, self._transitions.total
        if every is not None and total % every == 0:
            self._fit_dynamics(total * self._task.repeat, afresh=self._dropped)
            self._actors.refresh()

    @property
    def _dropped(self) -> bool:
        """Whether a full memory has dropped rows of the last fit, which a refit wants in front."""
        return self._transitions.total > self._transitions.capacity

    def _fit(self, number: int, steps: int) -> None:
        """Fit with a fresh optimizer at first and every `fit_every` episodes, else go on where the last fit ended.

        The rows of a value are always others: there is nothing to go on with.
        """
        started, since = time.monotonic(), number + 1 - self._settings.first_episodes
        afresh = self._dropped or since % self._settings.fit_every == 0
        model, transitions = self._task.model, self._transitions
        self._fit_dynamics(steps, afresh=afresh)
        if self._guide is not None and self._settings.guide is not None:
            returns = value_data(model, transitions, self._settings.guide)
            self._fit_one("value", self._guide.value, returns, steps, afresh=True)
            self._fit_one("policy", self._guide.policy, policy_data(model, transitions), steps, afresh=afresh)
        self.fitted = True
        self._board.add_scalar("time/fit [s]", time.monotonic() - started, steps)

    def _fit_dynamics(self, steps: int, *, afresh: bool) -> None:
        self._fit_one("fit", self._ensemble, fitting_data(self._task, self._transitions), steps, afresh=afresh)

    def _fit_one(
        self, name: str, trainer: EnsembleTrainer, data: tuple[FloatRows, FloatRows], steps: int, *, afresh: bool
    ) -> None:
        report: FitReport = (trainer.fit if afresh else trainer.refit)(*data)
        self._board.add_scalar(f"{name}/held-out error", float(np.mean(report.held_out_error)), steps)
        self._board.add_scalar(f"{name}/epochs", report.epochs, steps)

    def _evaluate(self, steps: int) -> list[Result]:
        settings = self._settings
        outcomes = evaluate(self._evaluation_task, self._actors, settings.seed, settings.evaluation_episodes)
        return [_result("evaluation", index, steps, outcome) for index, outcome in enumerate(outcomes)]

    def _show(self, result: Result) -> None:
        for name in ("total_reward", "distance", "success", "disagreement"):
            value = getattr(result, name)
            if value is not None:
                self._board.add_scalar(f"{result.phase}/{name}", float(value), result.steps)


def _require_fit(settings: PetsTrainingSettings, task: LearningTask) -> None:
    """Refuse settings that do not fit the task before a folder is theirs.

    Raises:
        ConfigError: see `PlannerActors`, `ScriptedActors` and `Teacher`.
    """
    generator = torch_generator(0)
    ensemble = ProbabilisticEnsemble(task.model.inputs, task.model.outputs, settings.ensemble, generator)
    PlannerActors(settings.planner_settings, task.model, ensemble, settings.actions_per_plan)
    if settings.shown_episodes:
        ScriptedActors(task)
    if settings.guide is not None:
        Teacher(task, settings.guide.imagined, 0)


def _trainers(
    settings: PetsTrainingSettings, task: LearningTask, folder: RunFolder, progress: Progress
) -> tuple[EnsembleTrainer, GuideTrainers | None]:
    """The run's trainers as they were, or new ones; None where there is no guide."""
    if progress.ensemble is not None:
        return load_training(folder.path / progress.ensemble), folder.guide(progress)
    generator = torch_generator(seed_for(settings.seed, FIT, 0))
    ensemble = ProbabilisticEnsemble(task.model.inputs, task.model.outputs, settings.ensemble, generator)
    trainer = EnsembleTrainer(ensemble, settings.ensemble, generator)
    if settings.guide is None:
        return trainer, None
    for_value, for_policy = (torch_generator(seed_for(settings.seed, GUIDE, index)) for index in range(2))
    return trainer, new_guide(task.model, settings.guide, (for_value, for_policy))


def _result(phase: Phase, episode: int, steps: int, outcome: Outcome) -> Result:
    return Result(
        phase=phase,
        episode=episode,
        steps=steps,
        total_reward=outcome.total_reward,
        distance=outcome.distance,
        success=outcome.success,
        disagreement=outcome.disagreement,
    )


def _is_due(before: int, now: int, period: int) -> bool:
    """Whether a multiple of `period` lies in (before, now]."""
    return now // period > before // period
