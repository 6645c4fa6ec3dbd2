"""What a training run leaves on disk, and how it goes on after it was killed.

=========================== ===========================================================================
file                        what
=========================== ===========================================================================
settings.yaml               resolved settings of the run
task.json                   what its numbers mean, see `learning.task_identity`
transitions.bin             every transition, see `learning.transitions`
ensemble-STEPS.safetensors  the ensemble and its training state, see `policies.ensemble_store`
value-STEPS.safetensors     the same of a guide's value, see `policies.guide`
policy-STEPS.safetensors    and of its policy
progress.json               how far the run is, and its results: the file whose rename makes an episode count
curve.csv                   the results for people and plots, made from progress.json
tensorboard/                scalars
lock                        held by the process that trains here
=========================== ===========================================================================

Everything else is written before progress.json names it. Whatever moment a process is killed at, the next one finds the
last complete episode, cuts off what follows it, and goes on.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError

from robot_mbrl.contracts.atomic_file import write_atomically
from robot_mbrl.contracts.config import Settings, one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.guidance import GuideTrainers
from robot_mbrl.learning.pets_settings import PetsTrainingSettings
from robot_mbrl.learning.run_files import CURVE, begin_settings, hold, read_settings, table
from robot_mbrl.learning.task_identity import TaskIdentity, begin_identity
from robot_mbrl.policies.ensemble_store import load_training, save_training
from robot_mbrl.policies.ensemble_training import EnsembleTrainer

TRANSITIONS, PROGRESS = "transitions.bin", "progress.json"

Phase = Literal["random", "shown", "training", "evaluation"]


class Result(Settings):
    """One episode.

    Attributes:
        phase: of random actions, of the hand-written controller's, of planned ones that the ensemble is fitted to as
            well, or apart from all those.
        episode: its number in its phase; evaluation begins anew each time.
        steps: environment steps of training when it had ended.
        total_reward: the return.
        distance: left to the goal at the end [m]; None where the task has no such thing.
        success: whether it ended at the goal; None where the task has no such thing.
        disagreement: mean over its steps, infinity where a plan's was; None where nothing was planned.
    """

    model_config = ConfigDict(ser_json_inf_nan="constants")

    phase: Phase
    episode: int = Field(ge=0)
    steps: int = Field(ge=0)
    total_reward: float
    distance: float | None = None
    success: bool | None = None
    disagreement: float | None = Field(default=None, allow_inf_nan=True)


class Progress(Settings):
    """How far a run is.

    Attributes:
        steps: environment steps of training.
        episodes: of training, random ones included.
        transitions: of them.
        ensemble: name of the file with the ensemble; None before the first fit.
        value: name of the file with the guide's value; None before the first fit, and without a guide.
        policy: the same of its policy.
        results: of all episodes, in order.
    """

    steps: int = Field(default=0, ge=0)
    episodes: int = Field(default=0, ge=0)
    transitions: int = Field(default=0, ge=0)
    ensemble: str | None = None
    value: str | None = None
    policy: str | None = None
    results: tuple[Result, ...] = ()


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and keep other processes from training in it meanwhile.

        Raises:
            ConfigError: another process trains in it.
        """
        with hold(self.path, "trains here"):
            yield

    def begin(self, settings: PetsTrainingSettings, identity: TaskIdentity) -> Progress:
        """Write the settings and the task's identity, or find out how far a run with the same ones came.

        A run may be given more steps than before; everything else has to stay.

        Raises:
            ConfigError: the folder holds a run with other settings or of another arm, or is damaged.
        """
        begin_settings(self.path, settings, may_change={"steps"})
        begin_identity(self.path, identity)
        return self.progress()

    def settings(self) -> PetsTrainingSettings:
        """The settings of the run.

        Raises:
            ConfigError: there is no run here.
        """
        return read_settings(self.path, PetsTrainingSettings)

    def progress(self) -> Progress:
        """How far the run is; the very beginning when nothing is complete yet.

        Raises:
            ConfigError: the file is damaged.
        """
        path = self.path / PROGRESS
        if not path.exists():
            return Progress()
        try:
            return Progress.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise ConfigError(f"{one_line(error, str(path))}: copy the folder again, or start anew") from error

    def ensemble(self) -> Path:
        """Path of the newest ensemble.

        Raises:
            ConfigError: the run was never fitted.
        """
        name = self.progress().ensemble
        if name is None:
            raise ConfigError(f"{self.path}: the run has no ensemble yet: let it train longer")
        return self.path / name

    def commit(
        self, progress: Progress, ensemble: EnsembleTrainer | None, guide: GuideTrainers | None = None
    ) -> Progress:
        """Make the run go on from `progress` and, where `ensemble` and `guide` were fitted since, from their state.

        Returns:
            `progress` with the names of their files.
        """
        fitted = {"ensemble": ensemble} | (guide._asdict() if guide is not None else {})
        for kind, trainer in fitted.items():
            if trainer is not None:
                name = f"{kind}-{progress.steps:08d}.safetensors"
                save_training(self.path / name, trainer)
                progress = progress.model_copy(update={kind: name})
        write_atomically(self.path / PROGRESS, progress.model_dump_json())
        write_atomically(self.path / CURVE, table(Result, progress.results))
        self._remove_trainers(but=(progress.ensemble, progress.value, progress.policy))
        return progress

    def guide(self, progress: Progress) -> GuideTrainers | None:
        """The newest trainers of the run's guide, None where it has none.

        Raises:
            ConfigError: a file is damaged.
        """
        if progress.value is None or progress.policy is None:
            return None
        return GuideTrainers(load_training(self.path / progress.value), load_training(self.path / progress.policy))

    def _remove_trainers(self, but: Collection[str | None]) -> None:
        for kind in ("ensemble", *GuideTrainers._fields):
            for path in self.path.glob(f"{kind}-*.safetensors"):
                if path.name not in but:
                    path.unlink(missing_ok=True)
