"""A plant small enough to compute by hand, and a bench to talk to emulated servos on, byte by byte."""

import random

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.plant import Bridge, PlantState
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.drivers.virtual.arm import VirtualArm
from robot_mbrl.drivers.virtual.servo import EmulatedServo
from robot_mbrl.drivers.virtual.timing import LineTiming


class PointPlant:
    """Each joint a motor of its own: `a = 100 duty - 10 v - gravity`, semi-implicit Euler at 1 ms.

    An open bridge leaves only gravity; current is 2 A times the duty.
    """

    def __init__(self, voltages: tuple[float, ...], position: float = 0.0) -> None:
        n = len(voltages)
        self.timestep = 0.001
        self.gravity = 0.0
        self.position_gain: FloatArray = np.full(n, 0.2)
        self.payload = 0.0
        self.friction = np.ones(n)
        self.stuck = np.zeros(n, dtype=bool)
        self.pushes: list[tuple[int, float, float]] = []
        self.state = PlantState(
            0.0, np.full(n, position), np.zeros(n), np.zeros(n), np.full(n, 30.0), np.array(voltages)
        )

    def step(self, duty: FloatArray, bridge: NDArray[np.uint8]) -> None:
        state = self.state
        driven = bridge == Bridge.DRIVEN
        acceleration = np.where(driven, 100.0 * duty - 10.0 * state.velocity, 0.0) - self.gravity
        state.velocity[:] = np.where(self.stuck, 0.0, state.velocity + self.timestep * acceleration)
        state.position[:] = state.position + self.timestep * state.velocity
        state.current[:] = np.where(driven, 2.0 * duty, 0.0)
        state.time += self.timestep

    def attach_payload(self, mass: float) -> None:
        self.payload = mass

    def push(self, joint: int, torque: float, duration: float) -> None:
        self.pushes.append((joint, torque, duration))

    def set_friction_scale(self, joint: int, scale: float) -> None:
        self.friction[joint] = scale

    def set_stuck(self, joint: int, *, stuck: bool) -> None:
        self.stuck[joint] = stuck

    def set_supply(self, voltage: float) -> None:
        self.state.voltage[:] = voltage

    def set_temperature(self, joint: int, temperature: float) -> None:
        self.state.temperature[joint] = temperature


class Workbench:
    """An emulated arm on a `PointPlant`, with a host's end of the line and a clock that moves only when told to.

    Attributes:
        arm: the arm.
        plant: its physics.
        now_ns: simulated time [ns].
    """

    def __init__(
        self,
        name: str,
        *,
        timing: LineTiming | None = None,
        position: float = 0.0,
        servos: int | None = None,
        factory: bool = False,
    ) -> None:
        """Put the first `servos` joints of the arm `name` on the bench, standing at `position` [rad]."""
        definition = load_arm(name)
        definition = definition.model_copy(update={"joints": definition.joints[:servos]})
        self.plant = PointPlant(tuple(joint.supply_voltage for joint in definition.joints), position)
        self.arm = VirtualArm(
            definition, self.plant, timing=timing or LineTiming(turnaround=0.0), factory=factory, rng=random.Random(0)
        )
        self.baud = definition.baud
        self.now_ns = 0
        self._next_step_ns = to_ns(self.plant.timestep)

    def servo(self, index: int = 0) -> EmulatedServo:
        """One of the servos."""
        return self.arm.servos[index]

    def run(self, seconds: float) -> None:
        """Let the arm live for `seconds` [s]."""
        self._advance(self.now_ns + to_ns(seconds))

    def send(self, data: bytes) -> None:
        """Hand bytes to the line."""
        self.arm.bus.receive(data, self.baud, self.now_ns)

    def ask(self, data: bytes) -> bytes:
        """Hand bytes to the line and wait until it is silent; what has come back."""
        return b"".join(part for _, part in self.timed(data))

    def timed(self, data: bytes) -> list[tuple[int, bytes]]:
        """As `ask`, each answer with the time [ns] from handing the bytes over to its arrival."""
        start_ns = self.now_ns
        self.send(data)
        arrivals: list[tuple[int, bytes]] = []
        while (event_ns := self.arm.bus.next_event_ns()) is not None:
            self._advance(event_ns)
            part = self.arm.bus.poll(self.now_ns)
            if part:
                arrivals.append((self.now_ns - start_ns, part))
        return arrivals

    def _advance(self, until_ns: int) -> None:
        while self._next_step_ns <= until_ns:
            self.arm.step()
            self._next_step_ns += to_ns(self.plant.timestep)
        self.now_ns = max(self.now_ns, until_ns)
