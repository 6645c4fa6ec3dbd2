"""The control process's state machine: a table of every state times every event, and nothing else.

Pure: no clock, no robot, no settings. The control loop turns what happened into events, and does what the transition
and the new state ask for:

    IDLE --arm--> ARMED --run--> RUNNING <--verdicts--> SLOWED, HOLDING
    ARMED, RUNNING, SLOWED --park--> PARKING --parked--> ARMED
    any --stop, emergency, expired action, stop verdict--> STOPPED     (latched)
    any --bus, servo, exception, missed ticks-->           FAULT       (latched)
    STOPPED, FAULT --checked reset--> IDLE

A reset leads to IDLE, never further: it changes no torque and commands nothing, so that leaving a latch and moving
again are three deliberate acts (reset, arm, run), and torque goes on at one place only. An unchecked reset or arming
cannot be expressed: the loop first asks `safety.start_pose` and then says `RESET_CHECKED`, `ARM_CHECKED` or
`START_REFUSED`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.types import StopCategory
from robot_mbrl.safety.events import REQUEST_EVENTS, STOP_CAUSES, VERDICT_EVENTS, Event

__all__ = [
    "DRIVES",
    "LATCHED",
    "REQUEST_EVENTS",
    "STOP_CAUSES",
    "TABLE",
    "VERDICT_EVENTS",
    "Drive",
    "Event",
    "StateMachine",
    "TorqueChange",
    "Transition",
]


class TorqueChange(IntEnum):
    """What a transition does to the torque."""

    KEEP = 0
    ENABLE = 1
    RELEASE = 2
    RELEASE_IN_CATEGORY_0 = 3
    """Off at once when the configured stop category is 0."""
    RELEASE_UNLESS_HELD = 4
    """Off when the configured stop category is 0 or 1; the goals are at rest."""

    def switch(self, category: StopCategory) -> bool | None:
        """What to switch the torque to under the configured stop `category`; None leaves it alone."""
        if self is TorqueChange.ENABLE:
            return True
        released = (
            self is TorqueChange.RELEASE
            or (self is TorqueChange.RELEASE_IN_CATEGORY_0 and category is StopCategory.TORQUE_OFF)
            or (self is TorqueChange.RELEASE_UNLESS_HELD and category is not StopCategory.HOLD)
        )
        return False if released else None


class Drive(IntEnum):
    """Which goals the servos get in a state."""

    NOTHING = 0
    """None: what they were last given holds."""
    HOLD = 1
    """Goals that brake along the commanded path, and then stay."""
    FOLLOW = 2
    """The policy's actions."""
    PARK = 3
    """The way to the park pose, after braking."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What an event leads to.

    Attributes:
        state: the state from now on.
        torque: what becomes of the torque.
    """

    state: ControlState
    torque: TorqueChange = TorqueChange.KEEP


DRIVES: Final[Mapping[ControlState, Drive]] = MappingProxyType(
    {
        ControlState.IDLE: Drive.NOTHING,
        ControlState.ARMED: Drive.HOLD,
        ControlState.RUNNING: Drive.FOLLOW,
        ControlState.SLOWED: Drive.FOLLOW,
        ControlState.HOLDING: Drive.HOLD,
        ControlState.STOPPED: Drive.HOLD,
        ControlState.FAULT: Drive.HOLD,
        ControlState.PARKING: Drive.PARK,
    }
)
"""What each state lets through to the servos; in FAULT as far as the arm still obeys."""

LATCHED: Final = frozenset({ControlState.STOPPED, ControlState.FAULT})
"""States that only `Event.RESET_CHECKED` leads out of (a fault may make a stop worse)."""

_STOP: Final = Transition(ControlState.STOPPED, TorqueChange.RELEASE_IN_CATEGORY_0)
_FAULT: Final = Transition(ControlState.FAULT, TorqueChange.RELEASE_IN_CATEGORY_0)
_IDLE: Final = Transition(ControlState.IDLE)
_ARMED: Final = Transition(ControlState.ARMED)
_RUNNING: Final = Transition(ControlState.RUNNING)
_SLOWED: Final = Transition(ControlState.SLOWED)
_HOLDING: Final = Transition(ControlState.HOLDING)
_PARKING: Final = Transition(ControlState.PARKING)
_STOPPED: Final = Transition(ControlState.STOPPED)
_FAULTED: Final = Transition(ControlState.FAULT)

