"""The manifest of a deployment bundle: what a policy's numbers mean, for which arm, and what else is in the folder."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, model_validator

from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.types import MAX_JOINTS
from robot_mbrl.policies.kinematic_chain import KinematicChain
from robot_mbrl.policies.onnx_file import OPSETS

POLICY: Final = "policy.onnx"
"""The file of a bundle that every bundle has."""

FIELDS: Final[Mapping[str, tuple[int | None, str]]] = {
    "joints": (None, "rad"),
    "velocities": (None, "rad/s"),
    "targets": (None, "rad"),
    "tool": (3, "m"),
    "object": (3, "m"),
    "object_velocity": (3, "m/s"),
    "goal": (3, "m"),
    "time": (1, "s"),
    "position": (None, "rad"),
    "velocity": (None, "rad/s"),
    "commanded": (None, "rad"),
}
"""Size and unit of each field that can be observed; None is one number a joint. `targets` are those before the action,
places and their rates are in the arm's base frame; the last four are called as in `joint_space`."""

Positive = Annotated[float, Field(gt=0.0)]
Size = Annotated[int, Field(ge=1)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BundleJoint(Settings):
    """One joint as the policy was trained with it.

    Attributes:
        name: as the arm's definition gives it.
        position_limits: lowest and highest target [rad].
        velocity_limit: [rad/s].
        action_scale: change of target that an action of 1 makes in one period [rad].
    """

    name: str = Field(min_length=1)
    position_limits: tuple[float, float]
    velocity_limit: Positive
    action_scale: Positive

    @model_validator(mode="after")
    def _limits_are_ordered(self) -> Self:
        low, high = self.position_limits
        if not low < high:
            raise ValueError(f"position limits of {self.name}: {low} must be below {high}")
        return self


class ObservationField(Settings):
    """One part of the observation.

    Attributes:
        name: one of `FIELDS`, or any other that the deployment observes under that name.
        size: how many numbers it has, as in `FIELDS`.
        unit: of each, as in `FIELDS`.
    """

    name: Identifier
    size: Size
    unit: str


class StateTensor(Settings):
    """A tensor that the policy keeps from step to step; zeros before the first.

    Attributes:
        name: goes into the graph as `state_<name>`, and comes out as `next_<name>`.
        shape: the batch of 1 first.
    """

    name: Identifier
    shape: tuple[Size, ...] = Field(min_length=1)

    @property
    def input(self) -> str:
        """Its name among the graph's inputs."""
        return f"state_{self.name}"

    @property
    def output(self) -> str:
        """Its name among the graph's outputs."""
        return f"next_{self.name}"


class TaskDescription(Settings):
    """What the policy was trained for.

    Attributes:
        name: such as `reach`.
        tolerance: a distance to the goal below this is success [m]; None where that has no meaning.
        time_limit: steps of an episode; None for no limit.
    """

    name: str = Field(min_length=1)
    tolerance: Positive | None = None
    time_limit: Size | None = None


class PolicyDescription(Settings):
    """What the numbers of a policy mean. Actions lie in -1..1 and change the joints' targets by the action scales.

    Attributes:
        format: of this manifest.
        learner: what trained it, such as `dreamer`.
        arm: kinematic model of the arm, as its definition names it, such as `so101`.
        joints: in the arm's order.
        task: what it was trained for.
        period: between two actions [s].
        opset: ONNX operator set of the policy.
        observation: its parts, in order.
        states: what it remembers.
        tool: where the tool is; needed where `tool` is observed.
        training: the settings that it was trained with.
        data: what it was trained on, in words.
        code: version of the program that trained it.
    """

    format: Literal[1] = 1
    learner: str = Field(min_length=1)
    arm: str = Field(min_length=1)
    joints: tuple[BundleJoint, ...] = Field(min_length=1, max_length=MAX_JOINTS)
    task: TaskDescription
    period: Positive
    opset: int = Field(ge=OPSETS.start, lt=OPSETS.stop)
    observation: tuple[ObservationField, ...] = Field(min_length=1)
    states: tuple[StateTensor, ...] = ()
    tool: KinematicChain | None = None
    training: dict[str, JsonValue] = Field(default_factory=dict)
    data: str = ""
    code: str = ""

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints, in order."""
        return tuple(joint.name for joint in self.joints)

    @property
    def observation_size(self) -> int:
        """Length of the observation."""
        return sum(field.size for field in self.observation)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what in ("joints", "observation", "states"):
            names = [part.name for part in getattr(self, what)]
            doubled = sorted({name for name in names if names.count(name) > 1})
            if doubled:
                raise ValueError(f"{what}: {', '.join(doubled)} is there more than once")
        return self

    @model_validator(mode="after")
    def _fields_have_their_sizes_and_units(self) -> Self:
        for field in self.observation:
            size, unit = FIELDS.get(field.name, (field.size, field.unit))
            size = len(self.joints) if size is None else size
            if field.size != size:
                raise ValueError(f"observation field {field.name} has size {field.size}, must be {size}")
            if field.unit != unit:
                raise ValueError(f"observation field {field.name} has unit {field.unit!r}, must be {unit!r}")
        if self.tool is None and any(field.name == "tool" for field in self.observation):
            raise ValueError("the tool's place is observed, so the kinematic chain under `tool` must be given")
        return self


class BundleManifest(PolicyDescription):
    """`manifest.json`.

    Attributes:
        files: SHA-256 of each other file of the folder, by name.
        seal: SHA-256 of this manifest without its seal, as JSON with sorted keys and no white space.
    """

    files: dict[FileName, Digest]
    seal: Digest

    @model_validator(mode="after")
    def _there_is_a_policy(self) -> Self:
        if POLICY not in self.files:
            raise ValueError(f"files: {POLICY} is missing")
        return self
