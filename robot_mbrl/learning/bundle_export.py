"""What a bundle's manifest says of a task of `sim`: the arm's joints and geometry, the observation, the versions."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import mujoco
import numpy as np
import torch
from pydantic import JsonValue

import robot_mbrl
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.learning.onnx_export import OPSET
from robot_mbrl.policies.bundle_manifest import (
    FIELDS,
    BundleJoint,
    ObservationField,
    PolicyDescription,
    StateTensor,
    TaskDescription,
)
from robot_mbrl.policies.kinematic_chain import Hinge, KinematicChain
from robot_mbrl.sim.linkages import linkage_of
from robot_mbrl.sim.links import Link
from robot_mbrl.sim.tasks import CONTROL_PERIOD, Task


def kinematic_chain(arm: ArmDefinition) -> KinematicChain:
    """The hinges of `arm` from the base to the link that carries the tool.

    Raises:
        ConfigError: the arm's model is unknown, or its tool is not on a link that moves.
    """
    linkage = linkage_of(arm)
    names = [link.name for link in linkage.links]
    if linkage.tool.link not in names:
        raise ConfigError(f"{arm.name}: the tool is on {linkage.tool.link!r}: it must be on one of {', '.join(names)}")
    carrying = linkage.links[: names.index(linkage.tool.link) + 1]
    hinges = [
        Hinge(joint=joint, position=link.position, orientation=link.orientation, axis=link.axis)
        for joint, link in zip(arm.joint_names, carrying, strict=False)
    ]
    hinges[0] = _seen_from(linkage.base, hinges[0])
    return KinematicChain(hinges=tuple(hinges), tool=linkage.tool.position)


def _seen_from(base: Link, hinge: Hinge) -> Hinge:
    """`hinge`, whose frame is given in that of `base`, given in the frame that the base itself stands in."""
    turn, place, orientation = np.array(base.orientation), np.zeros(3), np.zeros(4)
    mujoco.mju_normalize4(turn)
    mujoco.mju_rotVecQuat(place, np.array(hinge.position), turn)
    mujoco.mju_mulQuat(orientation, turn, np.array(hinge.orientation))
    x, y, z = (place + base.position).tolist()
    w, i, j, k = orientation.tolist()
    return hinge.model_copy(update={"position": (x, y, z), "orientation": (w, i, j, k)})


def describe_policy(
    task: Task,
    states: Sequence[StateTensor],
    *,
    learner: str,
    training: Mapping[str, JsonValue],
    data: str,
    speed: float = 1.0,
) -> PolicyDescription:
    """The description of a policy that was trained on `task`, as `write_bundle` takes it.

    Args:
        task: with its arm.
        states: that the policy remembers.
        learner: what trained it.
        training: the settings that it was trained with.
        data: what it was trained on, in words.
        speed: share of the task's action scale that its actions were trained with.
    """
    arm = task.arm
    return PolicyDescription(
        learner=learner,
        arm=arm.model,
        joints=tuple(
            BundleJoint(
                name=joint.name,
                position_limits=joint.position_limits,
                velocity_limit=joint.velocity_limit,
                action_scale=scale,
            )
            for joint, scale in zip(arm.joints, (speed * task.action_scale).tolist(), strict=True)
        ),
        task=TaskDescription(name=task.name, tolerance=task.tolerance, time_limit=task.time_limit),
        period=CONTROL_PERIOD,
        opset=OPSET,
        observation=tuple(
            ObservationField(name=name, size=place.stop - place.start, unit=FIELDS[name][1])
            for name, place in task.layout.slices.items()
        ),
        states=tuple(states),
        tool=kinematic_chain(arm),
        training=dict(training),
        data=data,
        code=code_version(),
    )


def code_version() -> str:
    """Versions of this program and of torch; with the commit, where the program runs from a repository."""
    versions = f"robot-mbrl {robot_mbrl.__version__}, torch {torch.__version__}"
    root = Path(robot_mbrl.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        # Installed somewhere: a repository around that place would be another program's.
        return versions
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10.0)
    except FileNotFoundError:
        return versions
    return f"{versions}, commit {found.stdout.strip()}" if found.returncode == 0 else versions
