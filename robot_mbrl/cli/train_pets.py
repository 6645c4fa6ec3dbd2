"""What `robot-mbrl train pets` does once its libraries are there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from robot_mbrl.cli.terminal import console
from robot_mbrl.learning.pets_settings import changed_settings, resolve_settings
from robot_mbrl.learning.pets_training import train_pets
from robot_mbrl.learning.run_files import SETTINGS
from robot_mbrl.learning.run_folder import Progress, RunFolder


def train(folder: Path, settings: Path | None, given: Mapping[str, Any], threads: int) -> None:
    """Train in `folder`, with a progress bar on standard error, and print how the last evaluation went.

    A folder that holds a run needs no `settings`: its own are taken.

    Raises:
        ConfigError: see `learning.pets_training.train_pets`.
    """
    torch.set_num_threads(threads)
    if settings is None and (folder / SETTINGS).exists():
        resolved = changed_settings(RunFolder(folder).settings(), given)
    else:
        resolved = resolve_settings(settings, given)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True))
    row = bar.add_task(resolved.task, total=resolved.steps)

    def show(progress: Progress) -> None:
        bar.start()
        bar.update(row, completed=progress.steps, description=describe(progress))

    # The bar starts with the run: what is refused before that is one line.
    try:
        progress = train_pets(resolved, folder, show)
    finally:
        if bar.live.is_started:
            bar.stop()
    console().print(f"{folder}: {describe(progress)}", markup=False)


def describe(progress: Progress) -> str:
    """The newest episode of training, or the newest evaluation when it came after that."""
    if not progress.results:
        return "nothing yet"
    last = progress.results[-1]
    group = [result for result in progress.results if (result.phase, result.steps) == (last.phase, last.steps)]
    told = f"{last.steps} steps, {last.phase}: return {_mean([result.total_reward for result in group]):.1f}"
    distances = [result.distance for result in group if result.distance is not None]
    return f"{told}, final distance {_mean(distances) * 1000:.0f} mm" if distances else told


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
