"""Truths: the physical parameters that an emulated arm or a twin is given, from data sheets, a seed or a file."""

from pathlib import Path

import numpy as np

from robot_mbrl.contracts.config import dump_settings, load_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import ArmDefinition, JointDefinition
from robot_mbrl.sim.parameters import ArmTruth, JointTruth
from robot_mbrl.sim.randomization import PUBLISHED_RANGES, Randomization
from robot_mbrl.sim.servos import BACKLASH, CABLE_RESISTANCE, FIGURES

__all__ = ["ArmTruth", "JointTruth", "check_truth", "draw_truth", "load_truth", "nominal_truth", "save_truth"]


def _nominal_joint(joint: JointDefinition) -> JointTruth:
    servo = FIGURES[joint.servo].scaled_to(joint.gear_ratio)
    return JointTruth(
        name=joint.name,
        torque_constant=servo.torque_constant,
        resistance=servo.resistance,
        armature=servo.armature,
        coulomb=servo.coulomb,
        viscous=servo.viscous,
        backlash=BACKLASH,
        position_gain=servo.position_gain,
        thermal_resistance=servo.thermal_resistance,
        thermal_capacitance=servo.thermal_capacitance,
    )


def nominal_truth(arm: ArmDefinition) -> ArmTruth:
    """The arm as published, see `servos`; with backlash, without Stribeck friction, mounting error or delay."""
    return ArmTruth(
        arm=arm.name,
        joints=tuple(_nominal_joint(joint) for joint in arm.joints),
        supply_voltage={joint.servo: joint.supply_voltage for joint in arm.joints},
        supply_resistance=CABLE_RESISTANCE,
    )


def draw_truth(arm: ArmDefinition, rng: np.random.Generator, ranges: Randomization = PUBLISHED_RANGES) -> ArmTruth:
    """One particular arm, drawn from `ranges` around the nominal one."""
    return ranges.draw(nominal_truth(arm), rng)


def check_truth(arm: ArmDefinition, truth: ArmTruth) -> None:
    """Check that `truth` describes an `arm`.

    Raises:
        ConfigError: its joints or servos are others.
    """
    names = tuple(joint.name for joint in truth.joints)
    if names != arm.joint_names:
        raise ConfigError(
            f"truth of {truth.arm}: its joints are {', '.join(names)}, those of {arm.name} are "
            f"{', '.join(arm.joint_names)}: list exactly those, in this order"
        )
    servos = sorted({joint.servo for joint in arm.joints})
    if sorted(truth.supply_voltage) != servos:
        raise ConfigError(
            f"truth of {truth.arm}: supply_voltage has {', '.join(sorted(truth.supply_voltage)) or 'nothing'}, "
            f"{arm.name} has servos {', '.join(servos)}: give one voltage for each"
        )


def load_truth(path: Path, arm: ArmDefinition) -> ArmTruth:
    """Read a truth from a YAML file.

    Raises:
        ConfigError: unknown or missing keys, values out of range, or not a truth of `arm`.
    """
    truth = load_settings(path, ArmTruth)
    check_truth(arm, truth)
    return truth


def save_truth(path: Path, truth: ArmTruth) -> None:
    """Write `truth` as YAML that `load_truth` reads back to an equal object."""
    path.write_text(dump_settings(truth), encoding="utf-8")
