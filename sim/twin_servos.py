"""The servos of the twin: the firmware's position loop on the plant, driven by a clock."""

from collections import deque

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS, Clock
from robot_mbrl.contracts.plant import Bridge, Plant
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import RAD_PER_TICK, ArmDefinition
from robot_mbrl.sim.apply import servo_loop
from robot_mbrl.sim.truth import ArmTruth


class TwinServos:
    """n servos that hold goals, and the arm that they move.

    Attributes:
        arm: definition of the arm.
        clock: what the physics follows.
        plant: motors, gears, links and surroundings, for payloads, pushes and the like.
        torque: whether the motors are driven.
        goal: (n,) goals that the servos hold [rad].
    """

    def __init__(self, arm: ArmDefinition, truth: ArmTruth, plant: Plant, clock: Clock, *, quantise: bool) -> None:
        """Put servos on `plant`, with their torque off.

        Args:
            arm: the arm's definition; its registers set the position loop's gains.
            truth: the plant's parameters, for the delay of commands.
            plant: the physics, at rest.
            clock: what the physics follows; its present time is the plant's present state.
            quantise: whether positions and goals are whole ticks of the encoder.
        """
        self.arm, self.clock, self.plant = arm, clock, plant
        self.torque = False
        self._tick = RAD_PER_TICK if quantise else 0.0
        loops = [servo_loop(joint) for joint in arm.joints]
        self._stiffness = plant.position_gain * np.array([loop.proportional for loop in loops])
        self._integral_gain = np.array([loop.integral for loop in loops])
        self._derivative_gain = np.array([loop.derivative for loop in loops])
        self._duty_limit = np.array([loop.duty_limit for loop in loops])
        self._delay = np.array([joint.command_delay for joint in truth.joints])
        n = len(arm.joints)
        self.goal = self.position
        self._effective_goal = self.goal
        self._pending: deque[tuple[float, FloatArray]] = deque()
        self._integral, self._duty = np.zeros(n), np.zeros(n)
        self._open, self._driven = np.full(n, Bridge.OPEN, np.uint8), np.full(n, Bridge.DRIVEN, np.uint8)
        self._start_ns, self._steps = clock.now_ns(), 0

    @property
    def position(self) -> FloatArray:
        """(n,) what the encoders show for the plant's present state [rad]."""
        return self._on_ticks(self.plant.state.position)

    @property
    def duty(self) -> FloatArray:
        """(n,) of the motors, -1..1; 0 while the torque is off."""
        return self._duty

    def switch(self, *, torque: bool) -> None:
        """Drive the motors or let them go. Goals become the present positions when they are driven anew."""
        self.catch_up()
        if torque and not self.torque:
            self.goal = self._effective_goal = self.position
            self._pending.clear()
            self._integral[:] = 0.0
        self.torque = torque
        self._duty = np.zeros_like(self._duty)

    def set_goal(self, goal: FloatArray) -> None:
        """Give the servos goals (n,) [rad]; each takes effect after its servo's delay."""
        self.catch_up()
        self.goal = self._on_ticks(goal)
        self._pending.append((self.plant.state.time, self.goal))

    def catch_up(self) -> None:
        """Step the physics up to the clock.

        Raises:
            SimulationError: the physics diverged.
        """
        elapsed = (self.clock.now_ns() - self._start_ns) / NANOSECONDS
        due = int(elapsed / self.plant.timestep + 1e-6)
        while self._steps < due:
            self._step()
            self._steps += 1

    def _step(self) -> None:
        if not self.torque:
            self.plant.step(self._duty, self._open)
            return
        if self._pending:
            self._take_goals()
        error = self._effective_goal - self.position
        duty = self._stiffness * error - self._derivative_gain * self.plant.state.velocity
        duty += self._integral_gain * self._integral
        self._duty = np.minimum(np.maximum(duty, -self._duty_limit), self._duty_limit)
        # The integral stands still while the duty is at its limit, or it would wind up.
        self._integral += np.where(duty == self._duty, error * self.plant.timestep, 0.0)
        self.plant.step(self._duty, self._driven)

    def _take_goals(self) -> None:
        """Let goals take effect whose delay has passed, joint by joint."""
        now = self.plant.state.time
        for stamp, goal in self._pending:
            self._effective_goal = np.where(now - stamp >= self._delay - 1e-9, goal, self._effective_goal)
        while self._pending and now - self._pending[0][0] >= self._delay.max() - 1e-9:
            self._pending.popleft()

    def _on_ticks(self, position: FloatArray) -> FloatArray:
        return np.rint(position / self._tick) * self._tick if self._tick else np.array(position)
