"""The person at the arm, as a procedure sees them."""

from collections.abc import Callable, Sequence
from typing import Protocol


class Operator(Protocol):
    """Asks, tells, and waits while hands move the arm.

    `sample` is called again and again while the hands are at work; it reads the servos and returns what is to be
    shown, one row of texts a joint.
    """

    def tell(self, text: str) -> None:
        """Say one line."""
        ...

    def confirm(self, question: str) -> bool:
        """Ask for a yes or a no."""
        ...

    def wait(self, request: str) -> None:
        """Ask for something to be done and return when it is."""
        ...

    def hold_middle(self, sample: Callable[[], "Reading"]) -> None:
        """Ask for every joint to be put to the middle of its range, and return while it is held there."""
        ...

    def sweep(self, joint: str, sample: Callable[[], "Reading"]) -> None:
        """Ask for one joint to be moved from stop to stop, and return when it has been."""
        ...


Reading = Sequence[tuple[str, ...]]
"""What to show while hands are at work: rows of joint, lowest, present and highest tick."""