# Torque is off or holds still. A stop verdict latches nothing here, because an arm that lies slack, or is moved by
# hand, may be anywhere: it is the check before arming that keeps such an arm from moving. A person's stop does latch.
_FROM_IDLE: Final = {
    Event.ARM_CHECKED: Transition(ControlState.ARMED, TorqueChange.ENABLE),
    Event.REQUEST_RUN: _IDLE,
    Event.REQUEST_HOLD: _IDLE,
    Event.REQUEST_PARK: _IDLE,
    Event.REQUEST_RELEASE: Transition(ControlState.IDLE, TorqueChange.RELEASE),
    Event.REQUEST_STOP: _STOP,
    Event.REQUEST_EMERGENCY_STOP: _STOP,
    Event.REQUEST_QUIT: _IDLE,
    Event.SIGNAL: _IDLE,
    Event.RESET_CHECKED: _IDLE,
    Event.START_REFUSED: _IDLE,
    Event.VERDICT_PASS: _IDLE,
    Event.VERDICT_SLOW: _IDLE,
    Event.VERDICT_HOLD: _IDLE,
    Event.VERDICT_STOP: _IDLE,
    Event.ACTION_EXPIRED: _IDLE,
    Event.HEARTBEAT_LOST: _IDLE,
    Event.AT_REST: _IDLE,
    Event.PARKED: _IDLE,
    Event.TICKS_MISSED: _IDLE,
    Event.BUS_LOST: _FAULT,
    Event.SERVO_FAULT: _FAULT,
    Event.EXCEPTION: _FAULT,
}

# Holds by a person's word: nothing but a person's word makes it move.
_FROM_ARMED: Final = {
    Event.ARM_CHECKED: _ARMED,
    Event.REQUEST_RUN: _RUNNING,
    Event.REQUEST_HOLD: _ARMED,
    Event.REQUEST_PARK: _PARKING,
    Event.REQUEST_RELEASE: Transition(ControlState.IDLE, TorqueChange.RELEASE),
    Event.REQUEST_STOP: _STOP,
    Event.REQUEST_EMERGENCY_STOP: _STOP,
    Event.REQUEST_QUIT: _STOP,
    Event.SIGNAL: _STOP,
    Event.RESET_CHECKED: _ARMED,
    Event.START_REFUSED: _ARMED,
    Event.VERDICT_PASS: _ARMED,
    Event.VERDICT_SLOW: _ARMED,
    Event.VERDICT_HOLD: _ARMED,
    Event.VERDICT_STOP: _STOP,
    Event.ACTION_EXPIRED: _ARMED,
    Event.HEARTBEAT_LOST: _STOP,
    Event.AT_REST: _ARMED,
    Event.PARKED: _ARMED,
    Event.TICKS_MISSED: _FAULT,
    Event.BUS_LOST: _FAULT,
    Event.SERVO_FAULT: _FAULT,
    Event.EXCEPTION: _FAULT,
}

# Torque is released only from rest, so not here: a person stops first.
_FROM_RUNNING: Final = {
    Event.ARM_CHECKED: _RUNNING,
    Event.REQUEST_RUN: _RUNNING,
    Event.REQUEST_HOLD: _ARMED,
    Event.REQUEST_PARK: _PARKING,
    Event.REQUEST_RELEASE: _RUNNING,
    Event.REQUEST_STOP: _STOP,
    Event.REQUEST_EMERGENCY_STOP: _STOP,
    Event.REQUEST_QUIT: _STOP,
    Event.SIGNAL: _STOP,
    Event.RESET_CHECKED: _RUNNING,
    Event.START_REFUSED: _RUNNING,
    Event.VERDICT_PASS: _RUNNING,
    Event.VERDICT_SLOW: _SLOWED,
    Event.VERDICT_HOLD: _HOLDING,
    Event.VERDICT_STOP: _STOP,
    Event.ACTION_EXPIRED: _STOP,
    Event.HEARTBEAT_LOST: _STOP,
    Event.AT_REST: _RUNNING,
    Event.PARKED: _RUNNING,
    Event.TICKS_MISSED: _FAULT,
    Event.BUS_LOST: _FAULT,
    Event.SERVO_FAULT: _FAULT,
    Event.EXCEPTION: _FAULT,
}

