"""The twin: an arm as a `Robot` in process, with the physics and the semantics of the real one."""

import numpy as np

from robot_mbrl.contracts.clock import Clock, ManualClock, to_ns
from robot_mbrl.contracts.errors import NotReady
from robot_mbrl.contracts.rest import await_rest
from robot_mbrl.contracts.types import FloatArray, HardwareError, Health, JointCommand, JointState, StopCategory
from robot_mbrl.drivers.arms import BRAKING_TIMESTEP, ArmDefinition, CommandedPath, check_command
from robot_mbrl.sim.parameters import ArmTruth
from robot_mbrl.sim.plant import MujocoPlant
from robot_mbrl.sim.scene import Scene
from robot_mbrl.sim.truth import nominal_truth
from robot_mbrl.sim.twin_servos import TwinServos

MEASURABLE_CURRENT = {"xl330-m077": 1.75, "xl330-m288": 1.75}
"""Largest current that these servos report [A] (e-Manual, current limit); their load is current over this."""

WITHOUT_CURRENT_SENSOR = ("xl430-w250",)


class Twin:
    """A `Robot` on simulated servos; see `contracts.robot.Robot` for what each method promises.

    Time is the clock's: each call first steps the physics up to its present time, so that nothing moves between calls
    unless the clock does. With a `MonotonicClock` the twin runs in real time. Any call may raise `SimulationError`,
    when the physics has diverged. A controlled stop takes time: it waits on the clock for as long as the braking lasts,
    and so advances a `ManualClock`.
    """

    def __init__(
        self,
        arm: ArmDefinition,
        truth: ArmTruth | None = None,
        clock: Clock | None = None,
        *,
        scene: Scene | None = None,
        position: FloatArray | None = None,
        quantise: bool = True,
    ) -> None:
        """Build the arm, at rest, its torque off.

        Args:
            arm: the arm's definition.
            truth: physical parameters; None for the published ones.
            clock: what the physics follows; None for a `ManualClock` at 0, which runs the twin in lockstep with
                whoever advances `twin.clock`.
            scene: what stands around the arm; None is a bare table.
            position: (n,) where the arm starts [rad]; None lets it come to rest from its park position.
            quantise: whether positions and goals are whole encoder ticks.

        Raises:
            ConfigError: `truth` is another arm's, or `position` has another shape.
            SimulationError: the arm does not survive coming to rest.
        """
        truth = nominal_truth(arm) if truth is None else truth
        plant = MujocoPlant(arm, truth, scene, position)
        self._arm = arm
        self._servos = TwinServos(arm, truth, plant, ManualClock() if clock is None else clock, quantise=quantise)
        self._path = CommandedPath(arm)
        kinds = [joint.servo for joint in self._arm.joints]
        self._current_scale = np.array([MEASURABLE_CURRENT.get(kind, np.nan) for kind in kinds])
        self._measures_current = np.array([kind not in WITHOUT_CURRENT_SENSOR for kind in kinds])
        self._connected = self._stopped = False
        self._health_ns = -1

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints."""
        return self._arm.joint_names

    @property
    def servos(self) -> TwinServos:
        """The servos, and the plant behind them: for payloads, pushes and what else only a simulation can do."""
        return self._servos

    @property
    def clock(self) -> Clock:
        """What the physics follows."""
        return self._servos.clock

    @property
    def has_torque(self) -> bool:
        """Whether the motors are driven."""
        return self._servos.torque

    @property
    def goal_position(self) -> FloatArray:
        """(n,) the goals that the servos hold [rad], as commanded: the servos round them. See `Robot.goal_position`."""
        return self._path.goal.copy()

    def true_position(self) -> FloatArray:
        """(n,) where the joints are at the clock's present time [rad], not by way of the encoders."""
        self._servos.catch_up()
        return self._servos.plant.state.position.copy()

    def connect(self) -> None:
        """Take hold of the servos; see `Robot.connect`."""
        self._servos.catch_up()
        if not self._servos.torque:
            self._servos.goal = self._servos.position
        self._path.seed(self._servos.goal, self.clock.now_ns())
        self._connected = True

    def set_torque(self, *, enabled: bool) -> None:
        """Switch the torque of all joints; see `Robot.set_torque`.

        Raises:
            NotReady: not connected, or stopped and not reset.
        """
        self._require_connection()
        if enabled and self._stopped:
            raise NotReady(f"{self._arm.name} is stopped: call reset() before its torque goes on")
        self._servos.switch(torque=enabled)
        if enabled:
            self._path.seed(self._servos.goal, self.clock.now_ns())

    def read(self) -> JointState:
        """Return the joint state at the clock's present time; see `Robot.read`."""
        self._require_connection()
        self._servos.catch_up()
        self._health_ns = self.clock.now_ns()
        state = self._servos.plant.state
        current_share = np.clip(state.current / self._current_scale, -1.0, 1.0)
        return JointState(
            stamp_ns=self._health_ns,
            position=self._servos.position,
            velocity=state.velocity.copy(),
            load=np.where(np.isnan(self._current_scale), self._servos.duty, current_share),
        )

    def health(self) -> Health:
        """Return temperature, voltage, current and hardware errors as at the last `read`'s rota; see `Robot.health`."""
        n = len(self._arm.joints)
        if self._health_ns < 0:
            unknown = np.full(n, np.nan)
            return Health(np.full(n, -1, np.int64), unknown, unknown.copy(), unknown.copy(), (HardwareError.NONE,) * n)
        state = self._servos.plant.state
        return Health(
            stamp_ns=np.full(n, self._health_ns, np.int64),
            temperature=state.temperature.copy(),
            voltage=state.voltage.copy(),
            current=np.where(self._measures_current, state.current, np.nan),
            hardware_error=tuple(self._hardware_error(index) for index in range(n)),
        )

    def write(self, command: JointCommand) -> None:
        """Give the servos goals; see `Robot.write`."""
        self._require_connection()
        if self._stopped:
            raise NotReady(f"{self._arm.name} is stopped: call reset() before commanding it")
        if not self._servos.torque:
            raise NotReady(f"{self._arm.name} has no torque: call set_torque(enabled=True) before commanding it")
        check_command(self._arm, command)
        self._path.advance(command.position, self.clock.now_ns())
        self._servos.set_goal(command.position)

    def stop(self, category: StopCategory = StopCategory.HOLD) -> None:
        """Brake along the commanded path, then hold or let go; category 0 lets go at once. See `Robot.stop`.

        Raises:
            NotReady: not connected.
        """
        self._require_connection()
        if not self._stopped and self._servos.torque and category != StopCategory.TORQUE_OFF:
            self._brake()
            if category == StopCategory.RAMP_OFF:
                await_rest(self.clock, self._present_position, BRAKING_TIMESTEP)
        self._stopped = True
        if category != StopCategory.HOLD:
            self._servos.switch(torque=False)

    def reset(self) -> None:
        """Leave the stopped state; see `Robot.reset`.

        Raises:
            NotReady: not connected.
        """
        self._require_connection()
        self._stopped = False

    def close(self) -> None:
        """Let go of the servos, which keep torque and goals; see `Robot.close`."""
        self._connected = False

    def _brake(self) -> None:
        deadline = self.clock.now_ns()
        for goal in self._path.braking(deadline):
            self._servos.set_goal(goal)
            deadline += to_ns(BRAKING_TIMESTEP)
            self.clock.sleep_until_ns(deadline)
            self._path.seed(goal, deadline)
        self._servos.catch_up()

    def _present_position(self) -> FloatArray:
        self._servos.catch_up()
        return self._servos.position

    def _hardware_error(self, index: int) -> HardwareError:
        joint, state = self._arm.joints[index], self._servos.plant.state
        error = HardwareError.NONE
        if state.temperature[index] > self._arm.temperature_limit:
            error |= HardwareError.OVERHEAT
        if not joint.voltage_limits[0] <= state.voltage[index] <= joint.voltage_limits[1]:
            error |= HardwareError.VOLTAGE
        return error

    def _require_connection(self) -> None:
        if not self._connected:
            raise NotReady(f"the twin of {self._arm.name} is not connected: call connect() first")
