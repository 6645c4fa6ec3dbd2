"""An operator of whom the flight's log knows what he was told."""

from collections.abc import Callable
from typing import Protocol

from robot_mbrl.contracts.frame import Record


class Operator(Protocol):
    """The person in front of the arm, or whatever stands in; a screen that is gone raises nothing."""

    @property
    def present(self) -> bool:
        """Whether there is somebody who can reset the arm after a stop."""
        ...

    def tell(self, line: str) -> None:
        """Say one line."""
        ...

    def show(self, frame: Record) -> None:
        """Show where the arm stands."""
        ...

    def pressed(self) -> str:
        """Keys that were pressed since the last call."""
        ...


class NotedOperator:
    """An `Operator` behind whose back everything is noted."""

    def __init__(self, operator: Operator, note: Callable[[str], None]) -> None:
        """Pass everything on to `operator`, and what he is told to `note` too."""
        self._operator, self._note = operator, note

    @property
    def present(self) -> bool:
        """See `Operator`."""
        return self._operator.present

    def tell(self, line: str) -> None:
        """See `Operator`."""
        self._note(line)
        self._operator.tell(line)

    def show(self, frame: Record) -> None:
        """See `Operator`."""
        self._operator.show(frame)

    def pressed(self) -> str:
        """See `Operator`."""
        return self._operator.pressed()
