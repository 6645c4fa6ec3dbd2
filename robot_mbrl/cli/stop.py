"""`robot-mbrl stop`."""

from typing import Annotated

import typer

from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.errors import ArmStopped, NotReady
from robot_mbrl.runtime.emergency_stop import StopOutcome, emergency_stops
from robot_mbrl.runtime.session_record import recorded_sessions


def stop(
    session: Annotated[str | None, typer.Option(help="Only this run; without it, all runs of this user.")] = None,
) -> None:
    """Emergency stop: stop the arm of a running `robot-mbrl deploy`, now. It stays stopped until a person resets it.

    Asks the control process, which brakes along the commanded path. If no frame confirms that, the guardian takes over;
    if that fails too, both are killed and the servos are stopped from here. What becomes of the torque is what the run
    was told by its --stop. All arms are stopped at the same time; one that cannot be keeps no other one from it. To
    stop twice does no harm. Ends with code 0 only if every arm is known to rest.
    """
    names = recorded_sessions() if session is None else [session]
    if not names:
        raise NotReady("no arm is running, so none was stopped: if one moves, switch its power off")
    failed = []
    for name, outcome in emergency_stops(names, MonotonicClock()):
        if session is not None and isinstance(outcome, NotReady):
            raise outcome
        complete = isinstance(outcome, StopOutcome) and outcome.complete
        typer.echo(f"{name}: {outcome.how if isinstance(outcome, StopOutcome) else f'NOT STOPPED: {outcome}'}")
        if not complete:
            failed.append(name)
    if failed:
        raise ArmStopped(f"session {', '.join(sorted(failed))}: the arm may not be at rest: switch its power off")
