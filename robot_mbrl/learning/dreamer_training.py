"""Trains a world model and its policy: collect, replay in a fixed ratio, evaluate, and go on after a SIGKILL.

A run is a function of its settings: every random number comes from its seed, and a checkpoint holds all that the next
step depends on. A run that was killed and resumed writes the same curve, to the last digit, as one that was not.
"""

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.numpy import save_file

from robot_mbrl.contracts.atomic_file import replacing
from robot_mbrl.contracts.errors import ConfigError, SimulationError
from robot_mbrl.learning.board import Board
from robot_mbrl.learning.collector import Chooser, Collector, EpisodeEnd, RandomActions
from robot_mbrl.learning.demonstrator import Demonstrator
from robot_mbrl.learning.dreamer_learner import DreamerLearner, dreamer_spaces, resolved_settings, torch_device
from robot_mbrl.learning.dreamer_run import (
    BEST,
    COLLECTOR,
    LEARNER,
    PREDICTIONS,
    REPLAY,
    Beginning,
    Compute,
    DreamerFolder,
    DreamerRunSettings,
    Evaluation,
    Progress,
)
from robot_mbrl.learning.open_loop import CONTEXT, save_prediction
from robot_mbrl.learning.run_files import BOARD
from robot_mbrl.learning.sequence_evaluation import Evaluated, evaluate
from robot_mbrl.learning.sequence_learner import Latent, SequenceLearner
from robot_mbrl.learning.sequence_replay import ReplaySpaces, SequenceReplay
from robot_mbrl.learning.vector_env import EnvSpaces, VectorEnv, make_vector_env
from robot_mbrl.policies.dreamer import compute_precision
from robot_mbrl.policies.dreamer_settings import DreamerSettings
from robot_mbrl.policies.tensor_file import read_tensors

_RANDOM_ACTIONS, _REPLAY, _LEARNER, _DEMONSTRATIONS = 2, 3, 4, 5
"""What a random generator of the run is for; 0 and 1 are its episodes."""
_LOG_EVERY: Final = 50
"""Updates whose mean figures make one point on the board."""
MOST_SKIPPED: Final = 20
"""Updates in a row whose gradient may not be finite. A skipped update changes nothing, so only its batch and its chance
set the next one apart from it: one may meet an overflow by chance, this many of them mean that weights or rows are
spoilt."""


@dataclass
class Crew:
    """What a run is made of; tests put a small learner and small environments here.

    Attributes:
        learner: acts and is trained.
        training: environments to collect in.
        evaluation: environments to evaluate in, one for each episode.
        classes: of each discrete latent of the learner.
        demonstrator: acts at first, where the settings say so.
    """

    learner: SequenceLearner
    training: VectorEnv
    evaluation: VectorEnv
    classes: int
    demonstrator: Demonstrator | None = None


@dataclass
class Counters:
    """Numbers of a run that change as it goes."""

    updates: int = 0
    skipped: int = 0
    returns: list[float] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)


def replay_spaces(spaces: EnvSpaces, latent: Latent, classes: int) -> ReplaySpaces:
    """Rows for environments with `spaces` and a learner whose latents look like `latent`."""
    return ReplaySpaces(
        observation=spaces.observation,
        pixels=spaces.pixels,
        action=spaces.actions,
        deter=latent.deter.shape[-1],
        groups=latent.stoch.shape[-1] // classes,
        classes=classes,
    )


