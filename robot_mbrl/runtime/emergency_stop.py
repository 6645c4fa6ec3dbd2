"""The emergency stop from outside: by request, by the guardian, or by the own hand, in this order, until one holds.

A request goes to the control process, which knows the commanded path and brakes along it. Where no frame confirms it in
time, the guardian is told to take over; where that does not answer either, both are killed and the servos are stopped
from here. So it works while everything else is stuck.
"""

import signal
from dataclasses import dataclass
from typing import Final

from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.config import RobotSettings
from robot_mbrl.contracts.errors import ChannelError, NotReady
from robot_mbrl.contracts.frame import ControlState, Request
from robot_mbrl.runtime.control_link import ControlLink
from robot_mbrl.runtime.guardian import GuardianReport, report_path
from robot_mbrl.runtime.servo_stop import ServoStop
from robot_mbrl.runtime.session_record import SessionRecord, load_record
from robot_mbrl.safety.state_machine import LATCHED

CONFIRM_PATIENCE: Final = 0.5
"""How long a frame may take to confirm the request [s]: 100 ticks at 200 Hz."""
REST_PATIENCE: Final = 3.0
"""How long the arm may take to come to rest afterwards [s]."""
GUARDIAN_PATIENCE: Final = 5.0
"""How long the guardian may take [s]: it waits for the arm to rest."""
KILL_PATIENCE: Final = 1.0


@dataclass(frozen=True, slots=True)
class StopOutcome:
    """How an emergency stop went.

    Attributes:
        how: one line for people.
        complete: whether the arm is known to have been stopped as its settings say, and rests.
    """

    how: str
    complete: bool


def emergency_stop(session: str, clock: Clock) -> StopOutcome:
    """Stop the arm of `session`. To do so again does no harm.

    Raises:
        NotReady: nobody runs an arm under that name.
    """
    record = load_record(session)
    # A stop must not fail for want of channels: the servos can be stopped without them.
    try:
        confirmed = _by_request(session, clock)
    except ChannelError:
        confirmed = None
    if confirmed is not None:
        return confirmed
    if record is None:
        raise NotReady(f"session {session!r}: no arm runs under that name, so none was stopped: check the name")
    return _by_guardian(record) or _by_hand(record, clock)


def _by_request(session: str, clock: Clock) -> StopOutcome | None:
    with ControlLink(session, clock) as link:
        if not link.ask(Request.EMERGENCY_STOP, LATCHED, CONFIRM_PATIENCE):
            return None
        rests = link.await_rest(REST_PATIENCE)
        state = "fault" if link.state is ControlState.FAULT else "stopped"
        rest = "at rest" if rests else f"still moving after {REST_PATIENCE} s"
        return StopOutcome(f"the control process confirms: {state}, latched, {rest}", complete=rests)


def _by_guardian(record: SessionRecord) -> StopOutcome | None:
    if not record.guardian.is_alive():
        return None
    record.guardian.send_signal(signal.SIGUSR1, patience=GUARDIAN_PATIENCE)
    path = report_path(record.settings)
    if record.guardian.is_alive() or not path.exists():
        return None
    report = GuardianReport.model_validate_json(path.read_text(encoding="utf-8"))
    complete = report.stop is None or report.stop.complete
    return StopOutcome(f"the guardian took over: {report.done}", complete)


def _by_hand(record: SessionRecord, clock: Clock) -> StopOutcome:
    """Whatever holds the port is killed first, frozen or not."""
    for process in (record.guardian, record.control):
        process.send_signal(signal.SIGKILL, patience=KILL_PATIENCE)
    if not isinstance(record.settings.robot, RobotSettings):
        return StopOutcome("the twin was ended together with its control process", complete=True)
    report = ServoStop(record.settings.robot, record.settings.stop, clock).perform()
    return StopOutcome(f"control process and guardian were killed: {report.done}", report.complete)
