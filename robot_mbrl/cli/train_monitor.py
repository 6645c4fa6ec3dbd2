"""What `robot-mbrl calibrate monitor --train` does once its libraries are there."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from robot_mbrl.learning.flight_episodes import FlightEpisode
from robot_mbrl.learning.monitor_model import MonitorModelSettings, train_monitor_model


def train(path: Path, joint_names: tuple[str, ...], episodes: Sequence[FlightEpisode]) -> str:
    """Fit an ensemble to `episodes` and write it to `path`; returns what to tell.

    Raises:
        ConfigError: too little motion, or a joint that never moved.
    """
    settings = MonitorModelSettings()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("training", total=settings.ensemble.epochs)
        report = train_monitor_model(path, joint_names, episodes, settings, lambda _: progress.advance(task))
    return f"{path}: trained on {report.rows} periods of {len(episodes)} episodes, {report.epochs} epochs"
