"""Bundles that nobody trained: graphs of a few nodes whose every answer can be worked out by hand.

The policy remembers how far it has gone, as a state `travel` (1, 2): with the observation (1, 12) of two joints,

    travel' = (1 - is_first) travel + goal - joints[:2],  action = GAIN travel',  value = sum(travel'),  doubt = |value|
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.contracts.monitor_settings import Grades, MonitorThresholds, UncertaintySettings
from robot_mbrl.policies.bundle import ENSEMBLE, THRESHOLDS, write_bundle
from robot_mbrl.policies.bundle_manifest import (
    POLICY,
    BundleJoint,
    ObservationField,
    PolicyDescription,
    StateTensor,
    TaskDescription,
)
from robot_mbrl.policies.ensemble_export import EnsembleWeights, ensemble_model
from robot_mbrl.policies.ensemble_file import EnsembleDescription
from robot_mbrl.policies.joint_space import OBSERVED, JointSpace
from robot_mbrl.policies.kinematic_chain import Hinge, KinematicChain

OPSET = 18
GAIN = 0.5
PERIOD = 0.05
NAMES = ("pan", "lift")
LIMITS = ((-1.0, 1.0), (-0.5, 0.5))
SCALES = (0.1, 0.05)
"""Two and one rad/s."""
SIZE = 12
"""joints 2, velocities 2, targets 2, tool 3, goal 3."""

ARM = KinematicChain(
    hinges=(
        Hinge(joint="pan", position=(0.0, 0.0, 0.1), orientation=(1.0, 0.0, 0.0, 0.0), axis=(0.0, 0.0, 1.0)),
        Hinge(joint="lift", position=(0.2, 0.0, 0.0), orientation=(1.0, 0.0, 0.0, 0.0), axis=(0.0, -1.0, 0.0)),
    ),
    tool=(0.3, 0.0, 0.0),
)
"""Turns about z at a height of 0.1 m, lifts 0.2 m away from there, and carries the tool 0.3 m further."""


def space(**changes: Any) -> JointSpace:
    """The arm that the bundles are for, with a goal."""
    given: dict[str, Any] = {
        "arm": "two_joints",
        "names": NAMES,
        "position_limits": np.array(LIMITS),
        "velocity_limits": np.array(SCALES) / PERIOD,
        "period": PERIOD,
        "lifetime": 0.15,
        "clock": ManualClock(),
        "observed": (*OBSERVED, "goal"),
    }
    return JointSpace(**(given | changes))


def description(**changes: Any) -> PolicyDescription:
    """What the synthetic policy's numbers mean."""
    rows = zip(NAMES, LIMITS, SCALES, strict=True)
    given: dict[str, Any] = {
        "learner": "nobody",
        "arm": "two_joints",
        "joints": tuple(
            BundleJoint(name=name, position_limits=limits, velocity_limit=scale / PERIOD, action_scale=scale)
            for name, limits, scale in rows
        ),
        "task": TaskDescription(name="reach", tolerance=0.02, time_limit=100),
        "period": PERIOD,
        "opset": OPSET,
        "observation": (
            ObservationField(name="joints", size=2, unit="rad"),
            ObservationField(name="velocities", size=2, unit="rad/s"),
            ObservationField(name="targets", size=2, unit="rad"),
            ObservationField(name="tool", size=3, unit="m"),
            ObservationField(name="goal", size=3, unit="m"),
        ),
        "states": (StateTensor(name="travel", shape=(1, 2)),),
        "tool": ARM,
    }
    return PolicyDescription(**(given | changes))


def tensor(name: str, *shape: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def graph_model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    **constants: NDArray[Any],
) -> onnx.ModelProto:
    """A model of these nodes, with its constants by name."""
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "policy", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def policy_model() -> onnx.ModelProto:
    """The graph that the module's docstring describes."""
    choose = np.zeros((SIZE, 2), np.float32)
    choose[[0, 1], [0, 1]] = -1.0
    choose[[9, 10], [0, 1]] = 1.0
    nodes = [
        helper.make_node("Sub", ["one", "is_first"], ["keep"]),
        helper.make_node("Mul", ["state_travel", "keep"], ["kept"]),
        helper.make_node("MatMul", ["observation", "choose"], ["way"]),
        helper.make_node("Add", ["kept", "way"], ["next_travel"]),
        helper.make_node("Mul", ["next_travel", "gain"], ["action"]),
        helper.make_node("ReduceSum", ["next_travel", "axis"], ["value"], keepdims=0),
        helper.make_node("Abs", ["value"], ["doubt"]),
    ]
    return graph_model(
        nodes,
        [tensor("observation", 1, SIZE), tensor("state_travel", 1, 2), tensor("is_first", 1)],
        [tensor("action", 1, 2), tensor("next_travel", 1, 2), tensor("value", 1), tensor("doubt", 1)],
        one=np.ones(1, np.float32),
        choose=choose,
        gain=np.array([GAIN], np.float32),
        axis=np.array([1], np.int64),
    )


def ensemble_content(names: tuple[str, ...] = NAMES, period: float = PERIOD) -> bytes:
    """An ensemble whose members predict no change in a period [s], for an arm with these joints."""
    n = len(names)
    weights = EnsembleWeights(
        input_mean=np.zeros(3 * n),
        input_deviation=np.ones(3 * n),
        matrices=[np.zeros((3, 3 * n, 4 * n))],
        biases=[np.zeros((3, 4 * n))],
    )
    about = EnsembleDescription(joint_names=names, period=period, scale=(0.1,) * (2 * n))
    return bytes(ensemble_model(weights, about).SerializeToString())


def monitor_thresholds(ensemble: bytes) -> MonitorThresholds:
    """Thresholds that were taken with `ensemble`."""
    digest = hashlib.sha256(ensemble).hexdigest()
    grades = UncertaintySettings(disagreement=Grades(slow=0.5, stop=1.5), residual=Grades(stop=9.0), model=digest)
    return MonitorThresholds(uncertainty=grades, sources={"uncertainty": "invented"})


def make_bundle(
    folder: Path,
    *,
    model: onnx.ModelProto | None = None,
    change: Callable[[onnx.ModelProto], object] = lambda _: None,
    ensemble: bytes | None = None,
    thresholds: MonitorThresholds | None = None,
    **changes: Any,
) -> Path:
    """A bundle in `folder`, of the synthetic policy after `change`, or of another `model`."""
    made = policy_model() if model is None else model
    change(made)
    files = {POLICY: bytes(made.SerializeToString())}
    if ensemble is not None:
        files[ENSEMBLE] = ensemble
    if thresholds is not None:
        files[THRESHOLDS] = dump_settings(thresholds).encode()
    write_bundle(folder, description(**changes), files)
    return folder
