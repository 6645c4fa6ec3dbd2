"""Writes an ensemble of multilayer perceptrons to the file that `OnnxEnsemble` reads. NumPy in, no torch.

Each member maps its scaled input to the mean change of the state and to the logarithm of its variance, both in units
of the description's scale s:

    x = ((state, action) - input_mean) / input_deviation
    h = silu(... silu(x W_1 + b_1) ...)
    (δ, l) = h W_k + b_k
    l' = max - softplus(max - l),    l'' = min + softplus(l' - min)    (where there are bounds, else l'' = l)
    mean = state + s δ,    variance = s² exp(l'')
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.ensemble_file import EnsembleDescription, seal
from robot_mbrl.policies.onnx_file import OPSETS

_IR_VERSION = 10
"""ONNX file format that goes with the newest of `OPSETS` and that onnxruntime 1.20 reads."""


@dataclass(frozen=True, slots=True)
class EnsembleWeights:
    """Weights of m perceptrons with k layers, the last one linear; d states, a actions.

    Attributes:
        input_mean: (d + a,) of the inputs, in their units.
        input_deviation: (d + a,) of the inputs, in their units.
        matrices: k arrays (m, inputs of the layer, outputs); d + a inputs at first, 2 d outputs at last.
        biases: k arrays (m, outputs of the layer).
        log_variance_bounds: min and max (d,) of l; None leaves it unbounded.
    """

    input_mean: FloatArray
    input_deviation: FloatArray
    matrices: Sequence[FloatArray]
    biases: Sequence[FloatArray]
    log_variance_bounds: tuple[FloatArray, FloatArray] | None = None


def ensemble_model(weights: EnsembleWeights, description: EnsembleDescription) -> onnx.ModelProto:
    """The sealed ONNX model of `weights`.

    Raises:
        ConfigError: shapes that do not fit each other.
    """
    states = len(description.scale)
    actions = len(weights.input_mean) - states
    _check_shapes(weights, states, actions)
    members = weights.matrices[0].shape[0]
    nodes, constants = _nodes(weights, description, states)
    graph = helper.make_graph(
        nodes,
        "ensemble",
        [_tensor("state", 1, states), _tensor("action", 1, actions)],
        [_tensor("means", members, states), _tensor("variances", members, states)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSETS[-1])],
        ir_version=_IR_VERSION,
        producer_name="robot_mbrl",
    )
    seal(model, description)
    return model


def write_ensemble(path: Path, weights: EnsembleWeights, description: EnsembleDescription) -> None:
    """Write `weights` to `path`.

    Raises:
        ConfigError: shapes that do not fit each other.
        OSError: the file cannot be written.
    """
    path.write_bytes(ensemble_model(weights, description).SerializeToString(deterministic=True))


def _check_shapes(weights: EnsembleWeights, states: int, actions: int) -> None:
    if actions < 1 or not len(weights.matrices) == len(weights.biases) >= 1:
        raise ConfigError(
            f"ensemble of {len(weights.matrices)} matrices, {len(weights.biases)} biases and {actions} actions: "
            "give at least one layer and one action"
        )
    members, width = len(weights.matrices[0]), states + actions
    for index, (matrix, bias) in enumerate(zip(weights.matrices, weights.biases, strict=True)):
        outputs = 2 * states if index == len(weights.matrices) - 1 else matrix.shape[-1]
        if matrix.shape != (members, width, outputs) or bias.shape != (members, outputs):
            raise ConfigError(
                f"ensemble layer {index}: matrix {matrix.shape} and bias {bias.shape}: give "
                f"{(members, width, outputs)} and {(members, outputs)}"
            )
        width = outputs
    if weights.input_deviation.shape != weights.input_mean.shape or not (weights.input_deviation > 0.0).all():
        raise ConfigError(
            f"ensemble input_deviation {weights.input_deviation.tolist()}: give {states + actions} numbers above 0"
        )
    for bound in weights.log_variance_bounds or ():
        if bound.shape != (states,):
            raise ConfigError(f"ensemble log-variance bound of shape {bound.shape}: give {states} numbers")


def _nodes(
    weights: EnsembleWeights, description: EnsembleDescription, states: int
) -> tuple[list[onnx.NodeProto], dict[str, NDArray[np.float32] | NDArray[np.int64]]]:
    """The graph's nodes, and its constants by name."""
    scale = np.array(description.scale)
    constants: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {
        "input_mean": weights.input_mean.astype(np.float32),
        "input_deviation": weights.input_deviation.astype(np.float32),
        "scale": scale.astype(np.float32),
        "scale_squared": np.square(scale).astype(np.float32),
        "halves": np.array([states, states], np.int64),
        "one": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Concat", ["state", "action"], ["inputs"], axis=1),
        helper.make_node("Sub", ["inputs", "input_mean"], ["centred"]),
        helper.make_node("Div", ["centred", "input_deviation"], ["layer_0"]),
    ]
    last = len(weights.matrices) - 1
    for index, (matrix, bias) in enumerate(zip(weights.matrices, weights.biases, strict=True)):
        constants[f"matrix_{index}"] = matrix.astype(np.float32)
        constants[f"bias_{index}"] = bias.astype(np.float32)[:, None, :]
        nodes += [
            helper.make_node("MatMul", [f"layer_{index}", f"matrix_{index}"], [f"product_{index}"]),
            helper.make_node("Add", [f"product_{index}", f"bias_{index}"], [f"sum_{index}"]),
        ]
        if index < last:
            nodes += [
                helper.make_node("Sigmoid", [f"sum_{index}"], [f"gate_{index}"]),
                helper.make_node("Mul", [f"sum_{index}", f"gate_{index}"], [f"layer_{index + 1}"]),
            ]
    nodes += [
        helper.make_node("Squeeze", [f"sum_{last}", "one"], ["answers"]),
        helper.make_node("Split", ["answers", "halves"], ["changes", "free_log_variances"], axis=1),
        *_bound_nodes(weights.log_variance_bounds, constants),
        helper.make_node("Mul", ["changes", "scale"], ["scaled_changes"]),
        helper.make_node("Add", ["state", "scaled_changes"], ["means"]),
        helper.make_node("Exp", ["log_variances"], ["scaled_variances"]),
        helper.make_node("Mul", ["scaled_variances", "scale_squared"], ["variances"]),
    ]
    return nodes, constants


def _bound_nodes(
    bounds: tuple[FloatArray, FloatArray] | None, constants: dict[str, NDArray[np.float32] | NDArray[np.int64]]
) -> list[onnx.NodeProto]:
    """From `free_log_variances` to `log_variances`; adds the bounds to `constants`."""
    if bounds is None:
        return [helper.make_node("Identity", ["free_log_variances"], ["log_variances"])]
    constants["min_log_variance"], constants["max_log_variance"] = (bound.astype(np.float32) for bound in bounds)
    return [
        helper.make_node("Sub", ["max_log_variance", "free_log_variances"], ["below_max"]),
        helper.make_node("Softplus", ["below_max"], ["soft_below_max"]),
        helper.make_node("Sub", ["max_log_variance", "soft_below_max"], ["capped_log_variances"]),
        helper.make_node("Sub", ["capped_log_variances", "min_log_variance"], ["above_min"]),
        helper.make_node("Softplus", ["above_min"], ["soft_above_min"]),
        helper.make_node("Add", ["min_log_variance", "soft_above_min"], ["log_variances"]),
    ]


def _tensor(name: str, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
