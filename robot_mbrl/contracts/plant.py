"""The `Plant` protocol: physics behind emulated servos. `drivers` uses one, `sim` builds one, neither knows the other.

A plant ends where the copper ends: it takes the voltage at each motor's terminals and gives shaft angle, current,
temperature and supply. Everything that firmware does (position loop, limits, trips) is on the other side.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.types import FloatArray


class Bridge(IntEnum):
    """State of a motor's H-bridge."""

    OPEN = 0
    """No current can flow: only friction and gravity act (torque off)."""
    DRIVEN = 1
    """`duty` times the supply voltage lies at the terminals; at duty 0 the motor is shorted and brakes."""


@dataclass(slots=True)
class PlantState:
    """What sensors in the servos could see, arrays of shape (n,), overwritten by each `step`.

    Attributes:
        time: simulated time [s].
        position: angle of the output shaft, where the encoder sits [rad], model frame.
        velocity: its rate [rad/s].
        current: winding current [A], signed.
        temperature: of the housing, as the servo's sensor sees it [°C].
        voltage: supply voltage at each servo, sagging under load [V].
    """

    time: float
    position: FloatArray
    velocity: FloatArray
    current: FloatArray
    temperature: FloatArray
    voltage: FloatArray


class Plant(Protocol):
    """Motors, gears, links, table and objects. n joints in the order of the arm's definition."""

    @property
    def timestep(self) -> float:
        """Step size [s], at most 1 ms."""
        ...

    @property
    def state(self) -> PlantState:
        """The present state; the same object, updated in place by `step`."""
        ...

    @property
    def position_gain(self) -> FloatArray:
        """(n,) what one unit of the servo's P register makes of 1 rad of error [duty/rad], a property of the servo."""
        ...

    def step(self, duty: FloatArray, bridge: NDArray[np.uint8]) -> None:
        """Advance by one timestep.

        Args:
            duty: (n,) in -1..1, fraction of the supply voltage at the motor, positive turns the joint positive.
            bridge: (n,) of `Bridge`.

        Raises:
            SimulationError: the physics diverged.
        """
        ...

    def attach_payload(self, mass: float) -> None:
        """Fix a point mass [kg] to the tool frame; 0 takes it off."""
        ...

    def push(self, joint: int, torque: float, duration: float) -> None:
        """Apply an external torque [N·m] on a joint for `duration` [s] of simulated time."""
        ...

    def set_friction_scale(self, joint: int, scale: float) -> None:
        """Multiply a joint's Coulomb, Stribeck and viscous friction by `scale` (1 = as drawn)."""
        ...

    def set_stuck(self, joint: int, *, stuck: bool) -> None:
        """Jam a joint at its present angle, or free it."""
        ...

    def set_supply(self, voltage: float) -> None:
        """Set the open-circuit supply voltage [V]; 0 is a pulled plug."""
        ...

    def set_temperature(self, joint: int, temperature: float) -> None:
        """Set a servo's temperature [°C]; it relaxes from there by the thermal model."""
        ...
