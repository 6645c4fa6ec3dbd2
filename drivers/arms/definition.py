"""The settings models of an arm definition, and where the definitions that ship with the project are."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from robot_mbrl.contracts.config import Settings, load_settings, parse_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import SafetySettings
from robot_mbrl.contracts.types import MAX_JOINTS
from robot_mbrl.drivers.arms.joint_map import JointMap

PositiveFloat = Annotated[float, Field(gt=0.0)]


class JointDefinition(Settings):
    """One joint and its servo.

    Attributes:
        name: joint name, the same in the model, the logs and the calibration files.
        id: servo ID on the bus.
        servo: control table, such as `sts3215`.
        gear_ratio: motor turns per output turn.
        sign: whether ticks rise with the model's angle.
        zero_tick: nominal tick at the model's zero; the joint calibration replaces it.
        position_limits: lowest and highest angle [rad].
        velocity_limit: [rad/s].
        acceleration_limit: [rad/s²].
        jerk_limit: [rad/s³], what a controlled stop and the control loop keep to.
        torque_limit: [N·m].
        park_position: where the joint rests with the torque off [rad].
        supply_voltage: nominal supply of this servo [V]; a robot's own one replaces it, see `with_supply`.
        voltage_limits: lowest and highest supply that the servo accepts [V].
        registers: values written at connection while the torque is off, by register name.
        full_turn: whether the joint turns all the way round without a stop, so that there is no range to record.
    """

    name: str = Field(min_length=1)
    id: int = Field(ge=0, le=252)
    servo: Literal["sts3215", "xl330-m077", "xl330-m288", "xl430-w250"]
    gear_ratio: PositiveFloat
    sign: Literal[-1, 1] = 1
    zero_tick: int = Field(default=2048, ge=0, le=4095)
    position_limits: tuple[float, float]
    velocity_limit: PositiveFloat
    acceleration_limit: PositiveFloat
    jerk_limit: PositiveFloat
    torque_limit: PositiveFloat
    park_position: float
    supply_voltage: PositiveFloat
    voltage_limits: tuple[PositiveFloat, PositiveFloat]
    registers: dict[str, int] = Field(default_factory=dict)
    full_turn: bool = False

    @model_validator(mode="after")
    def _limits_hold_the_park_position(self) -> Self:
        low, high = self.position_limits
        if not low < high:
            raise ValueError(f"position_limits of {self.name}: {low} must be below {high}")
        if not low <= self.park_position <= high:
            raise ValueError(f"park_position of {self.name} = {self.park_position} lies outside {low}..{high}")
        return self

    @property
    def nominal_map(self) -> JointMap:
        """The map that holds for a servo mounted exactly as drawn."""
        return JointMap(self.sign, self.zero_tick)


class ArmDefinition(Settings):
    """One kind of arm.

    Attributes:
        name: such as `so101_follower`.
        description: one line.
        protocol: what its servos speak.
        baud: bits per second that the servos are set to.
        model: kinematic model in `sim`, such as `so101`.
        role: followers are driven, leaders are moved by hand.
        temperature_limit: highest servo temperature [°C].
        joints: from the base to the gripper.
        safety: what the safety monitor lets pass, beside the joints' limits.
        sources: where the figures come from, by key.
    """

    name: str = Field(min_length=1)
    description: str
    protocol: Literal["feetech", "dynamixel"]
    baud: int = Field(gt=0)
    model: str
    role: Literal["follower", "leader"]
    temperature_limit: PositiveFloat
    joints: tuple[JointDefinition, ...] = Field(min_length=1, max_length=MAX_JOINTS)
    safety: SafetySettings
    sources: dict[str, str]

    @model_validator(mode="after")
    def _names_and_ids_are_unique(self) -> Self:
        for key in ("name", "id"):
            values = [getattr(joint, key) for joint in self.joints]
            doubled = sorted({str(value) for value in values if values.count(value) > 1})
            if doubled:
                raise ValueError(f"{key} {', '.join(doubled)} is given to more than one joint of {self.name}")
        return self

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints, in order."""
        return tuple(joint.name for joint in self.joints)


def arm_names() -> tuple[str, ...]:
    """Names of the arm definitions that ship with the project."""
    folder = files("robot_mbrl.drivers.arms")
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load_arm(name: str) -> ArmDefinition:
    """Load an arm definition by its name, or from a path that ends in `.yaml`.

    Raises:
        ConfigError: there is no such definition, or it is wrong.
    """
    if name.endswith((".yaml", ".yml")):
        return load_settings(Path(name), ArmDefinition)
    known = arm_names()
    if name not in known:
        raise ConfigError(f"unknown arm {name!r}: give one of {', '.join(known)} or the path of a .yaml file")
    text = (files("robot_mbrl.drivers.arms") / f"{name}.yaml").read_text(encoding="utf-8")
    return parse_settings(text, ArmDefinition, f"{name}.yaml")