class Training:
    """One run in one folder. Made anew, it goes on from the newest checkpoint."""

    def __init__(self, folder: DreamerFolder, beginning: Beginning, crew: Crew) -> None:
        """Open the run. Nothing is written before the run is known to be this process's, and to go on as it began.

        Args:
            folder: of the run; it is made.
            beginning: what the run in the folder was begun with, or shall be.
            crew: learner and environments, which `close` closes, or this where it fails.

        Raises:
            ConfigError: the folder holds a run that was begun otherwise, another process has it, or the disk has no
                room for the replay.
            SimulationError: an environment did not come back to where it was.
        """
        self.settings, self._folder, self._crew = beginning.settings, folder, crew
        settings = self.settings
        self._random = np.random.default_rng([settings.seed, _RANDOM_ACTIONS])
        self._counters = Counters()
        with ExitStack() as opened:
            opened.callback(crew.training.close)
            opened.callback(crew.evaluation.close)
            opened.enter_context(folder.hold())
            folder.require(beginning)
            self._replay = SequenceReplay(
                folder.path / REPLAY,
                replay_spaces(crew.training.spaces, crew.learner.initial(1), crew.classes),
                np.random.default_rng([settings.seed, _REPLAY]),
                streams=settings.environments,
                capacity=settings.capacity,
                slack=settings.slack,
            )
            opened.callback(self._replay.close)
            folder.begin(beginning)
            self._collector = Collector(crew.training, crew.learner, settings.seed)
            checkpoint = folder.checkpoint()
            if checkpoint is None and len(self._replay):
                raise ConfigError(
                    f"{folder.path}: has {len(self._replay)} rows in its replay and no checkpoint to go on from: copy "
                    "the run folder again, or train in a new one"
                )
            if checkpoint is None:
                self._save()
            else:
                self._load(checkpoint)
            # What was logged at the checkpoint itself was logged before it.
            self._board = Board(folder.path / BOARD, self._collector.actions + 1)
            opened.callback(self._board.close)
            self._opened = opened.pop_all()

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        return Progress(
            actions=self._collector.actions,
            rows=self._collector.ticks * self.settings.environments,
            updates=self._counters.updates,
            skipped=self._counters.skipped,
            returns=tuple(self._counters.returns),
            random=dict(self._random.bit_generator.state),
            evaluations=tuple(self._counters.evaluations),
        )

    def run(self, told: Callable[[Progress], None] | None = None) -> Progress:
        """Train until `settings.steps` actions are taken.

        Args:
            told: gets the progress after every tick of the environments.

        Returns:
            The progress at the end, which is in a checkpoint unless it is among the demonstrations.

        Raises:
            SimulationError: numbers that are not finite: in a row, in an evaluation, or in the gradients of
                `MOST_SKIPPED` updates in a row.
        """
        settings, collector = self.settings, self._collector
        evaluated, saved = collector.actions // settings.evaluate_every, collector.actions // settings.checkpoint_every
        while collector.actions < settings.steps:
            self._count(self._collect())
            for _ in range(self._due()):
                self._update()
            if collector.actions // settings.evaluate_every > evaluated:
                evaluated = collector.actions // settings.evaluate_every
                self._evaluate()
            if collector.actions // settings.checkpoint_every > saved:
                saved = collector.actions // settings.checkpoint_every
                self._save()
            if told is not None:
                told(self.progress)
        self._save()
        return self.progress

    def close(self) -> None:
        """Let go of the folder and of the environments."""
        self._opened.close()

    def _collect(self) -> list[EpisodeEnd]:
        return self._collector.tick(self._crew.learner, sink=self._replay, chooser=self._chooser())

    def _chooser(self) -> Chooser | None:
        actions, settings = self._collector.actions, self.settings
        if actions < settings.demonstrations:
            return self._crew.demonstrator
        return RandomActions(self._crew.training.spaces, self._random) if actions < settings.untrained else None

    def _count(self, ends: list[EpisodeEnd]) -> None:
        for end in ends:
            self._counters.returns.append(end.returned)
            self._board.scalar("training/return", end.returned, self._collector.actions)

    def _due(self) -> int:
        """Updates that hold the replay ratio: rows learned from, over rows collected since training began."""
        settings, collector = self.settings, self._collector
        if collector.actions < settings.untrained or not self._replay.windows(settings.length):
            return 0
        collected = collector.ticks * settings.environments - settings.untrained
        wanted = int(max(collected, 0) * settings.replay_ratio / (settings.batch * settings.length))
        return max(wanted - self._counters.updates, 0)

    def _update(self) -> None:
        batch = self._replay.sample(self.settings.batch, self.settings.length)
        update = self._crew.learner.train(batch.fields)
        self._counters.updates += 1
        self._board.gather({"skipped": float(not update.made)})
        if update.made:
            self._replay.write_latents(batch, update.latent.deter, update.latent.stoch)
            self._counters.skipped = 0
            self._board.gather(update.figures)
        else:
            self._skip()
        if self._counters.updates % _LOG_EVERY == 0:
            self._board.means("learner", self._collector.actions)

    def _skip(self) -> None:
        self._counters.skipped += 1
        if self._counters.skipped >= MOST_SKIPPED:
            raise SimulationError(
                f"{self._folder.path}: the gradients of {self._counters.skipped} updates in a row were not finite, at "
                f"update {self._counters.updates}: begin a new run with a lower learning_rate or in float32"
            )

    def _evaluate(self) -> None:
        settings, counters, actions = self.settings, self._counters, self._collector.actions
        evaluated = evaluate(self._crew.evaluation, self._crew.learner, settings.seed)
        if not math.isfinite(evaluated.mean_return):
            raise SimulationError(
                f"{self._folder.path}: the mean return of the evaluation at {actions} actions is "
                f"{evaluated.mean_return}: the simulation diverged; mend the task {settings.task}"
            )
        best = self.progress.best
        counters.evaluations.append(self._evaluation(evaluated))
        counters.returns.clear()
        self._folder.write_curve(self.progress)
        if evaluated.mean_return > best:
            self._keep_best()
        for name in ("mean_return", "success", "distance"):
            value = getattr(evaluated, name)
            if value is not None:
                self._board.scalar(f"evaluation/{name}", value, actions)
        if evaluated.rows["reward"].shape[1] > CONTEXT:
            predicted = self._crew.learner.predict(evaluated.rows, CONTEXT)
            save_prediction(self._folder.path / PREDICTIONS / f"{actions:012d}", evaluated.rows, predicted)

    def _evaluation(self, evaluated: Evaluated) -> Evaluation:
        returns = self._counters.returns
        return Evaluation(
            actions=self._collector.actions,
            environment_steps=self._collector.actions * self.settings.repeat,
            updates=self._counters.updates,
            training_episodes=len(returns),
            training_return=float(np.mean(returns)) if returns else None,
            mean_return=evaluated.mean_return,
            success=evaluated.success,
            distance=evaluated.distance,
        )

    def _keep_best(self) -> None:
        with replacing(self._folder.path / BEST) as draft:
            self._crew.learner.save(draft)

    def _save(self) -> None:
        # A demonstrator that came back to the middle of its episodes would go on otherwise: it begins again.
        if 0 < self._collector.actions < self.settings.demonstrations:
            return

        def write(place: Path) -> None:
            self._crew.learner.save(place / LEARNER)
            save_file(self._collector.state(), place / COLLECTOR)
            self._replay.save(place)

        self._folder.commit(self.progress, write)

    def _load(self, checkpoint: Path) -> None:
        progress = self._folder.progress()
        self._crew.learner.load(checkpoint / LEARNER)
        _, collected = read_tensors(checkpoint / COLLECTOR)
        self._collector.restore({name: tensor.numpy() for name, tensor in collected.items()})
        self._replay.restore(checkpoint)
        self._random.bit_generator.state = progress.random
        self._counters = Counters(
            progress.updates, progress.skipped, list(progress.returns), list(progress.evaluations)
        )
        self._folder.write_curve(progress)


