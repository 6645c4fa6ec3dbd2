"""The emulated arm: servos of an arm definition, on one bus, in front of a plant that is passed in."""

import random
from collections.abc import Sequence

import numpy as np

from robot_mbrl.contracts.plant import Plant
from robot_mbrl.drivers.arms import ArmDefinition, JointDefinition
from robot_mbrl.drivers.control_tables import control_table
from robot_mbrl.drivers.virtual.bus import Dispatch, VirtualBus
from robot_mbrl.drivers.virtual.dynamixel_dispatch import DynamixelDispatch
from robot_mbrl.drivers.virtual.dynamixel_servo import DynamixelServo
from robot_mbrl.drivers.virtual.feetech_dispatch import FeetechDispatch
from robot_mbrl.drivers.virtual.feetech_servo import FeetechServo
from robot_mbrl.drivers.virtual.servo import EmulatedServo
from robot_mbrl.drivers.virtual.shaft import Shaft
from robot_mbrl.drivers.virtual.timing import LineTiming
from robot_mbrl.drivers.virtual.wire_faults import WireFaults


class VirtualArm:
    """Servos, bus and plant in one; time is what `step` and `bus.poll` are told.

    Attributes:
        definition: the arm.
        plant: its physics.
        servos: in the order of the joints.
        bus: the line that they are on.
        faults: faults of that line.
    """

    def __init__(
        self,
        definition: ArmDefinition,
        plant: Plant,
        *,
        timing: LineTiming,
        zero_offsets: Sequence[float] = (),
        command_delays: Sequence[float] = (),
        factory: bool = False,
        rng: random.Random,
    ) -> None:
        """Assemble the arm, powered and with the factory's settings but for IDs, baud rate and voltage limits.

        Args:
            definition: which servos, how mounted.
            plant: physics, joints in the same order.
            timing: pace of the line.
            zero_offsets: (n,) by how much each horn is mounted off the drawing [rad]; empty for none.
            command_delays: (n,) what each servo needs to act on a position goal [s]; empty for none.
            factory: leave IDs and baud rates as they come out of the box.
            rng: what random faults are drawn from.
        """
        self.definition = definition
        self.plant = plant
        offsets = tuple(zero_offsets) or (0.0,) * len(definition.joints)
        gains = plant.position_gain.tolist()
        self.servos = tuple(
            self._servo(joint, offset, gain)
            for joint, offset, gain in zip(definition.joints, offsets, gains, strict=True)
        )
        for servo, delay in zip(self.servos, command_delays or (0.0,) * len(self.servos), strict=True):
            servo.delay_commands(delay)
        self._prepare_servos(factory=factory)
        self.faults = WireFaults(definition.joint_names, rng)
        self.bus = VirtualBus(self.servos, self._dispatch(timing), timing, self.faults)
        self._duty = np.zeros(len(self.servos))
        self._bridge = np.zeros(len(self.servos), dtype=np.uint8)

    def step(self) -> None:
        """Advance firmware and physics by one timestep of the plant."""
        state = self.plant.state
        duty, bridge = self._duty, self._bridge
        senses = zip(
            self.servos,
            state.position.tolist(),
            state.velocity.tolist(),
            state.current.tolist(),
            state.temperature.tolist(),
            state.voltage.tolist(),
            strict=True,
        )
        for index, (servo, position, velocity, current, temperature, voltage) in enumerate(senses):
            servo.step(position, velocity, current, temperature, voltage)
            duty[index] = servo.duty
            bridge[index] = servo.bridge
        self.plant.step(duty, bridge)

    def _prepare_servos(self, *, factory: bool) -> None:
        """Power up with the servo type's supply range and, but for `factory`, the arm's IDs and baud rate."""
        state = self.plant.state
        for index, (joint, servo) in enumerate(zip(self.definition.joints, self.servos, strict=True)):
            servo.sense(float(state.position[index]), float(state.temperature[index]), float(state.voltage[index]))
            if not factory:
                servo.burn("id", joint.id)
                servo.burn_baud(self.definition.baud)
            low, high = joint.voltage_limits
            servo.burn("min_voltage_limit", round(low * 10.0))
            servo.burn("max_voltage_limit", round(high * 10.0))
            servo.power_on()
            servo.eeprom_dirty = False

    def _servo(self, joint: JointDefinition, offset: float, gain: float) -> EmulatedServo:
        table = control_table(joint.servo)
        shaft = Shaft.of(joint, offset)
        kind = FeetechServo if self.definition.protocol == "feetech" else DynamixelServo
        return kind(joint.name, table, shaft, gain, self.plant.timestep)

    def _dispatch(self, timing: LineTiming) -> Dispatch:
        return FeetechDispatch(timing) if self.definition.protocol == "feetech" else DynamixelDispatch(timing)
