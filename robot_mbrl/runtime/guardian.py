"""The guardian: a process of its own that stops the arm when the control process is dead, frozen or late.

Feetech servos hold their last goal for ever when the host falls silent; this is the watchdog that they lack. Frames are
the heartbeat. When they stay away for longer than the bound while the arm is armed, or the control process is gone,
the guardian kills that process for good, so that it cannot wake up and write later, takes the port and performs
the configured stop. It never sends a goal and never switches a torque on.

`python -m robot_mbrl.runtime.guardian JSON` takes `DeploySettings`. Lines on its standard input, from the supervisor:

    watch PID    the control process; from now on its frames are awaited
    dismiss      the control process has ended as it should: there is nothing left to guard

The end of the input means that the supervisor is gone; the guardian then stays until the control process is gone too.
SIGUSR1 asks it to take over at once. It ignores the signals that end the others, as they still have an arm to stop.
"""

import os
import select
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

import numpy as np

from robot_mbrl.contracts.atomic_file import write_atomically
from robot_mbrl.contracts.clock import Clock, MonotonicClock, to_ns
from robot_mbrl.contracts.config import RobotSettings, Settings
from robot_mbrl.contracts.errors import RobotMbrlError
from robot_mbrl.contracts.frame import ControlState, Record
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.heartbeat import Heartbeat
from robot_mbrl.runtime.orders import Orders
from robot_mbrl.runtime.real_time import RealTime, RealTimeSettings, Step, only
from robot_mbrl.runtime.servo_stop import ServoStop, StopReport
from robot_mbrl.runtime.session_record import remove_record
from robot_mbrl.runtime.settings import DeploySettings
from robot_mbrl.safety.start_pose import REST_VELOCITY

RATE: Final = 100.0
"""Looks a second [Hz]."""
READY: Final = "guardian ready"
KILL_PATIENCE: Final = 1.0
"""How long a killed process may take to be gone [s]."""
STOP_PATIENCE: Final = 1.0
"""How long a control process that is bringing its arm to rest may be silent [s]: the driver may do it for it."""
END_PATIENCE: Final = 10.0
"""How long one that has brought its arm to rest may be silent [s]: it gives everything back before it ends. And how
long the supervisor may then take to say that this end was meant."""
HIGHEST_PRIORITY: Final = 99
"""Of SCHED_FIFO (sched(7))."""
COMMANDING: Final = frozenset(
    {
        ControlState.ARMED,
        ControlState.RUNNING,
        ControlState.SLOWED,
        ControlState.HOLDING,
        ControlState.PARKING,
    }
)
"""States in which the arm has torque and goals from the control process."""


def report_path(settings: DeploySettings) -> Path:
    """Where the guardian tells what it did, in the folder of the flight logs."""
    return settings.log / f"guardian-{settings.session}.json"


def keep_report(path: Path) -> None:
    """Put an earlier run's report aside, under the time at which it was written: this run's will be another."""
    with suppress(FileNotFoundError):
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        path.rename(path.with_stem(f"{path.stem}-{written:%Y%m%dT%H%M%SZ}"))


class Cause(Enum):
    """Why the guardian acts."""

    DEAD = "the control process ended without having been told to"
    SILENT = "no frame came from the control process within the bound: it is frozen or too late"
    LINGERING = "the control process has stopped the arm, and neither sends frames nor ends"
    ASKED = "somebody asked for it"


class GuardianReport(Settings):
    """What the guardian did, for the file beside the log.

    Attributes:
        cause: why.
        state: of the control process in its last frame; None when it never sent one.
        silence: since the last frame when it acted [s].
        acted_ns: when it acted [ns of CLOCK_MONOTONIC].
        finished_ns: when the arm was dealt with [ns].
        stop: what was done to the servos; None when the arm was not armed, or is the twin.
        done: one line for people.
    """

    cause: str
    state: str | None
    silence: float
    acted_ns: int
    finished_ns: int
    stop: StopReport | None
    done: str


class Stop(Protocol):
    """What can stop the servos; `ServoStop` is one."""

    def perform(self) -> StopReport:
        """Stop, and tell what was done."""
        ...

    def torque_found(self) -> str:
        """Which servos have torque, in words; changes nothing."""
        ...


class Frames(Protocol):
    """Where frames come from; a channel's subscriber is one."""

    def newest(self) -> Record | None:
        """The newest frame since the last call."""
        ...


class Watch:
    """One control process under watch, by its process file descriptor, which is never another process's."""

    def __init__(self, pid: int) -> None:
        """Watch `pid`, which may be dead already."""
        try:
            self._fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._fd = -1

    @property
    def alive(self) -> bool:
        """Whether the process has not ended; a frozen one has not."""
        return self._fd >= 0 and not select.select([self._fd], (), (), 0.0)[0]

    def kill(self) -> None:
        """End the process for good and wait until it is gone. A frozen one is ended as well."""
        if self._fd < 0:
            return
        try:
            signal.pidfd_send_signal(self._fd, signal.SIGKILL)
        except ProcessLookupError:
            return
        # A process that hangs in the kernel ends only when that lets it go; the port will be found busy then.
        select.select([self._fd], (), (), KILL_PATIENCE)


