"""The MuJoCo model of an arm: structure from its linkage, parameters from its truth.

Every joint is a motor-side hinge (rotor inertia, friction, motor) with the joint's own name. Where the gears have play,
a second hinge `<name>_backlash` follows it in the same body about the same axis, free within half the gap to either
side, so that its limits carry the torque. The servos' encoders sit on the output shaft: a joint's angle is the sum.

Dofs come in the order of the arm's joints, motor before gap; a free object's come last.
"""

from typing import Literal

import mujoco

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.sim.apply import apply_truth, servo_loop
from robot_mbrl.sim.linkages import linkage_of
from robot_mbrl.sim.links import Box, Capsule, Link, Linkage
from robot_mbrl.sim.names import CUBE, PAYLOAD, TABLE, TARGET_SITE, TOOL_SITE, backlash_joint
from robot_mbrl.sim.scene import Cube, Scene
from robot_mbrl.sim.truth import ArmTruth, check_truth

Actuation = Literal["voltage", "position"]
"""What `ctrl` is: volts at the motor's terminals, or goal angles [rad] for the servo's own position loop."""

# Contact classes as bit masks: links touch links and the surroundings, the surroundings touch each other.
_ARM_BIT, _WORLD_BIT = 1, 2

# Hard stops, gaps and static friction are given more stiffness than MuJoCo's defaults: with those a joint at rest
# under gravity creeps by 0.1 °/s, and a gap opens by a tenth of itself under load.
_STOP_SOLREF, _STOP_SOLIMP = (0.004, 1.0), (0.95, 0.99, 0.001, 0.5, 2.0)
_GAP_SOLREF, _GAP_SOLIMP = (0.004, 1.0), (0.99, 0.999, 0.0005, 0.5, 2.0)
_FRICTION_SOLREF, _FRICTION_SOLIMP = (0.004, 1.0), (0.999, 0.9999, 0.001, 0.5, 2.0)
_LOCK_SOLREF, _LOCK_SOLIMP = (0.004, 1.0), (0.99, 0.999, 0.001, 0.5, 2.0)

_DELAY_SAMPLES_MARGIN = 2

# The compiler wants a regular inertia matrix before `apply_truth` writes the real values.
_PLACEHOLDER_ARMATURE = 1.0


def build_model(
    arm: ArmDefinition, truth: ArmTruth, scene: Scene | None = None, actuation: Actuation = "voltage"
) -> mujoco.MjModel:
    """The compiled model of `arm` with the parameters of `truth`.

    Raises:
        ConfigError: `truth` is another arm's, the arm's model is unknown, or position actuation meets backlash.
    """
    check_truth(arm, truth)
    delay = max(joint.command_delay for joint in truth.joints)
    spec = build_spec(arm, scene, actuation, backlash=truth.has_backlash, longest_delay=delay)
    model = spec.compile()
    apply_truth(model, arm, truth)
    return model


def build_spec(
    arm: ArmDefinition,
    scene: Scene | None = None,
    actuation: Actuation = "voltage",
    *,
    backlash: bool = False,
    longest_delay: float = 0.0,
) -> mujoco.MjSpec:
    """The structure of `arm` in `scene`, to be compiled and given parameters by `apply_truth`.

    Args:
        arm: the arm's definition.
        scene: what stands around it; None is a bare table.
        actuation: what `ctrl` is.
        backlash: whether the joints have a second hinge for the gap.
        longest_delay: longest command delay that the model must hold in its history [s]; position actuation only.

    Raises:
        ConfigError: the arm's model is unknown, or position actuation meets backlash.
    """
    if backlash and actuation == "position":
        raise ConfigError(
            f"{arm.name}: position actuation closes the loop on the motor, not on the output shaft behind the "
            "backlash: take truth.without_backlash() or voltage actuation"
        )
    scene = scene or Scene()
    linkage = linkage_of(arm)
    spec = mujoco.MjSpec()
    spec.modelname = arm.name
    _set_options(spec, scene)
    _add_arm(spec, arm, linkage, backlash=backlash)
    for index in range(len(arm.joints)):
        _add_motor(spec, arm, index, actuation, longest_delay, scene.timestep)
    _add_surroundings(spec, scene)
    return spec


def _set_options(spec: mujoco.MjSpec, scene: Scene) -> None:
    spec.compiler.degree = False
    spec.option.timestep = scene.timestep
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0


def _add_arm(spec: mujoco.MjSpec, arm: ArmDefinition, linkage: Linkage, *, backlash: bool) -> None:
    body = _add_body(spec.worldbody, linkage.base)
    for link, joint in zip(linkage.links, arm.joints, strict=True):
        body = _add_body(body, link)
        _add_hinge(body, link, joint.name)
        names = [joint.name]
        if backlash:
            _add_gap(body, link, joint.name)
            _add_bearing(spec, joint.name)
            names.append(backlash_joint(joint.name))
        for name in names:
            _add_lock(spec, name)
    tool = spec.body(linkage.tool.link)
    tool.add_site(name=TOOL_SITE, pos=linkage.tool.position, quat=linkage.tool.orientation, size=[0.005, 0.005, 0.005])
    # A point mass of its own needs no shifting of principal axes when it is attached.
    zero = [0.0, 0.0, 0.0]
    tool.add_body(name=PAYLOAD, pos=linkage.tool.position, explicitinertial=True, ipos=zero, mass=0.0, inertia=zero)
    for first, second in linkage.never_touching:
        spec.add_exclude(bodyname1=first, bodyname2=second)


