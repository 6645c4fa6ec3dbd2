"""An SO-101 without a table, most of its joints jammed, so that one motor's formulas hold."""

import numpy as np

from robot_mbrl.contracts.plant import Bridge, Plant
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.sim.plant import MujocoPlant
from robot_mbrl.sim.scene import Scene
from robot_mbrl.sim.truth import ArmTruth, nominal_truth

SO101 = load_arm("so101_follower")
N = len(SO101.joints)
SHOULDER_LIFT, ROLL = 1, 4

KT, R, V = 1.212, 2.68, 7.4
ARMATURE, COULOMB, VISCOUS = 0.0284, 0.052, 0.059


def truth_with(arm_changes: dict[str, float] | None = None, **joint_changes: float) -> ArmTruth:
    """The nominal SO-101 with rigid gears, a stiff supply and no gravity, but for the given changes."""
    changes = {"gravity": 0.0, "supply_resistance": 0.0, **(arm_changes or {})}
    truth = nominal_truth(SO101).without_backlash()
    joints = tuple(joint.model_copy(update=joint_changes) for joint in truth.joints)
    return truth.model_copy(update={**changes, "joints": joints})


def plant_with(
    truth: ArmTruth, position: tuple[float, ...] = (0.0,) * N, free: tuple[int, ...] = (ROLL,)
) -> MujocoPlant:
    """A plant in empty space whose joints are jammed but for the `free` ones."""
    plant = MujocoPlant(SO101, truth, Scene(table=False), np.array(position))
    for joint in set(range(N)) - set(free):
        plant.set_stuck(joint, stuck=True)
    return plant


def run(plant: Plant, seconds: float, duty: dict[int, float] | None = None, bridge: Bridge | None = None) -> None:
    """Drive the joints in `duty`, with all other bridges open, or all of them in state `bridge`."""
    duties, bridges = np.zeros(N), np.full(N, bridge or Bridge.OPEN, np.uint8)
    for joint, value in (duty or {}).items():
        duties[joint], bridges[joint] = value, Bridge.DRIVEN
    for _ in range(round(seconds / plant.timestep)):
        plant.step(duties, bridges)


def hold(plant: MujocoPlant, seconds: float, joint: int, goal: float, p_gain: float) -> None:
    """A bare P loop at 1 kHz, as the servo's firmware runs it."""
    duties, bridges = np.zeros(N), np.zeros(N, np.uint8)
    bridges[joint] = Bridge.DRIVEN
    for _ in range(round(seconds / plant.timestep)):
        duties[joint] = p_gain * plant.position_gain[joint] * (goal - plant.state.position[joint])
        plant.step(duties, bridges)