def learner_settings(settings: DreamerRunSettings) -> DreamerSettings:
    """Of the run's learner: those of its size with the replaced values.

    Raises:
        ConfigError: there is no such size or key, or a value is out of range.
    """
    return resolved_settings(settings.size, {**settings.dreamer, "compiled": settings.compiled})


def run_environments(settings: DreamerRunSettings, count: int, threads: int) -> VectorEnv:
    """`count` environments of a run.

    Raises:
        ConfigError: there is no such task or arm.
    """
    return make_vector_env(
        settings.task,
        count,
        arm=settings.arm,
        repeat=settings.repeat,
        speed=settings.speed,
        delay=settings.delay,
        effort=settings.effort,
        threads=threads,
    )


def make_crew(settings: DreamerRunSettings, device: str = "cpu", *, goes_on: bool = False) -> Crew:
    """A Dreamer and the environments that `settings` name; computing goes on `settings.threads` processors from here.

    Args:
        settings: of the run.
        device: where torch computes.
        goes_on: a checkpoint will say what the learner knows: the run that this one started from is not needed.

    Raises:
        ConfigError: there is no such task, arm, size or device, or no run to start from.
    """
    torch.set_num_threads(settings.threads)
    resolved = learner_settings(settings)
    training = run_environments(settings, settings.environments, settings.threads)
    seed = int(np.random.SeedSequence([settings.seed, _LEARNER]).generate_state(1)[0])
    learner = DreamerLearner(dreamer_spaces(training.spaces), resolved, seed, device)
    if settings.start is not None and not goes_on:
        first = DreamerFolder(settings.start)
        source = first.learner(newest=not (first.path / BEST).exists())
        learner.begin_with(source, behaviour=settings.start_behaviour)
    evaluation = run_environments(settings, settings.evaluation_episodes, settings.threads)
    demonstrator = None
    if settings.demonstrations:
        seed_of_it = [settings.seed, _DEMONSTRATIONS]
        demonstrator = Demonstrator(settings.task, settings.arm, settings.speed, seed_of_it)
    return Crew(learner, training, evaluation, resolved.classes, demonstrator)


def beginning_of(settings: DreamerRunSettings, device: str = "cpu") -> Beginning:
    """All that a run with `settings` on `device` is begun with, or goes on with.

    Raises:
        ConfigError: there is no such arm, size or device.
    """
    resolved, where = learner_settings(settings), torch_device(device)
    precision = str(compute_precision(resolved, where)).removeprefix("torch.")
    return Beginning(settings, resolved, settings.identity, Compute(device=where.type, precision=precision))


def open_training(path: Path, settings: DreamerRunSettings, device: str = "cpu") -> Training:
    """The run in the folder `path`, from its beginning or its newest checkpoint; close it.

    Raises:
        ConfigError: the settings name something that is not there, or the folder holds another run.
    """
    folder, beginning = DreamerFolder(path), beginning_of(settings, device)
    folder.require(beginning)
    return Training(folder, beginning, make_crew(settings, device, goes_on=folder.checkpoint() is not None))
