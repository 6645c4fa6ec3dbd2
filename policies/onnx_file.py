"""What every ONNX file is checked for before it may answer for an arm, whoever made it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from google.protobuf.message import DecodeError
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
    """Refuse weights and constants that lie elsewhere or are not finite.

    Raises:
        ConfigError: naming the first one.
    """
    for weight in _tensors(model):
        if weight.data_location == onnx.TensorProto.EXTERNAL:
            raise ConfigError(f"{path}: weight {weight.name!r} lies in another file: export with weights inside")
        values = numpy_helper.to_array(weight)
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            bad = int(np.count_nonzero(~np.isfinite(values)))
            raise ConfigError(
                f"{path}: weight {weight.name!r} has {bad} of {values.size} values that are not finite: train it again"
            )


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t


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
