"""`MujocoPlant`: motors, gears, links and surroundings behind emulated servos, in MuJoCo.

What MuJoCo integrates: the DC motors (native `dcmotor`: torque = kt (V - kt ω) / R), links, stops, gaps, contacts,
Coulomb and viscous friction. What is added here each step: the sagging supply, the Stribeck part of the friction and
the heat of the windings. An open bridge is a winding of infinite resistance: no current, so neither drive nor brake.
"""

import math

import mujoco
import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError, SimulationError
from robot_mbrl.contracts.plant import Bridge, PlantState
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.sim.apply import RESISTANCE
from robot_mbrl.sim.friction import Friction
from robot_mbrl.sim.heat import Heat
from robot_mbrl.sim.model import build_model
from robot_mbrl.sim.names import PAYLOAD, backlash_joint
from robot_mbrl.sim.scene import Scene
from robot_mbrl.sim.supply import Supply
from robot_mbrl.sim.truth import ArmTruth

_LONGEST_STEP = 0.001

_OPEN_RESISTANCE = 1e30
"""Of a winding behind an open bridge [Ω]."""

_SETTLE_TIME = 20.0
_QUIET_TIME = 0.5
_QUIET_SPEED = 1e-3
"""A new plant is left to itself until nothing has moved faster than this [rad/s] for so long [s]."""

_SETTLE_CHECK = 0.05

_SPEED_SQUARED_LIMIT = 1e6
"""Sum of squared speeds [rad²/s²] above which the physics has diverged: the fastest servo reaches 40 rad/s."""


