"""What the numbers of a run mean: its task and, of an arm's, joints, limits and what an action of 1 does."""

from pathlib import Path
from typing import Final

from pydantic import ValidationError

from robot_mbrl.contracts.atomic_file import write_atomically
from robot_mbrl.contracts.config import Settings, one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.task_models_arm import ArmModel
from robot_mbrl.learning.tasks import LearningTask
from robot_mbrl.sim.tasks import TASKS, make_task
from robot_mbrl.sim.tasks.task import Task

TASK: Final = "task.json"


class TaskIdentity(Settings):
    """Two runs with the same one have states and actions that mean the same.

    Attributes:
        task: its name.
        repeat: environment steps that one action lasts.
        joints: of the arm, in its order; empty where there is none.
        position_limits: of each joint's target [rad].
        action_scale: change of each joint's target by an action of 1 [rad].
    """

    task: str
    repeat: int
    joints: tuple[str, ...] = ()
    position_limits: tuple[tuple[float, float], ...] = ()
    action_scale: tuple[float, ...] = ()


def identity_of(task: LearningTask) -> TaskIdentity:
    """The identity of `task`."""
    model = task.model
    return _identity(task.name, task.repeat, model.task if isinstance(model, ArmModel) else None)


def named_identity(name: str, arm: str, repeat: int) -> TaskIdentity:
    """The identity of a task of `learning.vector_env`; `arm` counts where the task is an arm's.

    Raises:
        ConfigError: there is no such arm.
    """
    return _identity(name, repeat, make_task(name, arm) if name in TASKS else None)


def _identity(name: str, repeat: int, task: Task | None) -> TaskIdentity:
    if task is None:
        return TaskIdentity(task=name, repeat=repeat)
    return TaskIdentity(
        task=name,
        repeat=repeat,
        joints=task.arm.joint_names,
        position_limits=tuple(joint.position_limits for joint in task.arm.joints),
        action_scale=tuple(task.action_scale.tolist()),
    )


def read_identity(folder: Path) -> TaskIdentity:
    """What the run in `folder` was begun with.

    Raises:
        ConfigError: it does not say.
    """
    path = folder / TASK
    try:
        return TaskIdentity.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error}), and only it says which arm the run's numbers are of: train it again"
        ) from error
    except ValidationError as error:
        raise ConfigError(f"{one_line(error, str(path))}: copy the run folder again, or train it again") from error


def require_identity(folder: Path, wanted: TaskIdentity) -> None:
    """Compare what the run in `folder` was begun with.

    Raises:
        ConfigError: it does not say, or says something else; what differs is named.
    """
    found = read_identity(folder)
    for name in TaskIdentity.model_fields:
        begun, now = getattr(found, name), getattr(wanted, name)
        if begun != now:
            raise ConfigError(
                f"{folder}: was trained with {name} {begun}, here it is {now}: give a run of this task and arm"
            )


def begin_identity(folder: Path, identity: TaskIdentity) -> None:
    """Write `identity` in the folder of a new run, or compare that of one which goes on.

    Raises:
        ConfigError: see `require_identity`.
    """
    if (folder / TASK).exists():
        require_identity(folder, identity)
    else:
        write_atomically(folder / TASK, identity.model_dump_json())
