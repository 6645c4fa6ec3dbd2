"""The emergency stop from outside: by request, by the guardian, or by the own hand, in this order, until one holds.

A request goes to the control process, which knows the commanded path and brakes along it. Where no frame confirms it in
time, the guardian is told to take over; where that does not answer either, both are killed and the servos are stopped
from here. So it works while everything else is stuck.
"""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.config import RobotSettings
from robot_mbrl.contracts.errors import ArmStopped, ChannelError, ConfigError, NotReady, RobotMbrlError
from robot_mbrl.contracts.frame import ControlState, Request
from robot_mbrl.contracts.rest import REST_PATIENCE
from robot_mbrl.runtime.control_link import ControlLink
from robot_mbrl.runtime.guardian import GuardianReport, report_path
from robot_mbrl.runtime.servo_stop import ServoStop
from robot_mbrl.runtime.session_record import SessionRecord, load_record, recorded_sessions
from robot_mbrl.safety.state_machine import LATCHED

CONFIRM_PATIENCE: Final = 0.5
"""How long a frame may take to confirm the request [s]: 100 ticks at 200 Hz."""
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


def emergency_stops(sessions: Sequence[str], clock: Clock) -> Iterator[tuple[str, StopOutcome | RobotMbrlError]]:
    """Stop the arms of all `sessions` at the same time; each outcome, or what kept it from being had, when it is known.

    One that is stuck, or whose record is broken, keeps no other one waiting.
    """
    with ThreadPoolExecutor(max_workers=max(1, len(sessions))) as pool:
        attempts = {pool.submit(_attempt, session, clock): session for session in sessions}
        for attempt in as_completed(attempts):
            yield attempts[attempt], attempt.result()


def _attempt(session: str, clock: Clock) -> StopOutcome | RobotMbrlError:
    try:
        return emergency_stop(session, clock)
    except RobotMbrlError as error:
        return error
    except Exception as error:  # noqa: BLE001  (whatever it is, the other arms are stopped all the same)
        return ArmStopped(f"session {session!r}: {type(error).__name__}: {error}")


def emergency_stop(session: str, clock: Clock) -> StopOutcome:
    """Stop the arm of `session`. To do so again does no harm.

    Raises:
        NotReady: nobody runs an arm under that name.
        ConfigError: somebody may, but its record, its arm's definition or its calibration cannot be read.
    """
    record = load_record(session)
    # A stop must not fail for want of channels: the servos can be stopped without them.
    try:
        confirmed = _by_request(session, clock)
    except ChannelError:
        confirmed = None
    if confirmed is not None:
        return confirmed
    if record is None and session in recorded_sessions():
        raise ConfigError(f"session {session!r}: nobody confirms the request, and its record cannot be read")
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
    if record.guardian.is_alive():
        return None
    try:
        report = GuardianReport.model_validate_json(report_path(record.settings).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        # It may have had no room to write: whether the arm rests is found out by hand.
        return None
    complete = report.stop is None or report.stop.complete
    return StopOutcome(f"the guardian took over: {report.done}", complete)


def _by_hand(record: SessionRecord, clock: Clock) -> StopOutcome:
    """Whatever holds the port is killed first, frozen or not.

    Raises:
        ConfigError: the arm's definition or calibration cannot be read; nothing was killed, as nobody would be left who
            could stop the arm.
    """
    robot = record.settings.robot
    stop = ServoStop(robot, record.settings.stop, clock) if isinstance(robot, RobotSettings) else None
    for process in (record.guardian, record.control):
        process.send_signal(signal.SIGKILL, patience=KILL_PATIENCE)
    if stop is None:
        return StopOutcome("the twin was ended together with its control process", complete=True)
    report = stop.perform()
    return StopOutcome(f"control process and guardian were killed: {report.done}", report.complete)
