"""The `ArmGeometry` protocol: what the safety monitor may ask of an arm's shape. `sim` has it from the arm's model."""

from typing import NamedTuple, Protocol

from robot_mbrl.contracts.types import FloatArray


class Clearance(NamedTuple):
    """The nearest pair of bodies that must not touch.

    Attributes:
        distance: between their surfaces [m], negative when they overlap; infinity when nothing is near.
        pair: their names, such as `gripper - table`.
    """

    distance: float
    pair: str


class ArmGeometry(Protocol):
    """Shape of an arm and of what it stands on. No state: the same angles give the same answer, to the bit."""

    def tool_position(self, position: FloatArray) -> FloatArray:
        """(3,) origin of the tool frame [m], arm base frame, at joint angles `position` (n,) [rad]."""

    def clearance(self, position: FloatArray) -> Clearance:
        """Smallest distance between links that do not touch by design, and between links and table, at `position`."""
