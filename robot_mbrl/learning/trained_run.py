"""What a finished or unfinished run has learned: its task, its ensemble, and who acts with them."""

from dataclasses import dataclass
from pathlib import Path

from robot_mbrl.learning.guidance import make_guide
from robot_mbrl.learning.pets_settings import PetsTrainingSettings
from robot_mbrl.learning.planning import PlannerActors
from robot_mbrl.learning.run_folder import Progress, Result, RunFolder
from robot_mbrl.learning.task_identity import identity_of, require_identity
from robot_mbrl.learning.tasks import LearningTask, make_learning_task
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_store import load_training
from robot_mbrl.policies.guide import Guide


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """One run.

    Attributes:
        settings: it was trained with.
        task: an environment of its own, and the model of the task.
        ensemble: the newest.
        guide: of its planner; None where it has none.
        actors: its planner on its ensemble.
        steps: environment steps of training.
        recorded: episodes of its last evaluation while it was trained.
    """

    settings: PetsTrainingSettings
    task: LearningTask
    ensemble: ProbabilisticEnsemble
    guide: Guide | None
    actors: PlannerActors
    steps: int
    recorded: tuple[Result, ...]


def load_run(path: Path) -> TrainedRun:
    """Read the run folder at `path`.

    Raises:
        ConfigError: there is no run, it has no ensemble yet, a file is damaged, or the definition of its arm is not the
            one that it was trained with.
    """
    folder = RunFolder(path)
    settings, progress = folder.settings(), folder.progress()
    ensemble = load_training(folder.ensemble()).ensemble
    task = make_learning_task(settings.task, settings.arm, settings.repeat)
    require_identity(path, identity_of(task))
    guide = make_guide(task.model, folder.guide(progress), settings.guide)
    actors = PlannerActors(settings.planner_settings, task.model, ensemble, settings.actions_per_plan, guide)
    return TrainedRun(settings, task, ensemble, guide, actors, progress.steps, _last_evaluation(progress))


def _last_evaluation(progress: Progress) -> tuple[Result, ...]:
    evaluated = [result for result in progress.results if result.phase == "evaluation"]
    return tuple(result for result in evaluated if result.steps == evaluated[-1].steps)
