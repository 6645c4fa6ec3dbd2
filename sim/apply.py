"""Writes a truth into a compiled model, in place: for a new model, and for each simulation of a batch."""

from dataclasses import dataclass

import mujoco

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import ArmDefinition, JointDefinition
from robot_mbrl.sim.linkages import linkage_of
from robot_mbrl.sim.links import Link
from robot_mbrl.sim.names import CUBE, PAYLOAD, backlash_joint
from robot_mbrl.sim.servos import FIGURES
from robot_mbrl.sim.truth import ArmTruth, JointTruth, check_truth

TRUTH_FIELDS = (
    "body_mass",
    "body_inertia",
    "body_subtreemass",
    "body_invweight0",
    "dof_armature",
    "dof_damping",
    "dof_frictionloss",
    "dof_invweight0",
    "dof_M0",
    "jnt_range",
    "geom_friction",
    "tendon_frictionloss",
    "tendon_invweight0",
    "actuator_gainprm",
    "actuator_delay",
    "actuator_acc0",
)
"""Arrays of the model that `apply_truth` writes; it also writes `opt.gravity` and `stat.meaninertia`."""

# Columns of actuator_gainprm of a dcmotor.
RESISTANCE, MOTOR_CONSTANT, KP, KI, KD, V_MAX = 0, 1, 4, 5, 6, 7

_GAP_INERTIA_SHARE = 0.0005
"""Inertia of output shaft and horn, as a share of the motor side's: it keeps a free gap well-conditioned."""

_GAP_DAMPING = 5e-5
"""Grease in the gap [N·m·s/rad]: little enough not to carry a link, enough to bring a loose jaw to rest in a second."""

_BEARING_FRICTION = 0.001
"""Friction of the output shaft's bearing [N·m], a fiftieth of the motor side's in an STS3215.

Without it a link that no gravity pulls to one side coasts to and fro in the gap and the position loop hunts after it.
"""


@dataclass(frozen=True, slots=True)
class ServoLoop:
    """Gains of a servo's position loop in its registers' units.

    Attributes:
        proportional: value of the P register.
        integral: duty a rad·s.
        derivative: duty a rad/s.
        duty_limit: largest duty that the servo applies.
    """

    proportional: int
    integral: float
    derivative: float
    duty_limit: float


def servo_loop(joint: JointDefinition) -> ServoLoop:
    """The loop as the definition's registers set it, the servo's factory values where they do not."""
    loop = FIGURES[joint.servo].loop
    p, i, d = (joint.registers.get(name, default) for name, default in zip(loop.names, loop.defaults, strict=True))
    limit = loop.duty_unit * joint.registers[loop.duty_limit] if loop.duty_limit in joint.registers else 1.0
    return ServoLoop(p, i * loop.integral_gain, d * loop.derivative_gain, limit)


def apply_truth(model: mujoco.MjModel, arm: ArmDefinition, truth: ArmTruth) -> None:
    """Write every parameter of `truth` into `model`, which `build_model` or `build_spec` made for `arm`.

    Raises:
        ConfigError: `truth` is another arm's, or needs joints or history that `model` was built without.
    """
    check_truth(arm, truth)
    _check_structure(model, truth)
    model.opt.gravity[2] = -truth.gravity
    _set_masses(model, arm, truth)
    model.geom_friction[:, 0] = truth.surface_friction
    for link, definition, joint in zip(linkage_of(arm).links, arm.joints, truth.joints, strict=True):
        _set_mechanics(model, link, joint)
        _set_motor(model, definition, joint, truth.supply_voltage[definition.servo])
    mujoco.mj_setConst(model, mujoco.MjData(model))


def _check_structure(model: mujoco.MjModel, truth: ArmTruth) -> None:
    gap = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, backlash_joint(truth.joints[0].name))
    if truth.has_backlash != (gap >= 0):
        has = "with" if gap >= 0 else "without"
        remedy = "build the model from a truth of the same kind, or take truth.without_backlash()"
        raise ConfigError(f"truth of {truth.arm}: the model was built {has} backlash, the truth is not: {remedy}")


def _set_masses(model: mujoco.MjModel, arm: ArmDefinition, truth: ArmTruth) -> None:
    linkage = linkage_of(arm)
    for link in (linkage.base, *linkage.links):
        _set_mass(model, link.name, link.mass * truth.link_mass_scale)
    model.body_mass[model.body(PAYLOAD).id] = truth.payload_mass
    if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, CUBE) >= 0:
        _set_mass(model, CUBE, truth.object_mass)


def _set_mass(model: mujoco.MjModel, body: str, mass: float) -> None:
    """Give `body` another mass and the inertia of the same shape at that mass."""
    index = model.body(body).id
    model.body_inertia[index] *= mass / model.body_mass[index]
    model.body_mass[index] = mass


def _set_mechanics(model: mujoco.MjModel, link: Link, joint: JointTruth) -> None:
    motor = model.joint(joint.name).dofadr[0]
    model.dof_armature[motor] = joint.armature
    model.dof_frictionloss[motor] = joint.coulomb
    model.dof_damping[motor] = joint.viscous
    # The stops are on the output side: the motor side ends half a gap before them.
    low, high = link.stops
    model.jnt_range[model.joint(joint.name).id] = low + joint.backlash / 2.0, high - joint.backlash / 2.0
    if joint.backlash > 0.0:
        gap = model.joint(backlash_joint(joint.name))
        model.jnt_range[gap.id] = -joint.backlash / 2.0, joint.backlash / 2.0
        model.dof_armature[gap.dofadr[0]] = joint.armature * _GAP_INERTIA_SHARE
        model.dof_damping[gap.dofadr[0]] = _GAP_DAMPING
        model.tendon_frictionloss[model.tendon(joint.name).id] = _BEARING_FRICTION


def _set_motor(model: mujoco.MjModel, definition: JointDefinition, joint: JointTruth, supply: float) -> None:
    motor = model.actuator(joint.name).id
    gain = model.actuator_gainprm[motor]
    gain[RESISTANCE] = joint.resistance
    gain[MOTOR_CONSTANT] = joint.torque_constant
    if model.actuator_ctrlspec[motor] != mujoco.mjtCtrlInput.mjINPUT_POS:
        return
    loop = servo_loop(definition)
    # MuJoCo's position controller asks for a torque and makes up for the back-EMF (its note on dcmotor). A servo's loop
    # sets the duty, and the back-EMF brakes: K/R of torque a volt, less K²/R a rad/s. Both saturate alike at V_MAX.
    per_volt = joint.torque_constant / joint.resistance
    gain[KP] = per_volt * supply * joint.position_gain * loop.proportional
    gain[KI] = per_volt * supply * loop.integral
    gain[KD] = per_volt * (supply * loop.derivative + joint.torque_constant)
    gain[V_MAX] = supply * loop.duty_limit
    longest = max(0, model.actuator_history[motor, 0] - 1) * model.opt.timestep
    if joint.command_delay > longest:
        raise ConfigError(
            f"truth of joint {joint.name}: command_delay = {joint.command_delay} s is above the {longest:g} s that the "
            "model can hold: build it with a longest_delay of as much"
        )
    model.actuator_delay[motor] = joint.command_delay
