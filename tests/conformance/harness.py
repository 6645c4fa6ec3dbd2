"""What the conformance suite needs of a robot under test."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from robot_mbrl.contracts.robot import Robot
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition


class Harness(Protocol):
    """A robot that was just built, resting with its torque off, and a way to look at the truth behind it.

    A harness for a driver of your own wraps your hardware, or your simulation of it.
    """

    @property
    def arm(self) -> ArmDefinition:
        """Definition of the arm under test."""

    @property
    def robot(self) -> Robot:
        """The robot, not connected yet."""

    @property
    def raised(self) -> FloatArray | None:
        """(n,) a pose that the arm falls out of when it is let go [rad]; None for an arm that gravity leaves alone."""

    def another(self) -> Robot:
        """A second robot object on the same arm, for after the first was closed; not connected yet."""

    def true_position(self) -> FloatArray:
        """(n,) where the joints really are [rad], not by way of the robot."""

    def wait(self, seconds: float) -> None:
        """Let time pass for the arm."""


HarnessFactory = Callable[[], AbstractContextManager[Harness]]
"""Called without arguments, gives a context that ends with the arm gone."""
