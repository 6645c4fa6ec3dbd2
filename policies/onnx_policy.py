"""`OnnxPolicy`: the policy of a deployment bundle in joint space, run by onnxruntime on one thread, without torch.

As in the tasks of `sim`, an action changes the joints' targets: with c the action scales of the manifest

    targets = clip(targets + c clip(action, -1, 1), position limits)

The targets are the policy's own from step to step, as they were in training. An arm that is held or slowed does not
follow them, so they stay within `LEAD` action scales of the goals that the servos hold.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import Action, FloatArray
from robot_mbrl.policies.bundle import MANIFEST, Bundle, read_bundle
from robot_mbrl.policies.bundle_manifest import POLICY, PolicyDescription
from robot_mbrl.policies.joint_space import JointSpace
from robot_mbrl.policies.kinematic_chain import ToolPosition
from robot_mbrl.policies.onnx_step import OnnxStep

LEAD: Final = 3.0
"""Periods of motion that targets may be ahead of the servos' goals: one under way, one that came early, a new one."""
RATE_TOLERANCE: Final = 0.01
"""Share by which the deployment's period may differ from the policy's."""
LIMIT_TOLERANCE: Final = 1e-6
"""What limits written down twice may differ by [rad], [rad/s]."""

_OBSERVED_AS: Final = {"joints": "position", "velocities": "velocity"}
"""What a bundle's observation fields are called in a deployment's observations, where the names differ."""


class OnnxPolicy:
    """Implements `contracts.policy.Policy` for the observations that `joint_space` describes."""

    def __init__(self, bundle: Bundle, space: JointSpace) -> None:
        """Load `bundle` for the arm and the rate of `space`.

        Raises:
            ConfigError: it is another arm's, for another rate, needs to observe what the deployment does not, does
                not run, or answers to an arm that stands still with numbers that are not finite.
        """
        manifest, source = bundle.manifest, bundle.folder / MANIFEST
        _check_arm(source, manifest, space)
        _check_rate(source, manifest, space)
        _check_fields(source, manifest, space)
        self._space, self._source = space, source
        self._fields = _places(manifest)
        self._tool = None if manifest.tool is None else ToolPosition(manifest.tool, manifest.joint_names)
        self._scale = np.array([joint.action_scale for joint in manifest.joints])
        self._low, self._high = np.array([joint.position_limits for joint in manifest.joints]).T
        self._targets: FloatArray | None = None
        self._step = OnnxStep(bundle)
        self._rehearse(manifest, bundle.folder / POLICY)

    def reset(self) -> None:
        """Begin again, with the goals of the next step as targets."""
        self._targets = None
        self._step.reset()

    def act(self, observation: Mapping[str, FloatArray]) -> Action:
        """The policy's goals, and its own doubt where it tells it; see `joint_space` for what is in an observation.

        Raises:
            ConfigError: a field that the policy needs is missing or has another size.
        """
        commanded = self._given(observation, "commanded", len(self._scale))
        targets = np.clip(commanded, self._low, self._high) if self._targets is None else self._targets
        row = self._step.observation
        for name, place in self._fields:
            if name == "targets":
                row[place] = targets
            elif name == "tool" and self._tool is not None:
                row[place] = self._tool(self._given(observation, "position", len(self._scale)))
            else:
                row[place] = self._given(observation, _OBSERVED_AS.get(name, name), place.stop - place.start)
        self._step.step()
        lead = LEAD * self._scale
        targets = targets + self._scale * np.clip(self._step.action, -1.0, 1.0)
        targets = np.clip(targets, commanded - lead, commanded + lead)
        self._targets = np.clip(targets, self._low, self._high)
        return self._space.action(self._targets, float(self._step.doubt[0]))

    def _rehearse(self, manifest: PolicyDescription, path: Path) -> None:
        """Answer once to an arm at rest in the middle of its limits: what fails is to fail while it has no torque."""
        middle = (self._low + self._high) / 2.0
        seen = {_OBSERVED_AS.get(field.name, field.name): np.zeros(field.size) for field in manifest.observation}
        self.act(seen | {"position": middle, "commanded": middle})
        if not self._step.is_finite():
            raise ConfigError(
                f"{path}: answers to an arm that stands still with numbers that are not finite: train it again"
            )
        self.reset()

    def _given(self, observation: Mapping[str, FloatArray], name: str, size: int) -> FloatArray:
        values = observation.get(name)
        if values is None:
            raise ConfigError(
                f"{self._source}: the policy observes {name!r}, which is missing: there are {', '.join(observation)}"
            )
        if values.shape != (size,):
            raise ConfigError(f"{self._source}: observed {name!r} has shape {values.shape}: give {size} numbers")
        return values


def load_policy(folder: Path, space: JointSpace) -> OnnxPolicy:
    """The policy of the bundle in `folder`, for the arm and the rate of `space`.

    Raises:
        ConfigError: see `read_bundle` and `OnnxPolicy`.
    """
    return OnnxPolicy(read_bundle(folder), space)


def _places(manifest: PolicyDescription) -> list[tuple[str, slice]]:
    """Where each field lies in the observation."""
    ends = np.cumsum([field.size for field in manifest.observation]).tolist()
    return [(field.name, slice(end - field.size, end)) for field, end in zip(manifest.observation, ends, strict=True)]


def _check_arm(source: Path, manifest: PolicyDescription, space: JointSpace) -> None:
    if (manifest.arm, manifest.joint_names) != (space.arm, space.names):
        raise ConfigError(
            f"{source}: for the arm {manifest.arm} with {', '.join(manifest.joint_names)}: this arm is {space.arm} "
            f"with {', '.join(space.names)}: give a bundle that was trained on it"
        )
    rows = zip(manifest.joints, space.position_limits.tolist(), space.velocity_limits.tolist(), strict=True)
    for joint, (low, high), fastest in rows:
        theirs_low, theirs_high = joint.position_limits
        if theirs_low < low - LIMIT_TOLERANCE or theirs_high > high + LIMIT_TOLERANCE:
            raise ConfigError(
                f"{source}: {joint.name} was trained within {theirs_low}..{theirs_high} rad, beyond this arm's "
                f"{low}..{high} rad: give a bundle that was trained within these limits"
            )
        speed = joint.action_scale / manifest.period
        if max(speed, joint.velocity_limit) > fastest + LIMIT_TOLERANCE:
            raise ConfigError(
                f"{source}: {joint.name} was trained to move at {max(speed, joint.velocity_limit):.4g} rad/s, this "
                f"arm's limit is {fastest:.4g} rad/s: give a bundle that was trained within this limit"
            )


def _check_rate(source: Path, manifest: PolicyDescription, space: JointSpace) -> None:
    if abs(space.period / manifest.period - 1.0) > RATE_TOLERANCE:
        raise ConfigError(
            f"{source}: the policy acts {1.0 / manifest.period:.4g} times a second, this deployment asks it "
            f"{1.0 / space.period:.4g} times: give --policy-rate {1.0 / manifest.period:.4g}"
        )


def _check_fields(source: Path, manifest: PolicyDescription, space: JointSpace) -> None:
    wanted = [_OBSERVED_AS.get(field.name, field.name) for field in manifest.observation]
    missing = [name for name in wanted if name not in {"targets", "tool", *space.observed}]
    if missing:
        remedy = "give --goal X,Y,Z" if missing == ["goal"] else "give a policy that does without"
        raise ConfigError(
            f"{source}: the policy observes {', '.join(missing)}, this deployment only {', '.join(space.observed)}: "
            f"{remedy}"
        )
