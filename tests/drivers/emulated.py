"""An emulated arm in lockstep with the real driver on it, for tests: deterministic, and faster than real time."""

import random
from dataclasses import dataclass

import numpy as np

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arm_checks import install_calibration
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.drivers.bus import ServoBus, bus_protocol
from robot_mbrl.drivers.calibration import ArmCalibration, nominal_calibration
from robot_mbrl.drivers.serial_arm import SerialArm
from robot_mbrl.drivers.virtual.arm import VirtualArm
from robot_mbrl.drivers.virtual.lockstep import LockstepWire
from robot_mbrl.drivers.virtual.timing import LineTiming
from robot_mbrl.sim.plant import MujocoPlant
from robot_mbrl.sim.truth import nominal_truth


@dataclass
class EmulatedArm:
    """All parts of an emulated arm and the driver on it."""

    arm: ArmDefinition
    calibration: ArmCalibration
    plant: MujocoPlant
    virtual: VirtualArm
    wire: LockstepWire
    bus: ServoBus
    robot: SerialArm

    def wait(self, seconds: float) -> None:
        """Let the arm live for `seconds` [s]."""
        self.wire.sleep_until_ns(self.wire.now_ns() + to_ns(seconds))

    def true_position(self) -> FloatArray:
        """(n,) shaft angles in the physics [rad]."""
        return self.plant.state.position.copy()

    def torque(self) -> list[int]:
        """The torque switch of each servo, as its memory holds it."""
        return [servo.get("torque_enable") for servo in self.virtual.servos]

    def new_robot(self) -> SerialArm:
        """A driver that was just started on the same arm."""
        self.wire.open()
        self.bus = make_bus(self.wire, self.arm)
        self.robot = SerialArm(self.arm, self.bus, self.calibration, self.wire, watchdog=0.2)
        return self.robot


def make_bus(wire: LockstepWire, arm: ArmDefinition, settings: BusSettings | None = None) -> ServoBus:
    """A bus on the wire, which is its clock too."""
    return ServoBus(wire, bus_protocol(arm.protocol), settings or BusSettings(), wire)


def mirrored(name: str) -> ArmDefinition:
    """An arm whose servos are all mounted the other way round: ticks fall where the joint's angle rises."""
    arm = load_arm(name)
    joints = tuple(joint.model_copy(update={"sign": -joint.sign}) for joint in arm.joints)
    return arm.model_copy(update={"joints": joints})


def emulated_arm(arm: str | ArmDefinition, position: FloatArray | None = None) -> EmulatedArm:
    """A calibrated arm at rest with its torque off, by its name or definition; `position` as in `MujocoPlant`."""
    if isinstance(arm, str):
        arm = load_arm(arm)
    plant = MujocoPlant(arm, nominal_truth(arm), position=position)
    virtual = VirtualArm(arm, plant, timing=LineTiming(), rng=random.Random(0))
    wire = LockstepWire(virtual)
    bus = make_bus(wire, arm)
    calibration = nominal_calibration(arm)
    install_calibration(bus, arm, calibration)
    robot = SerialArm(arm, bus, calibration, wire, watchdog=0.2)
    return EmulatedArm(arm, calibration, plant, virtual, wire, bus, robot)


def within_limits(arm: ArmDefinition, position: FloatArray) -> FloatArray:
    """`position` as a goal that the arm's limits allow."""
    limits = np.array([joint.position_limits for joint in arm.joints])
    return np.clip(position, limits[:, 0], limits[:, 1])
