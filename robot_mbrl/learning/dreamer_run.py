"""A Dreamer's training run on disk: settings, checkpoints, and how far it came.

=========================== ==========================================================================================
file                        what
=========================== ==========================================================================================
settings.yaml               resolved settings of the run
dreamer.yaml                resolved settings of its learner
task.json                   what its numbers mean, see `learning.task_identity`
compute.yaml                where and in which precision it computes
lock                        held by the process that trains here
replay/                     the sequence replay
checkpoints/ACTIONS/        everything needed to go on from there to the bit; the newest complete one counts
  progress.json               counters and the curve so far
  learner.safetensors         parameters, optimizer and random state
  collector.safetensors       where the environments are
  replay.json, latents.bin    what later changes of the replay overwrite
best.safetensors            the learner as it was in the best evaluation so far
curve.csv                   the evaluations
predictions/                open-loop predictions of evaluation episodes
tensorboard/                scalars
=========================== ==========================================================================================

A checkpoint is written beside its place and renamed: whenever a process is killed, a whole one is there.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self

from pydantic import Field, NonNegativeInt, ValidationError, model_validator

from robot_mbrl.contracts.atomic_file import write_atomically
from robot_mbrl.contracts.config import Settings, dump_settings, load_settings, one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.run_files import CURVE, SETTINGS, hold, read_settings, require_settings, table
from robot_mbrl.learning.task_identity import TASK, TaskIdentity, begin_identity, named_identity, require_identity
from robot_mbrl.policies.dreamer_settings import MAY_CHANGE, DreamerSettings

COMPUTE: Final = "compute.yaml"
DREAMER, REPLAY, CHECKPOINTS, BEST, PREDICTIONS = (
    "dreamer.yaml",
    "replay",
    "checkpoints",
    "best.safetensors",
    "predictions",
)
PROGRESS, LEARNER, COLLECTOR = "progress.json", "learner.safetensors", "collector.safetensors"
_MAY_CHANGE: Final = MAY_CHANGE | {"steps", "threads"}
"""Settings with which a run may go on although it began with others; all but `steps` change how sums are rounded."""


class DreamerRunSettings(Settings):
    """A training run. Counts are actions, of all environments together.

    Attributes:
        task: see `learning.vector_env`.
        arm: name of an arm definition, or the path of one; for reach and push.
        repeat: environment steps that one action lasts; dm_control's tasks only.
        speed: share of the joints' top speeds that an action of 1 stands for; for reach and push. What a policy tries
            out moves the tool by a tenth of that and more each step: at full speed by its tolerance.
        delay: least and greatest number of periods until an action reaches the servos, drawn for each episode; for
            reach and push. A deployment leads from action to action and asks its policy ahead of time: it has 1 to 3.
        effort: reward that actions of -1 or 1 in all joints cost; for reach and push. A policy that loses nothing by
            its actions trembles about its goal, which the play of an arm's gears turns into swinging.
        start: folder of a run whose networks this one begins with, the best ones or, before its first evaluation, the
            newest; observations and actions must be alike. None begins with random ones.
        start_behaviour: begin with that run's actor and critic, too; else with new ones, in a world that is known.
        seed: of everything random.
        steps: actions to train for.
        environments: that collect side by side.
        demonstrations: actions, with some noise, of the task's hand-written controller with which the replay begins;
            for reach and push. What has to be found far from where random actions lead is then known of.
        prefill: random actions after them, before training begins.
        replay_ratio: rows that are learned from for each row that is collected.
        batch: sequences of an update.
        length: rows of a sequence.
        capacity: rows that the replay keeps.
        evaluate_every: actions between evaluations.
        evaluation_episodes: of each evaluation, apart from those of training.
        checkpoint_every: actions between checkpoints.
        size: of the Dreamer: 1M, 12M or 25M.
        dreamer: replaces values of that size's settings, by key.
        threads: processors to compute on.
        compiled: have `torch.compile` fuse the updates: takes a C++ compiler, and some minutes at the first of them.

    A run gives the same numbers with the same `threads` and `compiled` only.
    """

    task: str
    arm: str = "so101_follower"
    repeat: int = Field(default=1, ge=1)
    speed: float = Field(default=1.0, gt=0.0, le=1.0)
    delay: tuple[NonNegativeInt, NonNegativeInt] = (0, 0)
    effort: float = Field(default=0.0, ge=0.0, le=1.0)
    start: Path | None = None
    start_behaviour: bool = True
    seed: int = Field(default=0, ge=0)
    steps: int = Field(default=100_000, ge=1)
    environments: int = Field(default=8, ge=1, le=4096)
    demonstrations: int = Field(default=0, ge=0)
    prefill: int = Field(default=2000, ge=0)
    replay_ratio: float = Field(default=512.0, gt=0.0)
    batch: int = Field(default=16, ge=1)
    length: int = Field(default=64, ge=2)
    capacity: int = Field(default=1_000_000, ge=2)
    evaluate_every: int = Field(default=10_000, ge=1)
    evaluation_episodes: int = Field(default=10, ge=1, le=1000)
    checkpoint_every: int = Field(default=5_000, ge=1)
    size: str = "1M"
    dreamer: dict[str, Any] = Field(default_factory=dict)
    threads: int = Field(default=1, ge=1, le=256)
    compiled: bool = False

    @model_validator(mode="after")
    def _delays_are_in_order(self) -> Self:
        if self.delay[0] > self.delay[1]:
            raise ValueError(f"delay {list(self.delay)}: give the least and then the greatest number of periods")
        return self

    @model_validator(mode="after")
    def _the_replay_holds_sequences(self) -> Self:
        shortest = self.environments * (self.length + 1)
        if self.capacity < shortest:
            raise ValueError(f"capacity {self.capacity} is below {self.environments} sequences, {shortest}: raise it")
        return self

    @property
    def untrained(self) -> int:
        """Actions before training begins."""
        return self.demonstrations + self.prefill

    @property
    def slack(self) -> int:
        """Rows that an environment can give between two checkpoints, at most."""
        return 2 * ((self.checkpoint_every + self.demonstrations) // self.environments + 2)

    @property
    def identity(self) -> TaskIdentity:
        """What the run's observations and actions mean by the definition that its arm has now.

        Raises:
            ConfigError: there is no such arm.
        """
        return named_identity(self.task, self.arm, self.repeat)


class Compute(Settings):
    """What rounds a run's numbers, besides its settings: with another one, the same settings give another curve.

    Attributes:
        device: kind of it, such as cpu or cuda.
        precision: of imagination and heads, float32 or bfloat16; what the settings' "auto" came to.
    """

    device: str
    precision: str


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a run is begun with, and goes on with.

    Attributes:
        settings: of the run.
        dreamer: of its learner, resolved.
        identity: what its observations and actions mean.
        compute: where and how it computes.
    """

    settings: DreamerRunSettings
    dreamer: DreamerSettings
    identity: TaskIdentity
    compute: Compute