_FROM_SLOWED: Final = {
    Event.ARM_CHECKED: _SLOWED,
    Event.REQUEST_RUN: _SLOWED,
    Event.REQUEST_HOLD: _ARMED,
    Event.REQUEST_PARK: _PARKING,
    Event.REQUEST_RELEASE: _SLOWED,
    Event.REQUEST_STOP: _STOP,
    Event.REQUEST_EMERGENCY_STOP: _STOP,
    Event.REQUEST_QUIT: _STOP,
    Event.SIGNAL: _STOP,
    Event.RESET_CHECKED: _SLOWED,
    Event.START_REFUSED: _SLOWED,
    Event.VERDICT_PASS: _RUNNING,
    Event.VERDICT_SLOW: _SLOWED,
    Event.VERDICT_HOLD: _HOLDING,
    Event.VERDICT_STOP: _STOP,
    Event.ACTION_EXPIRED: _STOP,
    Event.HEARTBEAT_LOST: _STOP,
    Event.AT_REST: _SLOWED,
    Event.PARKED: _SLOWED,
    Event.TICKS_MISSED: _FAULT,
    Event.BUS_LOST: _FAULT,
    Event.SERVO_FAULT: _FAULT,
    Event.EXCEPTION: _FAULT,
}

# Holds by the monitor's word, and goes on by the monitor's word: a person's hold makes it stay.
_FROM_HOLDING: Final = {
    Event.ARM_CHECKED: _HOLDING,
    Event.REQUEST_RUN: _HOLDING,
    Event.REQUEST_HOLD: _ARMED,
    Event.REQUEST_PARK: _HOLDING,
    Event.REQUEST_RELEASE: _HOLDING,
    Event.REQUEST_STOP: _STOP,
    Event.REQUEST_EMERGENCY_STOP: _STOP,
    Event.REQUEST_QUIT: _STOP,
    Event.SIGNAL: _STOP,
    Event.RESET_CHECKED: _HOLDING,
    Event.START_REFUSED: _HOLDING,
    Event.VERDICT_PASS: _RUNNING,
    Event.VERDICT_SLOW: _SLOWED,
    Event.VERDICT_HOLD: _HOLDING,
    Event.VERDICT_STOP: _STOP,
    Event.ACTION_EXPIRED: _STOP,
    Event.HEARTBEAT_LOST: _STOP,
    Event.AT_REST: _HOLDING,
    Event.PARKED: _HOLDING,
    Event.TICKS_MISSED: _FAULT,
    Event.BUS_LOST: _FAULT,
    Event.SERVO_FAULT: _FAULT,
    Event.EXCEPTION: _FAULT,
}

# Needs no policy, so that an expired action is nothing to it. What the monitor would hold is given up, not resumed.
_FROM_PARKING: Final = {
    Event.ARM_CHECKED: _PARKING,
    Event.REQUEST_RUN: _PARKING,
    Event.REQUEST_HOLD: _ARMED,
    Event.REQUEST_PARK: _PARKING,
    Event.REQUEST_RELEASE: _PARKING,
    Event.REQUEST_STOP: _STOP,
    Event.REQUEST_EMERGENCY_STOP: _STOP,
    Event.REQUEST_QUIT: _STOP,
    Event.SIGNAL: _STOP,
    Event.RESET_CHECKED: _PARKING,
    Event.START_REFUSED: _PARKING,
    Event.VERDICT_PASS: _PARKING,
    Event.VERDICT_SLOW: _PARKING,
    Event.VERDICT_HOLD: _STOP,
    Event.VERDICT_STOP: _STOP,
    Event.ACTION_EXPIRED: _PARKING,
    Event.HEARTBEAT_LOST: _STOP,
    Event.AT_REST: _PARKING,
    Event.PARKED: _ARMED,
    Event.TICKS_MISSED: _FAULT,
    Event.BUS_LOST: _FAULT,
    Event.SERVO_FAULT: _FAULT,
    Event.EXCEPTION: _FAULT,
}

