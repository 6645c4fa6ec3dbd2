"""The project's own robots as harnesses: the twin, and the emulated arms in lockstep and over their serial ports."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from robot_mbrl.contracts.clock import ManualClock, MonotonicClock, to_ns
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.contracts.robot import Robot
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arm_checks import install_calibration
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.drivers.bus import open_bus
from robot_mbrl.drivers.calibration import nominal_calibration
from robot_mbrl.drivers.serial_arm import SerialArm
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess
from robot_mbrl.sim.twin import Twin
from tests.conformance.harness import Harness
from tests.drivers.emulated import EmulatedArm, emulated_arm

RAISED = np.array([0.0, -0.8, 0.8, 0.5, 0.0, 0.5])
"""A pose of both arms that gravity pulls them out of [rad]."""


class LockstepHarness:
    """The real driver on emulated servos, time by the bus."""

    def __init__(self, emulated: EmulatedArm) -> None:
        self._emulated = emulated
        self.arm: ArmDefinition = emulated.arm
        self.robot: Robot = emulated.robot

    @property
    def raised(self) -> FloatArray:
        """The arm reaches forward, above the table."""
        return RAISED

    def another(self) -> Robot:
        """A fresh driver on the same servos."""
        return self._emulated.new_robot()

    def true_position(self) -> FloatArray:
        """Shaft angles in the physics."""
        return self._emulated.true_position()

    def wait(self, seconds: float) -> None:
        """Let simulated time pass."""
        self._emulated.wait(seconds)


PATIENT = BusSettings(margin=0.25)
"""The laws are about behaviour: a machine that is busy with other tests may keep the emulated arm waiting."""


class SerialHarness:
    """The real driver on an emulated arm in a process of its own, over a pseudo-terminal, in real time."""

    def __init__(self, name: str, process: VirtualArmProcess) -> None:
        self.arm = load_arm(name)
        self._process = process
        self._clock = MonotonicClock()
        self._calibration = nominal_calibration(self.arm)
        bus = open_bus(process.port, self.arm.protocol, self.arm.baud, self._clock, PATIENT)
        install_calibration(bus, self.arm, self._calibration)
        bus.close()
        self.robot: Robot = self.another()

    @property
    def raised(self) -> FloatArray:
        """The arm reaches forward, above the table."""
        return RAISED

    def another(self) -> Robot:
        """A fresh driver on the same port."""
        bus = open_bus(self._process.port, self.arm.protocol, self.arm.baud, self._clock, PATIENT)
        return SerialArm(self.arm, bus, self._calibration, self._clock, watchdog=2.0)

    def true_position(self) -> FloatArray:
        """Shaft angles in the physics, over the control socket."""
        return np.array(self._process.control.truth().position)

    def wait(self, seconds: float) -> None:
        """Let real time pass."""
        self._clock.sleep_until_ns(self._clock.now_ns() + to_ns(seconds))


class TwinHarness:
    """The twin, stepped by a manual clock."""

    def __init__(self, arm: ArmDefinition) -> None:
        self.arm = arm
        self._clock = ManualClock()
        self._twin = Twin(self.arm, clock=self._clock)
        self.robot: Robot = self._twin

    @property
    def raised(self) -> FloatArray:
        """The arm reaches forward, above the table."""
        return RAISED

    def another(self) -> Robot:
        """The same twin: closing it leaves the arm as it is."""
        return self._twin

    def true_position(self) -> FloatArray:
        """Joint angles in the physics."""
        return self._twin.true_position()

    def wait(self, seconds: float) -> None:
        """Let simulated time pass."""
        self._clock.advance(seconds)


@contextmanager
def twin(arm: str | ArmDefinition) -> Iterator[Harness]:
    """The twin of an arm."""
    yield TwinHarness(load_arm(arm) if isinstance(arm, str) else arm)


@contextmanager
def lockstep(arm: str | ArmDefinition) -> Iterator[Harness]:
    """An emulated arm in lockstep."""
    yield LockstepHarness(emulated_arm(arm))


@contextmanager
def serial(name: str) -> Iterator[Harness]:
    """An emulated arm behind a serial port."""
    with tempfile.TemporaryDirectory() as folder, VirtualArmProcess(arm=name, link=Path(folder) / "port") as process:
        yield SerialHarness(name, process)
