"""From a fitted `ProbabilisticEnsemble` to the sealed ONNX file that the control process evaluates without torch."""

from pathlib import Path

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

_TOLERANCE = 1e-4
"""Of the parity check, in scales: room for float32 sums over hundreds of products in another order."""

_PARITY_SEED = 0
"""One set of inputs, so that one ensemble is exported always or never."""


def export_ensemble(path: Path, ensemble: ProbabilisticEnsemble, description: EnsembleDescription) -> None:
    """Write the elites of `ensemble`, which predicts the change of a state from (state, action), to `path`.

    The file is read back and compared with `ensemble` at random inputs before it is left there.

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
    with replacing(path) as draft:
        write_ensemble(draft, elite_weights(ensemble, np.array(description.scale)), description)
        check_parity(draft, ensemble, torch.Generator().manual_seed(_PARITY_SEED))


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


def check_parity(path: Path, ensemble: ProbabilisticEnsemble, generator: torch.Generator, draws: int = 20) -> None:
    """Compare the file at `path` with `ensemble` at `draws` inputs from three deviations around the data's mean.

    Raises:
        ConfigError: mean, deviation or disagreement differ by more than rounding.
    """
    onnx_ensemble = OnnxEnsemble(path)
    scale = np.array(onnx_ensemble.description.scale)
    noise = torch.randn(draws, ensemble.inputs, generator=generator)
    inputs = ensemble.input_mean + 3.0 * ensemble.input_deviation * noise
    prediction = ensemble.predict(inputs)
    for index, row in enumerate(inputs.double().numpy()):
        state, action = np.split(row, [ensemble.outputs])
        step = onnx_ensemble.step(state, action)
        answers = np.concatenate((step.mean / scale, np.sqrt(step.variance) / scale, [step.disagreement]))
        mean, deviation = _double(prediction.mean[index]), _double(prediction.variance[index].sqrt())
        spread = _double(prediction.epistemic[index]) / scale**2
        wanted = np.concatenate(((state + mean) / scale, deviation / scale, [np.sqrt(spread.mean())]))
        worst = float((np.abs(answers - wanted) / (1.0 + np.abs(wanted))).max())
        if not worst <= _TOLERANCE:
            raise ConfigError(
                f"{path}: answers differ from the ensemble's by {worst:.2g}, at most {_TOLERANCE:g} is rounding: "
                "report this with the versions of torch and onnxruntime"
            )


def _double(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.detach().double().numpy()
    return array
