"""A plant small enough to compute by hand, and arms on it."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from robot_mbrl.contracts.plant import Bridge, PlantState
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.drivers.virtual.arm import VirtualArm
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
        self._voltages = np.array(voltages)
        self.state = PlantState(0.0, np.full(n, position), np.zeros(n), np.zeros(n), np.full(n, 30.0), np.array(voltages))

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


def build(definition: ArmDefinition, timing: LineTiming, position: float = 0.0) -> VirtualArm:
    """An emulated arm on a `PointPlant` whose joints stand at `position` [rad]."""
    plant = PointPlant(tuple(joint.supply_voltage for joint in definition.joints), position)
    return VirtualArm(definition, plant, timing=timing, rng=random.Random(0))


@pytest.fixture
def make_arm() -> Callable[..., VirtualArm]:
    """`make_arm(name, timing, position)`."""

    def make(name: str, timing: LineTiming | None = None, position: float = 0.0) -> VirtualArm:
        return build(load_arm(name), timing or LineTiming(), position)

    return make
