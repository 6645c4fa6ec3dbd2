"""The monitor's model of an arm, learned from nominal flights: an ensemble of what comes one period later.

The file takes (q, v, g), angles, velocities and goals, as `policies.dynamics_window` cuts them. The nets are fitted to
(q, v, g - q): what moves a joint is its distance from its goal, a tenth of a radian beside angles of a radian. Both are
the same function, as the map is linear and goes into the first layer: with z = (A x - a) / s the scaled features of
the inputs x = (q, v, g),

    z W = (x - m) / d · D W,    A m = a,    D = diag(d) Aᵀ diag(1/s),    for any d > 0.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from robot_mbrl.contracts.atomic_file import replacing
from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.flight_episodes import FlightEpisode, episode_windows
from robot_mbrl.policies.dynamics_window import Windows
from robot_mbrl.policies.ensemble import EnsembleSettings, ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_export import EnsembleWeights, write_ensemble
from robot_mbrl.policies.ensemble_file import EnsembleDescription
from robot_mbrl.policies.ensemble_onnx import elite_weights
from robot_mbrl.policies.ensemble_training import EnsembleTrainer, FitReport, Progress
from robot_mbrl.policies.onnx_ensemble import OnnxEnsemble

_TOLERANCE: Final = 1e-3
"""Of the parity check, in scales: float32 differences of a radian, resolved to less than a hundredth of a scale."""
_PARITY_ROWS: Final = 64
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
    _export(path, ensemble, description, cut)
    return report


def on_inputs(weights: EnsembleWeights, joints: int) -> EnsembleWeights:
    """Weights of nets that see (q, v, g - q), as weights of the same nets that see (q, v, g)."""
    n = joints
    mean, deviation = weights.input_mean, weights.input_deviation
    first = weights.matrices[0] / deviation[:, None]
    folded = first.copy()
    folded[:, :n] -= first[:, 2 * n :]
    inputs_mean = np.concatenate([mean[: 2 * n], mean[2 * n :] + mean[:n]])
    inputs_deviation = np.concatenate([deviation[: 2 * n], deviation[:n]])
    matrices = [folded * inputs_deviation[:, None], *weights.matrices[1:]]
    return replace(weights, input_mean=inputs_mean, input_deviation=inputs_deviation, matrices=matrices)


def _export(path: Path, ensemble: ProbabilisticEnsemble, description: EnsembleDescription, cut: Windows) -> None:
    """Write the file, and leave it there only if it answers as the ensemble does."""
    scale = np.array(description.scale)
    with replacing(path) as draft:
        write_ensemble(draft, on_inputs(elite_weights(ensemble, scale), len(description.joint_names)), description)
        _check_parity(draft, ensemble, cut, scale)


def _check_parity(path: Path, ensemble: ProbabilisticEnsemble, cut: Windows, scale: FloatArray) -> None:
    rows = np.linspace(0, len(cut.state) - 1, min(_PARITY_ROWS, len(cut.state))).astype(int)
    prediction = ensemble.predict(torch.from_numpy(_features(cut)[rows].astype(np.float32)))
    onnx_ensemble = OnnxEnsemble(path)
    answers = [onnx_ensemble.step(cut.state[row], cut.action[row]).mean - cut.state[row] for row in rows.tolist()]
    worst = float(np.abs((np.array(answers) - prediction.mean.double().numpy()) / scale).max())
    if not worst <= _TOLERANCE:
        raise ConfigError(
            f"{path}: answers differ from the ensemble's by {worst:.2g} of a typical change, at most {_TOLERANCE:g} is "
            "rounding: report this with the versions of torch and onnxruntime"
        )


def _typical_deviation(ensemble: ProbabilisticEnsemble, inputs: NDArray[np.float32]) -> FloatArray:
    """(2n,) median of the predicted deviations."""
    rows = torch.from_numpy(inputs[:: max(1, len(inputs) // _MEDIAN_ROWS)])
    median: FloatArray = ensemble.predict(rows).variance.sqrt().median(dim=0).values.double().numpy()
    return median


def _features(cut: Windows) -> FloatArray:
    """(k, 3n): q, v, g - q."""
    n = cut.action.shape[1]
    return np.hstack([cut.state, cut.action - cut.state[:, :n]])


def _names(joints: tuple[str, ...], *kinds: str) -> list[str]:
    return [f"{kind} of {joint}" for kind in kinds for joint in joints]