def _add_body(parent: mujoco.MjsBody, link: Link) -> mujoco.MjsBody:
    body = parent.add_body(
        name=link.name,
        pos=link.position,
        quat=link.orientation,
        explicitinertial=True,
        mass=link.mass,
        ipos=link.centre_of_mass,
        fullinertia=link.inertia,
    )
    for shape in link.shapes:
        _add_shape(body, shape)
    return body


def _add_shape(body: mujoco.MjsBody, shape: Box | Capsule) -> None:
    bits = {"contype": _ARM_BIT, "conaffinity": _ARM_BIT | _WORLD_BIT, "condim": 3}
    if isinstance(shape, Capsule):
        fromto = [*shape.start, *shape.end]
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_CAPSULE, size=[shape.radius, 0.0, 0.0], fromto=fromto, **bits)
        return
    if shape.pad:
        bits["condim"] = 4
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=shape.half, pos=shape.position, quat=shape.orientation, **bits)


def _add_hinge(body: mujoco.MjsBody, link: Link, name: str) -> None:
    body.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=link.axis,
        limited=True,
        range=link.stops,
        armature=_PLACEHOLDER_ARMATURE,
        solref_limit=_STOP_SOLREF,
        solimp_limit=_STOP_SOLIMP,
        solref_friction=_FRICTION_SOLREF,
        solimp_friction=_FRICTION_SOLIMP,
    )


def _add_gap(body: mujoco.MjsBody, link: Link, name: str) -> None:
    body.add_joint(
        name=backlash_joint(name),
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=link.axis,
        limited=True,
        range=(-1.0, 1.0),
        armature=_PLACEHOLDER_ARMATURE,
        solref_limit=_GAP_SOLREF,
        solimp_limit=_GAP_SOLIMP,
    )


def _add_bearing(spec: mujoco.MjSpec, name: str) -> None:
    """Friction of the output shaft against the housing: it acts on the sum of motor and gap angle."""
    bearing = spec.add_tendon(name=name, solref_friction=_FRICTION_SOLREF, solimp_friction=_FRICTION_SOLIMP)
    for hinge in (name, backlash_joint(name)):
        bearing.wrap_joint(hinge, 1.0)


def _add_lock(spec: mujoco.MjSpec, joint: str) -> None:
    """An equality that holds a joint at `eq_data[0]` while it is active: a jammed gear."""
    spec.add_equality(
        name=joint,
        type=mujoco.mjtEq.mjEQ_JOINT,
        objtype=mujoco.mjtObj.mjOBJ_JOINT,
        name1=joint,
        active=False,
        solref=_LOCK_SOLREF,
        solimp=_LOCK_SOLIMP,
    )


def _add_motor(
    spec: mujoco.MjSpec, arm: ArmDefinition, index: int, actuation: Actuation, longest_delay: float, timestep: float
) -> None:
    joint = arm.joints[index]
    motor = spec.add_actuator(name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    unity = {"motorconst": [1.0, 0.0], "resistance": 1.0}
    if actuation == "voltage":
        motor.set_to_dcmotor(**unity, ctrlspec=int(mujoco.mjtCtrlInput.mjINPUT_VOLTAGE))
        return
    loop = servo_loop(joint)
    # P, I, D, slew rate (none), largest integral, largest voltage. The integral alone may reach the full duty.
    integral, windup = (1.0, loop.duty_limit / loop.integral) if loop.integral > 0.0 else (0.0, 0.0)
    controller = [1.0, integral, 0.0, 0.0, windup, 1.0]
    motor.set_to_dcmotor(**unity, controller=controller, ctrlspec=int(mujoco.mjtCtrlInput.mjINPUT_POS))
    motor.ctrllimited = True
    motor.ctrlrange = joint.position_limits
    if longest_delay > 0.0:
        motor.delay = longest_delay
        motor.nsample = int(longest_delay / timestep) + _DELAY_SAMPLES_MARGIN


def _add_surroundings(spec: mujoco.MjSpec, scene: Scene) -> None:
    world = spec.worldbody
    bits = {"contype": _WORLD_BIT, "conaffinity": _ARM_BIT | _WORLD_BIT}
    if scene.table:
        world.add_geom(name=TABLE, type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1.0, 1.0, 0.05], **bits)
    if scene.cube is not None:
        _add_cube(spec, scene.cube, bits)
    if scene.target is not None:
        world.add_site(name=TARGET_SITE, pos=scene.target, size=[0.01, 0.01, 0.01], rgba=[0.1, 0.8, 0.2, 0.6])


def _add_cube(spec: mujoco.MjSpec, cube: Cube, bits: dict[str, int]) -> None:
    body = spec.worldbody.add_body(name=CUBE, pos=cube.position)
    body.add_freejoint(name=CUBE)
    half = cube.edge / 2.0
    body.add_geom(
        name=CUBE, type=mujoco.mjtGeom.mjGEOM_BOX, size=[half, half, half], condim=4, rgba=[0.8, 0.2, 0.1, 1.0], **bits
    )
