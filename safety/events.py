"""What can happen to the control process, and which verdicts, requests and stops are which of these events."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from robot_mbrl.contracts.frame import Request, StopCause
from robot_mbrl.contracts.types import VerdictLevel


class Event(IntEnum):
    """What can happen to the control process."""

    ARM_CHECKED = 0
    """A person asks for torque, and the start pose has been checked."""
    REQUEST_RUN = 1
    REQUEST_HOLD = 2
    REQUEST_PARK = 3
    REQUEST_RELEASE = 4
    """A person asks for the torque to go off."""
    REQUEST_STOP = 5
    REQUEST_EMERGENCY_STOP = 6
    REQUEST_QUIT = 7
    SIGNAL = 8
    """SIGINT, SIGTERM or SIGHUP."""
    RESET_CHECKED = 9
    """A person asks for a reset, the cause is gone and the start pose has been checked."""
    START_REFUSED = 10
    """A person asked for a reset or for torque, and the check of the start pose said no."""
    VERDICT_PASS = 11
    VERDICT_SLOW = 12
    VERDICT_HOLD = 13
    VERDICT_STOP = 14
    ACTION_EXPIRED = 15
    """The policy's newest action is past its expiry, or the policy has gone."""
    HEARTBEAT_LOST = 16
    """The operator's console has fallen silent."""
    AT_REST = 17
    """Braking has ended: the goals have come to rest. Said once after each stop."""
    PARKED = 18
    """The goals have come to rest at the park pose."""
    TICKS_MISSED = 19
    """More ticks in a row were missed than the settings allow."""
    BUS_LOST = 20
    """The bus or the port failed for longer than the settings allow."""
    SERVO_FAULT = 21
    """A servo reports a hardware error."""
    EXCEPTION = 22
    """Anything that the control loop did not expect."""


VERDICT_EVENTS: Final[Mapping[VerdictLevel, Event]] = MappingProxyType(
    {
        VerdictLevel.PASS: Event.VERDICT_PASS,
        VerdictLevel.SLOW: Event.VERDICT_SLOW,
        VerdictLevel.HOLD: Event.VERDICT_HOLD,
        VerdictLevel.STOP: Event.VERDICT_STOP,
    }
)

REQUEST_EVENTS: Final[Mapping[Request, Event]] = MappingProxyType(
    {
        Request.RUN: Event.REQUEST_RUN,
        Request.HOLD: Event.REQUEST_HOLD,
        Request.STOP: Event.REQUEST_STOP,
        Request.EMERGENCY_STOP: Event.REQUEST_EMERGENCY_STOP,
        Request.PARK: Event.REQUEST_PARK,
        Request.RELEASE: Event.REQUEST_RELEASE,
        Request.QUIT: Event.REQUEST_QUIT,
    }
)
"""Requests that need no check; `ARM` and `RESET` do, `HEARTBEAT` asks for nothing, and a policy is not the arm's."""

STOP_CAUSES: Final[Mapping[Event, StopCause]] = MappingProxyType(
    {
        Event.REQUEST_STOP: StopCause.OPERATOR,
        Event.REQUEST_QUIT: StopCause.OPERATOR,
        Event.REQUEST_EMERGENCY_STOP: StopCause.EMERGENCY,
        Event.SIGNAL: StopCause.SIGNAL,
        Event.EXCEPTION: StopCause.EXCEPTION,
    }
)
"""What the frame says about a stop that did not come from the monitor."""