class MujocoPlant:
    """An arm's physics, one `step` a millisecond. Implements `contracts.plant.Plant`."""

    def __init__(
        self, arm: ArmDefinition, truth: ArmTruth, scene: Scene | None = None, position: FloatArray | None = None
    ) -> None:
        """Build the arm and put it down.

        Args:
            arm: the arm's definition.
            truth: its physical parameters.
            scene: what stands around it; None is a bare table.
            position: (n,) where the arm starts [rad]; None lets it come to rest from its park position, torque off.

        Raises:
            ConfigError: `truth` is another arm's, or `position` has another shape.
            SimulationError: the arm does not survive coming to rest.
        """
        self.model = build_model(arm, truth, scene, "voltage")
        if self.timestep > _LONGEST_STEP:
            raise ConfigError(f"{arm.name}: timestep = {self.timestep} s: an emulated servo needs {_LONGEST_STEP} s")
        # A diverged simulation is an error here, not a reason for MuJoCo to start over in silence.
        self.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self.data = mujoco.MjData(self.model)
        self._truth = truth
        self._names = arm.joint_names
        n = len(self._names)
        self._bind_views(n)
        self._friction = Friction(truth.joints, self._frictionloss, self._damping)
        self._heat = Heat(truth.joints, truth.ambient_temperature, self.timestep)
        self._supply = Supply(tuple(joint.servo for joint in arm.joints), truth.supply_voltage, truth.supply_resistance)
        self._state = PlantState(
            0.0, np.zeros(n), np.zeros(n), np.zeros(n), self._heat.temperature, self._supply.voltage
        )
        self._torque_constant = np.array([joint.torque_constant for joint in truth.joints])
        self._resistance = np.array([joint.resistance for joint in truth.joints])
        self._position_gain = np.array([joint.position_gain for joint in truth.joints])
        self._position_gain.flags.writeable = False
        self._duty, self._back_emf = np.zeros(n), np.zeros(n)
        self._pushes: list[tuple[float, int, float]] = []
        self._next_push_end = math.inf
        self._bridge = np.zeros(n, np.uint8)
        self._open_and_close()
        self._put_down(arm, position)

    def _bind_views(self, n: int) -> None:
        """Views of MuJoCo's arrays, taken once: each access through `data` costs as much as an operation on them."""
        data, model = self.data, self.model
        stride = 2 if self._truth.has_backlash else 1
        motors, gaps = slice(0, stride * n, stride), slice(1, stride * n, stride)
        self._motor_position, self._motor_velocity = data.qpos[motors], data.qvel[motors]
        self._gap_position, self._gap_velocity = np.zeros(n), np.zeros(n)
        if self._truth.has_backlash:
            self._gap_position, self._gap_velocity = data.qpos[gaps], data.qvel[gaps]
        self._velocity, self._applied = data.qvel[:], data.qfrc_applied[: stride * n]
        self._ctrl, self._force = data.ctrl, data.actuator_force
        self._frictionloss, self._damping = model.dof_frictionloss[motors], model.dof_damping[motors]
        self._winding_resistance = model.actuator_gainprm[:, RESISTANCE]

    def _put_down(self, arm: ArmDefinition, position: FloatArray | None) -> None:
        start = np.array([joint.park_position for joint in arm.joints]) if position is None else np.asarray(position)
        if start.shape != self._motor_position.shape:
            raise ConfigError(f"{arm.name}: start position of shape {start.shape}: give {len(self._names)} angles")
        self._motor_position[:] = start
        if position is None:
            self._settle()
        mujoco.mj_forward(self.model, self.data)
        self._measure()

    def _settle(self) -> None:
        steps = max(1, round(_SETTLE_CHECK / self.model.opt.timestep))
        interval = steps * self.model.opt.timestep
        quiet = 0.0
        for _ in range(int(_SETTLE_TIME / interval)):
            mujoco.mj_step(self.model, self.data, steps)
            self._check()
            quiet = quiet + interval if np.max(np.abs(self._velocity)) < _QUIET_SPEED else 0.0
            if quiet >= _QUIET_TIME:
                break
        self.data.qvel[:] = 0.0
        self.data.time = 0.0

    @property
    def timestep(self) -> float:
        """Step size [s]."""
        return float(self.model.opt.timestep)

    @property
    def state(self) -> PlantState:
        """The present state; the same object, updated in place by `step`."""
        return self._state

    @property
    def position_gain(self) -> FloatArray:
        """(n,) duty a rad of error and unit of the P register [duty/rad]."""
        return self._position_gain

    def step(self, duty: FloatArray, bridge: NDArray[np.uint8]) -> None:
        """Advance by one timestep; see `contracts.plant.Plant.step`.

        Raises:
            SimulationError: the physics diverged.
        """
        if bridge.tobytes() != self._bridge_bytes:
            self._bridge[:] = bridge
            self._open_and_close()
        if self.data.time >= self._next_push_end:
            self._apply_pushes()
        np.multiply(duty, self._driven, out=self._duty)
        np.minimum(self._duty, 1.0, out=self._duty)
        np.maximum(self._duty, -1.0, out=self._duty)
        if not np.dot(self._duty, self._duty) >= 0.0:
            raise SimulationError(f"{self._truth.arm}: duty {duty.tolist()} holds a NaN: give numbers in -1..1")
        np.multiply(self._torque_constant, self._motor_velocity, out=self._back_emf)
        voltage = self._supply.under_load(self._duty, self._back_emf, self._conductance)
        np.multiply(self._duty, voltage, out=self._ctrl)
        self._friction.update(self._motor_velocity)
        mujoco.mj_step(self.model, self.data)
        self._check()
        self._measure()
        self._heat.step(self._state.current)

    def _open_and_close(self) -> None:
        """Make the motors follow their bridges; a bridge without supply conducts nothing."""
        self._bridge_bytes = self._bridge.tobytes()
        driven = (self._bridge == Bridge.DRIVEN) & (self._supply.open_circuit > 0.0)
        self._driven = driven.astype(np.float64)
        self._conductance = self._driven / self._resistance
        self._winding_resistance[:] = np.where(driven, self._resistance, _OPEN_RESISTANCE)

    def _check(self) -> None:
        if not np.dot(self._velocity, self._velocity) < _SPEED_SQUARED_LIMIT:
            fastest = float(np.max(np.abs(self._velocity)))
            raise SimulationError(
                f"{self._truth.arm}: the physics diverged at {self.data.time:.3f} s, something moves at {fastest:g} "
                "rad/s: check the truth's masses, frictions and gains"
            )

    def _measure(self) -> None:
        state = self._state
        state.time = self.data.time
        np.add(self._motor_position, self._gap_position, out=state.position)
        np.add(self._motor_velocity, self._gap_velocity, out=state.velocity)
        np.divide(self._force, self._torque_constant, out=state.current)

    def attach_payload(self, mass: float) -> None:
        """Fix a point mass [kg] to the tool frame; 0 takes it off.

        Raises:
            ConfigError: the mass is negative or not finite.
        """
        if not (math.isfinite(mass) and mass >= 0.0):
            raise ConfigError(f"{self._truth.arm}: payload of {mass} kg: give a finite mass of at least 0")
        self.model.body_mass[self.model.body(PAYLOAD).id] = mass
        # The constants that depend on masses are computed at a pose of their own: in other data, not in the arm's.
        mujoco.mj_setConst(self.model, mujoco.MjData(self.model))

    def push(self, joint: int, torque: float, duration: float) -> None:
        """Apply an external torque [N·m] to a joint's output for `duration` [s]; pushes add up.

        Raises:
            ConfigError: there is no such joint, or a number is not finite or the duration negative.
        """
        self._check_joint(joint)
        if not (math.isfinite(torque) and math.isfinite(duration) and duration >= 0.0):
            raise ConfigError(
                f"{self._truth.arm}: push of {torque} N·m for {duration} s: give finite numbers, no negative duration"
            )
        self._pushes.append((self.data.time + duration, joint, torque))
        self._apply_pushes()

    def _apply_pushes(self) -> None:
        """Drop what has ended and sum up the rest. A torque on the output acts on motor and gap hinge alike."""
        self._pushes = [push for push in self._pushes if push[0] > self.data.time]
        self._next_push_end = min((push[0] for push in self._pushes), default=math.inf)
        torques = np.zeros(len(self._names))
        for _, joint, torque in self._pushes:
            torques[joint] += torque
        self._applied[:] = np.repeat(torques, len(self._applied) // len(torques))

    def set_friction_scale(self, joint: int, scale: float) -> None:
        """Multiply a joint's Coulomb, Stribeck and viscous friction by `scale`.

        Raises:
            ConfigError: there is no such joint, or the scale is negative or not finite.
        """
        self._check_joint(joint)
        if not (math.isfinite(scale) and scale >= 0.0):
            raise ConfigError(f"{self._names[joint]}: friction scale = {scale}: give a finite number of at least 0")
        self._friction.set_scale(joint, scale)

    def set_stuck(self, joint: int, *, stuck: bool) -> None:
        """Jam a joint's gear and output at their present angles, or free them.

        Raises:
            ConfigError: there is no such joint.
        """
        self._check_joint(joint)
        name = self._names[joint]
        hinges = (name, backlash_joint(name)) if self._truth.has_backlash else (name,)
        for hinge in hinges:
            lock = self.model.equality(hinge).id
            self.model.eq_data[lock, 0] = self.data.joint(hinge).qpos[0]
            self.data.eq_active[lock] = stuck

    def set_supply(self, voltage: float) -> None:
        """Set the plug's open-circuit voltage [V]; at 0 no bridge conducts. Converted rails follow when it is lower.

        Raises:
            ConfigError: it is negative or not finite.
        """
        self._supply.set_plug(voltage)
        self._open_and_close()

    def set_temperature(self, joint: int, temperature: float) -> None:
        """Set a servo's temperature [°C]; it relaxes from there by the thermal model.

        Raises:
            ConfigError: there is no such joint, or the temperature is not finite.
        """
        self._check_joint(joint)
        if not math.isfinite(temperature):
            raise ConfigError(f"{self._names[joint]}: temperature = {temperature} °C: give a finite number")
        self._state.temperature[joint] = temperature

    def _check_joint(self, joint: int) -> None:
        if not 0 <= joint < len(self._names):
            raise ConfigError(f"{self._truth.arm}: no joint {joint}: give 0 to {len(self._names) - 1}")
