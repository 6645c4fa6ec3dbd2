"""The file of a dynamics ensemble: an ONNX graph of fixed shapes, a description, and a seal over the graph.

m members predict the next of d state variables from the present ones and a of action, all in SI units; scalers are in
the graph. Everything is float32 but the description's numbers.

    inputs   state (1, d), action (1, a)
    outputs  means (m, d), variances (m, d): of the next state, one model period later, by each member

The graph's constants of three dimensions are the members' weights, member by member; all others are every member's. So
a graph of one member alone can be cut out of it: `EnsembleFile.of_member`.

The description is JSON under the metadata key `robot_mbrl.ensemble`; `robot_mbrl.seal` is the SHA-256 of the graph
and the description, so that a damaged weight is found although the file is still valid ONNX.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import onnx
from onnx import numpy_helper
from pydantic import Field, ValidationError, model_validator

from robot_mbrl.contracts.config import Settings, one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.onnx_file import (
    check_opset,
    check_weights,
    float_shapes,
    graph_inputs,
    parse_model,
    read_file,
)

DESCRIPTION_KEY = "robot_mbrl.ensemble"
SEAL_KEY = "robot_mbrl.seal"

PositiveFloat = Annotated[float, Field(gt=0.0)]


class EnsembleDescription(Settings):
    """What a graph's numbers mean.

    Attributes:
        joint_names: of the arm that it predicts, in the arm's order.
        period: from one state to the next [s].
        scale: (d,) typical change of each state variable in one period, in its unit: the standard deviation of
            changes in the training data. Disagreement is counted in these.
        noise: (d,) deviation that each measured state variable has at least, in its unit, added to what the members
            predict; empty for none. At rest most encoders show the same tick for long, and members learn to be sure of
            that tick; the next one is no surprise all the same.
    """

    joint_names: tuple[str, ...] = Field(min_length=1)
    period: PositiveFloat
    scale: tuple[PositiveFloat, ...] = Field(min_length=1)
    noise: tuple[PositiveFloat, ...] = ()

    @model_validator(mode="after")
    def _noise_is_the_states(self) -> Self:
        if len(self.noise) not in {0, len(self.scale)}:
            raise ValueError(f"noise of {len(self.noise)} numbers for {len(self.scale)} states: give as many, or none")
        return self


@dataclass(frozen=True, slots=True)
class EnsembleFile:
    """A file that was found to be in order.

    Attributes:
        model: the whole graph, which is not to be changed.
        description: what its numbers mean.
        members: m.
        states: d.
        actions: a.
    """

    model: onnx.ModelProto
    description: EnsembleDescription
    members: int
    states: int
    actions: int

    def of_member(self, member: int) -> bytes:
        """The graph with the weights of `member` alone, whose answers (1, d) are that row of the whole graph's."""
        alone = onnx.ModelProto()
        alone.CopyFrom(self.model)
        for weights in _members_weights(alone):
            own = numpy_helper.to_array(weights)[member : member + 1]
            weights.CopyFrom(numpy_helper.from_array(own, weights.name))
        for output in alone.graph.output:
            output.type.tensor_type.shape.dim[0].dim_value = 1
        content: bytes = alone.SerializeToString()
        return content


def seal(model: onnx.ModelProto, description: EnsembleDescription) -> None:
    """Write `description` and the seal into the metadata of `model`, in place of what it had there."""
    text = description.model_dump_json()
    kept = {entry.key: entry.value for entry in model.metadata_props}
    kept |= {DESCRIPTION_KEY: text, SEAL_KEY: _digest(model, text)}
    onnx.helper.set_model_props(model, kept)


def read_ensemble(path: Path) -> EnsembleFile:
    """Read the ensemble file at `path` and check all that can be checked without running it.

    Raises:
        ConfigError: it cannot be read, is cut short, altered, of another layout, or holds a weight that is not finite.
    """
    content = read_file(path, "the path of an ensemble file")
    model = parse_model(path, content)
    description = _check_description(path, model)
    check_opset(path, model)
    check_weights(path, model)
    return _check_layout(path, model, description)


def model_digest(path: Path) -> str:
    """SHA-256 of the ensemble's file at `path`, by which thresholds know the ensemble that they were taken with.

    Raises:
        OSError: it cannot be read.
    """
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(model: onnx.ModelProto, description: str) -> str:
    # Without map fields, protobuf writes a message's fields in one order only.
    return hashlib.sha256(model.graph.SerializeToString(deterministic=True) + description.encode()).hexdigest()


def _check_description(path: Path, model: onnx.ModelProto) -> EnsembleDescription:
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    text = metadata.get(DESCRIPTION_KEY)
    if text is None:
        raise ConfigError(f"{path}: has no metadata {DESCRIPTION_KEY!r}: export it with robot_mbrl's ensemble export")
    if metadata.get(SEAL_KEY) != _digest(model, text):
        raise ConfigError(f"{path}: does not match its seal, so it was altered or damaged: copy or export it again")
    try:
        return EnsembleDescription.model_validate_json(text)
    except ValidationError as error:
        raise ConfigError(f"{one_line(error, f'{path}, metadata {DESCRIPTION_KEY}')}: export it again") from error


def _check_layout(path: Path, model: onnx.ModelProto, description: EnsembleDescription) -> EnsembleFile:
    inputs = _shapes(path, "input", graph_inputs(model))
    outputs = _shapes(path, "output", list(model.graph.output))
    for kind, shapes, wanted in (
        ("inputs", inputs, ("state", "action")),
        ("outputs", outputs, ("means", "variances")),
    ):
        if set(shapes) != set(wanted):
            raise ConfigError(f"{path}: {kind} {', '.join(shapes)}: must be {' and '.join(wanted)}; export it again")
    states, actions, members = len(description.scale), inputs["action"][-1], outputs["means"][0]
    wanted_shapes = {
        "state": (1, states),
        "action": (1, actions),
        "means": (members, states),
        "variances": (members, states),
    }
    for name, shape in (inputs | outputs).items():
        if shape != wanted_shapes[name] or 0 in shape:
            raise ConfigError(
                f"{path}: {name} has shape {shape}, must be {wanted_shapes[name]} with the description's {states} "
                "states: export it again"
            )
    for weights in _members_weights(model):
        if weights.dims[0] != members:
            raise ConfigError(
                f"{path}: weights {weights.name!r} of shape {tuple(weights.dims)}, must begin with the {members} "
                "members: export it again"
            )
    return EnsembleFile(model, description, members, states, actions)


def _members_weights(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """The constants that hold weights of each member: those of three dimensions."""
    return [constant for constant in model.graph.initializer if len(constant.dims) == 3]


def _shapes(path: Path, kind: str, values: list[onnx.ValueInfoProto]) -> dict[str, tuple[int, ...]]:
    shapes = float_shapes(path, kind, values)
    for name, shape in shapes.items():
        if len(shape) != 2:
            raise ConfigError(f"{path}: {kind} {name!r} does not have two dimensions: export it again")
    return shapes