class Guardian:
    """Looks at frames and process, and acts once."""

    def __init__(self, frames: Frames, stop: Stop | None, bound: float, clock: Clock) -> None:
        """Guard with `stop` (None for the twin); frames may stay away for `bound` [s]."""
        self._frames = frames
        self._stop = stop
        self._heartbeat = Heartbeat(1.0 / RATE)
        self._bound_ns = to_ns(bound)
        self._clock = clock
        self._state: ControlState | None = None
        self._armed = self._resting = False

    @property
    def state(self) -> ControlState | None:
        """State of the control process in its last frame."""
        return self._state

    @property
    def armed(self) -> bool:
        """Whether the arm has torque by the control process's doing; an arm that was stopped may still have it."""
        return self._armed

    @property
    def patience(self) -> float:
        """How long the end of a control process that commands nothing any more may take [s]."""
        return END_PATIENCE if self._resting else STOP_PATIENCE

    def look(self, watch: Watch) -> Cause | None:
        """Look once; a cause when it is time to act."""
        # In this order: what a process sent before it ended is there when its end is seen.
        alive = watch.alive
        frame = self._frames.newest()
        if frame is not None:
            self._state = ControlState(int(frame["state"][0]))
            joints = int(frame["joints"][0])
            holds = joints > 0 and bool(np.isfinite(frame["goal_position"][0, :joints]).all())
            # After a reset the arm is idle, and may hold as it did.
            self._armed = self._state in COMMANDING or (self._armed and (holds or self._state is not ControlState.IDLE))
            speeds = np.abs(frame["velocity"][0, :joints])
            # Written so that NaN, and a frame without joints, count as moving.
            self._resting = bool(speeds.size and (speeds <= REST_VELOCITY).all())
        silence_ns = self._heartbeat.look(self._clock.now_ns(), beat=frame is not None)
        if not alive:
            return Cause.DEAD
        if not self._armed:
            return None
        if self._state in COMMANDING:
            return Cause.SILENT if silence_ns > self._bound_ns else None
        return Cause.LINGERING if silence_ns > max(self._bound_ns, to_ns(self.patience)) else None

    def act(self, cause: Cause, watch: Watch) -> GuardianReport:
        """Kill the control process and stop the arm. One that was not armed is only looked at, and left as it is."""
        acted_ns = self._clock.now_ns()
        watch.kill()
        stop = None
        if self._stop is None:
            done = "the twin ended with the control process, there are no servos to stop"
        elif self._armed:
            stop = self._stop.perform()
            done = stop.done
        else:
            # It may have died while it switched the torque on.
            done = f"the arm was not armed, so nothing was done to it: {self._stop.torque_found()}"
        return GuardianReport(
            cause=cause.value,
            state=None if self._state is None else self._state.name.lower(),
            silence=self._heartbeat.silence_ns * 1e-9,
            acted_ns=acted_ns,
            finished_ns=self._clock.now_ns(),
            stop=stop,
            done=done,
        )


def serve(settings: DeploySettings, orders: Orders, clock: Clock) -> int:
    """Guard until the control process has ended, or the supervisor is gone before there was one.

    Returns:
        0 when nothing had to be done or the arm was stopped as configured, 7 when the arm may not be at rest.

    Raises:
        ConfigError: the arm's definition or calibration is missing or wrong.
    """
    asked: list[int] = []
    _listen(asked)
    # The twin lives and dies with the control process: there are no servos that could be stopped without it.
    stop = ServoStop(settings.robot, settings.stop, clock) if isinstance(settings.robot, RobotSettings) else None
    keep_report(report_path(settings))
    with Session(settings.session) as session, RealTime(*_urgency(settings.real_time)) as urgency:
        guardian = Guardian(session.subscriber("frame"), stop, settings.guardian_bound, clock)
        for warning in urgency.warnings:
            print(f"guardian: {warning}", flush=True)
        print(READY, flush=True)
        watch = _await_control(orders)
        cause = None if watch is None else _guard(guardian, watch, orders, asked, clock)
        code = 0 if watch is None or cause is None else _tell(guardian.act(cause, watch), report_path(settings))
    if orders.ended:
        # The supervisor would have done it.
        remove_record(settings.session)
    return code


def _urgency(control: RealTimeSettings) -> tuple[RealTimeSettings, list[Step]]:
    """What to ask of the machine: to come before a control process that spins for ever, be it on the only core."""
    if control.priority == 0:
        return control, []
    settings = control.model_copy(update={"priority": min(control.priority + 1, HIGHEST_PRIORITY)})
    return settings, only("SCHED_FIFO", *(["locked memory"] if control.lock_memory else []))


def _await_control(orders: Orders) -> Watch | None:
    """The process to watch; None when there will be none."""
    while not orders.ended:
        word, _, rest = (orders.next(patience=1.0) or "").partition(" ")
        if word == "watch":
            return Watch(int(rest))
        if word == "dismiss":
            return None
    return None


def _guard(guardian: Guardian, watch: Watch, orders: Orders, asked: list[int], clock: Clock) -> Cause | None:
    """Look again and again; why to act, or None when the watch is over."""
    while orders.next() != "dismiss":
        cause = Cause.ASKED if asked else guardian.look(watch)
        if cause is Cause.DEAD and guardian.state not in COMMANDING and orders.next(guardian.patience) == "dismiss":
            return None
        if cause is not None:
            return cause
        clock.sleep_until_ns(clock.now_ns() + to_ns(1.0 / RATE))
    return None


def _listen(asked: list[int]) -> None:
    """Ignore the signals that end the others, and note SIGUSR1 in `asked`."""

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, note)


def _tell(report: GuardianReport, path: Path) -> int:
    print(f"guardian: {report.cause}; {report.done}", flush=True)
    try:
        write_atomically(path, report.model_dump_json(indent=2) + "\n")
    except OSError as error:
        # What it did is done, and was told.
        print(f"guardian: {path}: cannot be written: {error}", flush=True)
    return 7 if report.stop is not None and not report.stop.complete else 0


def main(arguments: list[str]) -> int:
    """Guard what the JSON in `arguments` describes; the exit code is the error's, 0 for none."""
    try:
        return serve(DeploySettings.model_validate_json(arguments[0]), Orders(sys.stdin.fileno()), MonotonicClock())
    except RobotMbrlError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
