"""From a fitted `ProbabilisticEnsemble` to the sealed ONNX file that the control process evaluates without torch.

The file takes x = (state, action). The ensemble may see features A x instead, A invertible (i, i). Both are the same
function, as A goes into the first layer: with z = (A x - a) / s the scaled features,

    z W = (x - m) / d · D W,    A m = a,    D = diag(d) Aᵀ diag(1/s),    for any d > 0.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from robot_mbrl.contracts.atomic_file import replacing
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_export import EnsembleWeights, write_ensemble
from robot_mbrl.policies.ensemble_file import EnsembleDescription
from robot_mbrl.policies.onnx_ensemble import OnnxEnsemble

_TOLERANCE: Final = 1e-3
"""Of the parity check, in scales and deviations: float32 tells angles of 3 rad to 2e-7 rad, and a joint that hardly
moves changes by 1e-3 rad in a period."""

_PARITY_SEED: Final = 0
"""One set of inputs, so that one ensemble is exported always or never."""


def export_ensemble(
    path: Path,
    ensemble: ProbabilisticEnsemble,
    description: EnsembleDescription,
    features: FloatArray | None = None,
) -> None:
    """Write the elites of `ensemble`, which predicts the change of a state, to `path`.

    The file is read back and compared with `ensemble` at random inputs before it is left there.

    Args:
        path: of the file.
        ensemble: i inputs, d outputs.
        description: of d states.
        features: (i, i) A, invertible, where the ensemble sees A (state, action); None where it sees (state, action).

    Raises:
        ConfigError: inputs are not the outputs' state followed by an action, or the file answers otherwise.
        OSError: the file cannot be written.
    """
    states = len(description.scale)
    if ensemble.outputs != states or ensemble.inputs <= states:
        raise ConfigError(
            f"ensemble of {ensemble.inputs} inputs and {ensemble.outputs} outputs for {states} states of the "
            f"description: give one with {states} outputs, and {states} states and 1 or more actions as inputs"
        )
    weights = elite_weights(ensemble, np.array(description.scale))
    with replacing(path) as draft:
        write_ensemble(draft, weights if features is None else on_inputs(weights, features), description)
        check_parity(draft, ensemble, torch.Generator().manual_seed(_PARITY_SEED), features)


def elite_weights(ensemble: ProbabilisticEnsemble, scale: FloatArray) -> EnsembleWeights:
    """The elites' weights with their answers in units of `scale` (d,) instead of the fitted scaler's.

    With offset c and deviation t of the fitted outputs, c + t μ = s δ and t² exp(l) = s² exp(l') are
    δ = (t / s) μ + c / s and l' = l + 2 ln(t / s), in the last layer and in the bounds.
    """
    matrices = [_double(matrix[ensemble.elites]) for matrix in ensemble.weights]
    biases = [_double(bias[ensemble.elites, 0]) for bias in ensemble.biases]
    ratio = _double(ensemble.output_deviation) / scale
    shift = 2.0 * np.log(ratio)
    means = slice(0, ensemble.outputs)
    matrices[-1][..., means] *= ratio
    biases[-1][..., means] = biases[-1][..., means] * ratio + _double(ensemble.output_mean) / scale
    biases[-1][..., ensemble.outputs :] += shift
    return EnsembleWeights(
        input_mean=_double(ensemble.input_mean),
        input_deviation=_double(ensemble.input_deviation),
        matrices=matrices,
        biases=biases,
        log_variance_bounds=(_double(ensemble.min_log_variance) + shift, _double(ensemble.max_log_variance) + shift),
    )


def on_inputs(weights: EnsembleWeights, features: FloatArray) -> EnsembleWeights:
    """Weights of nets that see `features` (i, i) times their inputs, as weights of the same nets on the inputs."""
    mean = np.linalg.solve(features, weights.input_mean).astype(np.float64)
    deviation = weights.input_deviation
    folding = deviation[:, None] * features.T / deviation
    return replace(weights, input_mean=mean, matrices=[folding @ weights.matrices[0], *weights.matrices[1:]])


def check_parity(
    path: Path,
    ensemble: ProbabilisticEnsemble,
    generator: torch.Generator,
    features: FloatArray | None = None,
    draws: int = 20,
) -> None:
    """Compare the file at `path` with `ensemble` at `draws` inputs from three deviations around the data's mean.

    `features` as in `export_ensemble`. The deviation is the file's: of the mixture, with the description's noise.

    Raises:
        ConfigError: mean, deviation or disagreement differ by more than rounding.
    """
    onnx_ensemble = OnnxEnsemble(path)
    scale = np.array(onnx_ensemble.description.scale)
    noise = np.array(onnx_ensemble.description.noise or np.zeros(len(scale)))
    a = np.eye(ensemble.inputs) if features is None else features
    normal = torch.randn(draws, ensemble.inputs, generator=generator)
    drawn = _double(ensemble.input_mean + 3.0 * ensemble.input_deviation * normal)
    # As float32, which the file takes, so that both are asked about the same numbers.
    inputs = np.linalg.solve(a, drawn.T).T.astype(np.float32).astype(np.float64)
    prediction = ensemble.predict(torch.from_numpy((inputs @ a.T).astype(np.float32)))
    mean, variance, epistemic = map(_double, (prediction.mean, prediction.variance, prediction.epistemic))
    deviation = np.sqrt(variance + np.square(noise))
    disagreement = np.sqrt(np.mean(epistemic / np.square(scale), axis=1))
    worst = 0.0
    for index, row in enumerate(inputs):
        state, action = np.split(row, [ensemble.outputs])
        step = onnx_ensemble.step(state, action)
        off = np.hstack(
            (
                np.abs(step.mean - state - mean[index]) / (scale + np.abs(mean[index])),
                np.abs(np.sqrt(step.variance) / deviation[index] - 1.0),
                np.abs(step.disagreement - disagreement[index]) / (1.0 + disagreement[index]),
            )
        )
        worst = float(np.maximum(worst, off.max()))
    if not worst <= _TOLERANCE:
        raise ConfigError(
            f"{path}: answers differ from the ensemble's by {worst:.2g}, at most {_TOLERANCE:g} is rounding: "
            "report this with the versions of torch and onnxruntime"
        )


def _double(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.detach().double().numpy()
    return array
