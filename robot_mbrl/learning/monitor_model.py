"""The monitor's model of an arm, learned from nominal flights: an ensemble of what comes one period later.

The file takes (q, v, g), angles, velocities and goals, as `policies.dynamics_window` cuts them. The nets are fitted to
(q, v, g - q): what moves a joint is its distance from its goal, a tenth of a radian beside angles of a radian.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.flight_episodes import FlightEpisode, episode_windows
from robot_mbrl.policies.dynamics_window import Windows
from robot_mbrl.policies.ensemble import EnsembleSettings, ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_file import EnsembleDescription
from robot_mbrl.policies.ensemble_onnx import export_ensemble
from robot_mbrl.policies.ensemble_training import EnsembleTrainer, FitReport, Progress

_MEDIAN_ROWS: Final = 4096


class MonitorModelSettings(Settings):
    """How the monitor's model is fitted.

    Attributes:
        period: from a state to the next [s].
        stride: ticks between the periods that are fitted to; neighbours tell the same.
        noise: least deviation of a measured change, as a share of the median that the nets predict.
        least_seconds: of motion [s]; with less the model would know too little of the arm.
        ensemble: the nets and their fitting, by the likelihood: residuals are counted in the predicted deviations.
        seed: of the weights, the bootstrap and the batches.
    """

    period: float = Field(default=0.05, gt=0.0, le=1.0)
    stride: int = Field(default=4, ge=1)
    noise: float = Field(default=0.5, gt=0.0, le=1.0)
    least_seconds: float = Field(default=60.0, gt=0.0)
    ensemble: EnsembleSettings = EnsembleSettings(
        hidden=(200, 200, 200),
        weight_decay=(2.5e-4, 5e-4, 5e-4, 7.5e-4),
        initial_deviation=0.5,
        batch_size=256,
        beta=0.0,
        epochs=60,
        patience=4,
    )
    seed: int = 0


def training_windows(episodes: Sequence[FlightEpisode], settings: MonitorModelSettings) -> Windows:
    """The periods that the model is fitted to, k of them, of all `episodes`.

    Raises:
        ConfigError: there is too little motion in them.
    """
    seconds = sum(episode.seconds for episode in episodes)
    if seconds < settings.least_seconds:
        raise ConfigError(
            f"{seconds:.1f} s of motion in {len(episodes)} episodes: {settings.least_seconds:g} s are needed to train "
            "a monitor's model, fly more nominal episodes"
        )
    parts = [episode_windows(episode, settings.period) for episode in episodes]
    return Windows(*(np.concatenate([part[field][:: settings.stride] for part in parts]) for field in range(3)))


def train_monitor_model(
    path: Path,
    joint_names: tuple[str, ...],
    episodes: Sequence[FlightEpisode],
    settings: MonitorModelSettings,
    progress: Progress | None = None,
) -> FitReport:
    """Fit an ensemble to `episodes` of an arm with `joint_names` and write it to `path`.

    Raises:
        ConfigError: too little motion, a joint that never moved, or the file answers otherwise than the ensemble.
        OSError: the file cannot be written.
    """
    cut = training_windows(episodes, settings)
    inputs = _features(cut).astype(np.float32)
    targets = (cut.next_state - cut.state).astype(np.float32)
    ensemble = ProbabilisticEnsemble(
        inputs.shape[1],
        targets.shape[1],
        settings.ensemble,
        torch.Generator().manual_seed(settings.seed),
        input_names=_names(joint_names, "position", "velocity", "distance from goal"),
        output_names=_names(joint_names, "change of position", "change of velocity"),
    )
    trainer = EnsembleTrainer(ensemble, settings.ensemble, torch.Generator().manual_seed(settings.seed + 1))
    report = trainer.fit(inputs, targets, progress)
    description = EnsembleDescription(
        joint_names=joint_names,
        period=settings.period,
        scale=tuple(targets.std(axis=0, dtype=np.float64).tolist()),
        noise=tuple((settings.noise * _typical_deviation(ensemble, inputs)).tolist()),
    )
    export_ensemble(path, ensemble, description, _seen(len(joint_names)))
    return report


def _typical_deviation(ensemble: ProbabilisticEnsemble, inputs: NDArray[np.float32]) -> FloatArray:
    """(2n,) median of the predicted deviations."""
    rows = torch.from_numpy(inputs[:: max(1, len(inputs) // _MEDIAN_ROWS)])
    median: FloatArray = ensemble.predict(rows).variance.sqrt().median(dim=0).values.double().numpy()
    return median


def _features(cut: Windows) -> FloatArray:
    """(k, 3n): q, v, g - q."""
    features: FloatArray = np.hstack([cut.state, cut.action]) @ _seen(cut.action.shape[1]).T
    return features


def _seen(joints: int) -> FloatArray:
    """(3n, 3n) matrix from (q, v, g) to (q, v, g - q) of n joints."""
    matrix = np.eye(3 * joints)
    goal, position = np.arange(2 * joints, 3 * joints), np.arange(joints)
    matrix[goal, position] = -1.0
    return matrix


def _names(joints: tuple[str, ...], *kinds: str) -> list[str]:
    return [f"{kind} of {joint}" for kind in kinds for joint in joints]
