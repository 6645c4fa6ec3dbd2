"""How a run ends: a controlled stop or a slow move to the park pose, and then the torque as the settings say."""

from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.safety.state_machine import LATCHED, Event

_MAY_PARK = frozenset({ControlState.ARMED, ControlState.RUNNING, ControlState.SLOWED})


class Departure:
    """Says, state by state, what comes next on the way out. Does nothing before `begin`."""

    def __init__(self, *, park: bool = False, release: bool = False) -> None:
        """Plan the end.

        Args:
            park: move to the park pose first, where the arm still can: not from a latched state.
            release: switch the torque off at the end, at rest. Never after a fault.
        """
        self._park, self._release = park, release
        self._parking = False
        self._stop: Event | None = None

    @property
    def begun(self) -> bool:
        """Whether the run is to end."""
        return self._stop is not None

    def begin(self, stop: Event) -> None:
        """End the run, by `stop` where there is nothing to park. A second time means at once: without parking."""
        if self.begun:
            self._park = self._parking = False
        self._stop = stop

    def next_event(self, state: ControlState, *, resting: bool, torque: bool) -> Event | None:
        """What leads on from `state`; None to wait, or when there is nothing left to do.

        Args:
            state: of the loop.
            resting: whether the goals rest.
            torque: whether the arm has torque.
        """
        if not self.begun or (state is ControlState.PARKING and self._parking):
            return None
        if self._park and state is ControlState.HOLDING:
            return Event.REQUEST_HOLD
        if self._park and state in _MAY_PARK:
            self._park, self._parking = False, True
            return Event.REQUEST_PARK
        if state is ControlState.ARMED and self._release:
            return Event.REQUEST_RELEASE if resting else None
        if state is ControlState.IDLE or state in LATCHED:
            return Event.REQUEST_RELEASE if resting and self._must_release(state, torque=torque) else None
        return self._stop

    def over(self, state: ControlState, *, resting: bool, torque: bool) -> bool:
        """Whether the run has ended."""
        ended = state is ControlState.IDLE or (state in LATCHED and resting)
        return self.begun and ended and not self._must_release(state, torque=torque)

    def _must_release(self, state: ControlState, *, torque: bool) -> bool:
        return self._release and torque and state is not ControlState.FAULT
