"""The physical parameters of one particular arm: what system identification looks for and randomization varies."""

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.types import MAX_JOINTS

Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]


class JointTruth(Settings):
    """One servo and the joint that it drives. Everything is referred to the output shaft, after the gear.

    Attributes:
        name: of the joint, as in the arm's definition.
        torque_constant: torque over winding current [N·m/A], the same number as back-EMF over speed [V·s/rad].
        resistance: of winding and bridge [Ω].
        armature: inertia of rotor and gear, times the gear ratio squared [kg·m²].
        coulomb: Coulomb friction [N·m].
        viscous: viscous friction [N·m·s/rad].
        stribeck_excess: what static friction adds to `coulomb` [N·m].
        stribeck_velocity: speed at which that addition has fallen to 1/e [rad/s].
        backlash: the whole free gap between gear and output shaft [rad]; 0 is a rigid gear.
        position_gain: duty that one unit of the servo's P register makes of 1 rad of error [duty/rad].
        zero_offset: how far the horn is mounted from the nominal zero [rad]; the emulated servo adds it.
        command_delay: from a goal's arrival to its effect inside the servo [s].
        thermal_resistance: winding to ambient [K/W].
        thermal_capacitance: of the housing [J/K].
    """

    name: str = Field(min_length=1)
    torque_constant: Positive
    resistance: Positive
    armature: Positive
    coulomb: NonNegative
    viscous: NonNegative
    stribeck_excess: NonNegative = 0.0
    stribeck_velocity: Positive = 0.1
    backlash: float = Field(default=0.0, ge=0.0, lt=0.5)
    position_gain: Positive
    zero_offset: float = Field(default=0.0, ge=-math.pi, le=math.pi)
    command_delay: float = Field(default=0.0, ge=0.0, le=0.1)
    thermal_resistance: Positive
    thermal_capacitance: Positive


class ArmTruth(Settings):
    """One particular arm and its surroundings.

    Attributes:
        arm: name of the arm's definition.
        joints: in the order of the definition.
        supply_voltage: open-circuit supply of each kind of servo [V], by servo name.
        supply_resistance: of supply and cables [Ω]; the voltage sags by this times the current drawn.
        ambient_temperature: [°C].
        link_mass_scale: by which all masses and inertias of the links are multiplied.
        payload_mass: point mass at the tool frame [kg].
        gravity: [m/s²], downwards.
        surface_friction: sliding friction coefficient of table, gripper and objects.
        object_mass: of a free object [kg].
    """

    arm: str = Field(min_length=1)
    joints: tuple[JointTruth, ...] = Field(min_length=1, max_length=MAX_JOINTS)
    supply_voltage: dict[str, NonNegative]
    supply_resistance: NonNegative = 0.0
    ambient_temperature: float = Field(default=25.0, ge=-40.0, le=85.0)
    link_mass_scale: float = Field(default=1.0, gt=0.0, le=10.0)
    payload_mass: float = Field(default=0.0, ge=0.0, le=10.0)
    gravity: float = Field(default=9.81, ge=0.0, le=30.0)
    surface_friction: NonNegative = 0.6
    object_mass: Positive = 0.02

    @model_validator(mode="after")
    def _gap_everywhere_or_nowhere(self) -> Self:
        gaps = [joint.name for joint in self.joints if joint.backlash > 0.0]
        if gaps and len(gaps) < len(self.joints):
            rigid = ", ".join(joint.name for joint in self.joints if joint.backlash == 0.0)
            raise ValueError(f"backlash is 0 for {rigid} only: give every joint a gap, however small, or none of them")
        return self

    @property
    def has_backlash(self) -> bool:
        """Whether the gears have play."""
        return self.joints[0].backlash > 0.0

    def without_backlash(self) -> "ArmTruth":
        """The same arm with rigid gears: half as many joints to simulate."""
        return self.model_copy(
            update={"joints": tuple(joint.model_copy(update={"backlash": 0.0}) for joint in self.joints)}
        )