class Evaluation(Settings):
    """One evaluation, a line of the curve.

    Attributes:
        actions: of training so far.
        environment_steps: the same, times the action repeat.
        updates: of the learner so far.
        training_episodes: that ended since the evaluation before.
        training_return: their mean return; None without any.
        mean_return: of the evaluation's episodes.
        success: share of its episodes that ended at the goal; None where the task has no such thing.
        distance: mean of what was left to the goal at their ends [m]; None where the task has no such thing.
    """

    actions: int
    environment_steps: int
    updates: int
    training_episodes: int
    training_return: float | None
    mean_return: float
    success: float | None
    distance: float | None


class Progress(Settings):
    """How far a run is.

    Attributes:
        actions: taken in training.
        rows: collected.
        updates: of the learner, skipped ones too.
        skipped: updates since the last one whose gradient was finite.
        returns: of the training episodes that ended since the last evaluation.
        random: state of the generator of random actions.
        evaluations: the curve.
    """

    actions: int = 0
    rows: int = 0
    updates: int = 0
    skipped: int = 0
    returns: tuple[float, ...] = ()
    random: dict[str, Any] = Field(default_factory=dict)
    evaluations: tuple[Evaluation, ...] = ()

    @property
    def best(self) -> float:
        """Best mean return of an evaluation so far."""
        return max((evaluation.mean_return for evaluation in self.evaluations), default=float("-inf"))


class DreamerFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def hold(self) -> IO[bytes]:
        """Make the folder and keep other processes from training in it until what is returned is closed.

        Raises:
            ConfigError: another process trains in it.
        """
        return hold(self.path, "trains here")

    def require(self, beginning: Beginning) -> None:
        """Compare `beginning` with that of the run in the folder, where there is one. Writes nothing.

        Raises:
            ConfigError: it began with other settings, on another arm, or computed elsewhere.
        """
        require_settings(self.path, beginning.settings, _MAY_CHANGE)
        require_settings(self.path, beginning.dreamer, MAY_CHANGE, DREAMER)
        if (self.path / TASK).exists():
            require_identity(self.path, beginning.identity)
        if (self.path / COMPUTE).exists():
            begun, now = load_settings(self.path / COMPUTE, Compute), beginning.compute
            if begun != now:
                raise ConfigError(
                    f"{self.path}: was trained on {begun.device} in {begun.precision}, here it would go on on "
                    f"{now.device} in {now.precision} to another curve: go on where it began, or begin a new run"
                )

    def begin(self, beginning: Beginning) -> None:
        """Write what the run is begun with, or see to it that the run in the folder began with the same.

        Raises:
            ConfigError: see `require`.
        """
        self.require(beginning)
        begin_identity(self.path, beginning.identity)
        described = {COMPUTE: beginning.compute, DREAMER: beginning.dreamer, SETTINGS: beginning.settings}
        for name, value in described.items():
            write_atomically(self.path / name, dump_settings(value))
        (self.path / CHECKPOINTS).mkdir(exist_ok=True)
        (self.path / PREDICTIONS).mkdir(exist_ok=True)

    def settings(self) -> DreamerRunSettings:
        """The settings of the run.

        Raises:
            ConfigError: there is no run here.
        """
        return read_settings(self.path, DreamerRunSettings)

    def checkpoint(self) -> Path | None:
        """The newest complete checkpoint; None before the first."""
        found = sorted(path for path in (self.path / CHECKPOINTS).glob("*") if path.name.isdecimal())
        return found[-1] if found else None

    def learner(self, *, newest: bool) -> Path:
        """The learner's file: as it was in the best evaluation, or as it is in the newest checkpoint.

        Raises:
            ConfigError: there is none yet.
        """
        checkpoint = self.checkpoint()
        if newest and checkpoint is not None:
            return checkpoint / LEARNER
        best = self.path / BEST
        if newest or not best.exists():
            lack = "checkpoint yet" if newest else "evaluation yet (its newest checkpoint can be had with --newest)"
            raise ConfigError(f"{self.path}: the run has no {lack}: let it train longer")
        return best

    def progress(self) -> Progress:
        """How far the newest checkpoint is; the very beginning without one.

        Raises:
            ConfigError: it is damaged.
        """
        checkpoint = self.checkpoint()
        if checkpoint is None:
            return Progress()
        path = checkpoint / PROGRESS
        try:
            return Progress.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ConfigError(f"{one_line(error, str(path))}: copy the run folder again") from error

    def commit(self, progress: Progress, write: Callable[[Path], None]) -> None:
        """Make a checkpoint of `progress` and of what `write` puts into the folder that it is given.

        One with as many actions is the same, to the bit, and stays.
        """
        place = self.path / CHECKPOINTS / f"{progress.actions:012d}"
        if place.exists():
            return
        partial = place.with_suffix(".partial")
        for remains in (self.path / CHECKPOINTS).glob("*.partial"):
            shutil.rmtree(remains)
        partial.mkdir()
        write(partial)
        write_atomically(partial / PROGRESS, progress.model_dump_json())
        partial.rename(place)
        for older in (self.path / CHECKPOINTS).glob("*"):
            if older != place:
                shutil.rmtree(older)

    def write_curve(self, progress: Progress) -> None:
        """Write the evaluations for people and plots."""
        write_atomically(self.path / CURVE, table(Evaluation, progress.evaluations))
