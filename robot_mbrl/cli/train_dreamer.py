"""What `robot-mbrl train dreamer` does once its libraries are there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from robot_mbrl.cli.terminal import console
from robot_mbrl.contracts.config import load_settings, one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.dreamer_run import DreamerRunSettings, Progress
from robot_mbrl.learning.dreamer_training import open_training
from robot_mbrl.learning.run_files import SETTINGS


def train(folder: Path, settings: Path | None, given: Mapping[str, Any], device: str) -> None:
    """Train in `folder`, with a progress bar on standard error, and print how the last evaluation went.

    Raises:
        ConfigError: the settings are wrong, name something that is not there, or the folder holds another run.
    """
    resolved = resolve(folder, settings, given)
    training = open_training(folder, resolved, device)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
            row = bar.add_task(resolved.task, total=resolved.steps)

            def show(progress: Progress) -> None:
                bar.update(row, completed=progress.actions, description=describe(progress))

            progress = training.run(show)
    finally:
        training.close()
    console().print(f"{folder}: {describe(progress)}", markup=False)


def resolve(folder: Path, settings: Path | None, given: Mapping[str, Any]) -> DreamerRunSettings:
    """The settings in the file `settings`, or else those of the run in `folder`, changed by the options `given`.

    Raises:
        ConfigError: there is no task, or a value is out of range.
    """
    known = folder / SETTINGS
    source = settings or (known if known.exists() else None)
    values = {} if source is None else load_settings(source, DreamerRunSettings).model_dump(exclude_unset=True)
    values |= {name: value for name, value in given.items() if value is not None}
    if "task" not in values:
        raise ConfigError("train dreamer needs a task: give --task, such as reach or dm_control:reacher-easy")
    try:
        return DreamerRunSettings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(one_line(error, "train dreamer")) from error


def describe(progress: Progress) -> str:
    """How far the run is, and its newest evaluation."""
    told = f"{progress.actions} actions, {progress.updates} updates"
    if not progress.evaluations:
        return told
    last = progress.evaluations[-1]
    told += f", return {last.mean_return:.1f} at {last.actions}"
    return told if last.success is None else f"{told}, success {last.success:.0%}"
