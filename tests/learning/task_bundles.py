"""Bundles for the twin's tasks with policies of two layers at most, whose answers are plain."""

from pathlib import Path

import numpy as np
from onnx import helper

from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.bundle_export import describe_policy
from robot_mbrl.policies.bundle import ENSEMBLE, write_bundle
from robot_mbrl.policies.bundle_manifest import POLICY
from robot_mbrl.sim.tasks import Task, make_task
from tests.policies.synthetic_bundles import ensemble_content, graph_model, tensor


def linear_bundle(
    folder: Path, task: Task, weight: FloatArray, bias: FloatArray, largest: float = 1.0, *, watched: bool = False
) -> Path:
    """A bundle for `task` with the policy a = clip(o W + b, ±largest); `watched` by an ensemble that expects rest."""
    size, actions = weight.shape
    model = graph_model(
        [
            helper.make_node("MatMul", ["observation", "weight"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["sum"]),
            helper.make_node("Clip", ["sum", "low", "high"], ["action"]),
        ],
        [tensor("observation", 1, size)],
        [tensor("action", 1, actions)],
        weight=weight.astype(np.float32),
        bias=bias.astype(np.float32)[None],
        low=np.array(-largest, np.float32),
        high=np.array(largest, np.float32),
    )
    files = {POLICY: bytes(model.SerializeToString())}
    if watched:
        files[ENSEMBLE] = ensemble_content(task.arm.joint_names)
    description = describe_policy(task, (), learner="nobody", training={"seed": 0}, data="none")
    write_bundle(folder, description, files)
    return folder


def pose_bundle(folder: Path, pose: FloatArray, *, watched: bool = False) -> Path:
    """A bundle for reach on the SO-101 that goes to the joints `pose` (6,) [rad], at a tenth of full speed at most."""
    task = make_task("reach")
    weight = np.zeros((task.layout.size, len(pose)))
    gain = 1.0 / task.action_scale
    weight[task.layout.slices["targets"]] = -np.diag(gain)
    return linear_bundle(folder, task, weight, gain * pose, largest=0.1, watched=watched)