# Latched. A person may let go of a stopped arm, to free somebody or to move it by hand.
_FROM_STOPPED: Final = {
    Event.ARM_CHECKED: _STOPPED,
    Event.REQUEST_RUN: _STOPPED,
    Event.REQUEST_HOLD: _STOPPED,
    Event.REQUEST_PARK: _STOPPED,
    Event.REQUEST_RELEASE: Transition(ControlState.STOPPED, TorqueChange.RELEASE),
    Event.REQUEST_STOP: _STOPPED,
    Event.REQUEST_EMERGENCY_STOP: _STOPPED,
    Event.REQUEST_QUIT: _STOPPED,
    Event.SIGNAL: _STOPPED,
    Event.RESET_CHECKED: _IDLE,
    Event.START_REFUSED: _STOPPED,
    Event.VERDICT_PASS: _STOPPED,
    Event.VERDICT_SLOW: _STOPPED,
    Event.VERDICT_HOLD: _STOPPED,
    Event.VERDICT_STOP: _STOPPED,
    Event.ACTION_EXPIRED: _STOPPED,
    Event.HEARTBEAT_LOST: _STOPPED,
    Event.AT_REST: Transition(ControlState.STOPPED, TorqueChange.RELEASE_UNLESS_HELD),
    Event.PARKED: _STOPPED,
    Event.TICKS_MISSED: _FAULTED,
    Event.BUS_LOST: _FAULTED,
    Event.SERVO_FAULT: _FAULTED,
    Event.EXCEPTION: _FAULTED,
}

_FROM_FAULT: Final = {
    Event.ARM_CHECKED: _FAULTED,
    Event.REQUEST_RUN: _FAULTED,
    Event.REQUEST_HOLD: _FAULTED,
    Event.REQUEST_PARK: _FAULTED,
    Event.REQUEST_RELEASE: Transition(ControlState.FAULT, TorqueChange.RELEASE),
    Event.REQUEST_STOP: _FAULTED,
    Event.REQUEST_EMERGENCY_STOP: _FAULTED,
    Event.REQUEST_QUIT: _FAULTED,
    Event.SIGNAL: _FAULTED,
    Event.RESET_CHECKED: _IDLE,
    Event.START_REFUSED: _FAULTED,
    Event.VERDICT_PASS: _FAULTED,
    Event.VERDICT_SLOW: _FAULTED,
    Event.VERDICT_HOLD: _FAULTED,
    Event.VERDICT_STOP: _FAULTED,
    Event.ACTION_EXPIRED: _FAULTED,
    Event.HEARTBEAT_LOST: _FAULTED,
    Event.AT_REST: Transition(ControlState.FAULT, TorqueChange.RELEASE_UNLESS_HELD),
    Event.PARKED: _FAULTED,
    Event.TICKS_MISSED: _FAULTED,
    Event.BUS_LOST: _FAULTED,
    Event.SERVO_FAULT: _FAULTED,
    Event.EXCEPTION: _FAULTED,
}

TABLE: Final[Mapping[tuple[ControlState, Event], Transition]] = MappingProxyType(
    {
        (state, event): transition
        for state, row in (
            (ControlState.IDLE, _FROM_IDLE),
            (ControlState.ARMED, _FROM_ARMED),
            (ControlState.RUNNING, _FROM_RUNNING),
            (ControlState.SLOWED, _FROM_SLOWED),
            (ControlState.HOLDING, _FROM_HOLDING),
            (ControlState.PARKING, _FROM_PARKING),
            (ControlState.STOPPED, _FROM_STOPPED),
            (ControlState.FAULT, _FROM_FAULT),
        )
        for event, transition in row.items()
    }
)
"""Every state times every event."""


class StateMachine:
    """Walks the table."""

    def __init__(self, state: ControlState = ControlState.IDLE) -> None:
        """Start in `state`."""
        self.state = state

    @property
    def drive(self) -> Drive:
        """Which goals the servos get now."""
        return DRIVES[self.state]

    @property
    def latched(self) -> bool:
        """Whether only a checked reset leads on."""
        return self.state in LATCHED

    def handle(self, event: Event) -> Transition:
        """Go where `event` leads, and say what becomes of the torque."""
        transition = TABLE[self.state, event]
        self.state = transition.state
        return transition
