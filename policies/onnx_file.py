"""What every ONNX file is checked for before it may answer for an arm, whoever made it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper

from robot_mbrl.contracts.errors import ConfigError

OPSETS: Final = range(17, 23)
"""Of the default operator set: layer normalisation exists from 17 on, the newest is what onnxruntime 1.20 runs."""


def read_file(path: Path, what: str) -> bytes:
    """The bytes of `path`; `what` is what the message asks for.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}): give {what}") from error


def parse_model(path: Path, content: bytes) -> onnx.ModelProto:
    """The model in `content`, which was read from `path`.

    Raises:
        ConfigError: it is none.
    """
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise ConfigError(f"{path}: not an ONNX file, or cut short: copy or export it again") from error
    return model


def check_opset(path: Path, model: onnx.ModelProto, known: Iterable[int] = OPSETS) -> None:
    """Refuse operator sets other than the default one in a `known` version.

    Raises:
        ConfigError: the model needs another one.
    """
    versions = sorted(known)
    wanted = f"{versions[0]}" if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"
    for entry in model.opset_import:
        if entry.domain not in ("", "ai.onnx") or entry.version not in versions:
            raise ConfigError(
                f"{path}: operator set {entry.domain or 'ai.onnx'} {entry.version}: export it with ai.onnx {wanted}, "
                "and no other"
            )


def check_weights(path: Path, model: onnx.ModelProto) -> None:
    """Refuse weights and constants that lie elsewhere, cannot be read or are not finite, at whatever depth.

    Raises:
        ConfigError: naming the first one.
    """
    for weight in _tensors(model):
        if weight.data_location == onnx.TensorProto.EXTERNAL:
            raise ConfigError(f"{path}: weight {weight.name!r} lies in another file: export with weights inside")
        _check_finite(path, f"weight {weight.name!r}", _values(path, weight))
    for node in _nodes(model):
        for attribute in node.attribute:
            numbers = [attribute.f, *attribute.floats]
            _check_finite(path, f"{attribute.name} of {node.op_type} {node.name!r}", np.array(numbers))


def _values(path: Path, weight: onnx.TensorProto) -> NDArray[Any]:
    """The numbers of `weight`; those of formats that numpy does not know itself, such as bfloat16, as float32."""
    try:
        values = numpy_helper.to_array(weight)
        known = np.issubdtype(values.dtype, np.number) or values.dtype.kind in "bOSU"
        return values if known else values.astype(np.float32)
    except (ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: weight {weight.name!r} cannot be read ({reason}): export it again") from error


def _check_finite(path: Path, what: str, values: NDArray[Any]) -> None:
    if not np.issubdtype(values.dtype, np.inexact):
        return
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise ConfigError(f"{path}: {what} has {bad} of {values.size} values that are not finite: train it again")


def _graphs(model: onnx.ModelProto) -> Iterator[onnx.GraphProto]:
    """All graphs of `model`: its own, and the branches and bodies of its nodes."""
    waiting = [model.graph]
    waiting += _bodies(node for function in model.functions for node in function.node)
    while waiting:
        graph = waiting.pop()
        yield graph
        waiting += _bodies(graph.node)


def _bodies(nodes: Iterable[onnx.NodeProto]) -> list[onnx.GraphProto]:
    attributes = [attribute for node in nodes for attribute in node.attribute]
    return [
        graph
        for attribute in attributes
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)
    ]


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for function in model.functions:
        yield from function.node
    for graph in _graphs(model):
        yield from graph.node


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    for graph in _graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            # By what is there, not by the type that it claims: a field is read by whoever looks for it.
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            sparses = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            for sparse in (*sparses, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def float_shapes(path: Path, kind: str, values: Iterable[onnx.ValueInfoProto]) -> dict[str, tuple[int, ...]]:
    """Shapes by name; a dimension without a number counts as 0. `kind` is for messages.

    Raises:
        ConfigError: one is not float32.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for value in values:
        if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            raise ConfigError(f"{path}: {kind} {value.name!r} is not float32: export it with float32 tensors")
        shapes[value.name] = tuple(int(dim.dim_value) for dim in value.type.tensor_type.shape.dim)
    return shapes


def graph_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that have to be given: old files list their weights among the inputs too."""
    given = {initializer.name for initializer in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in given]
