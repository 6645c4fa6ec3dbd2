"""The recorder process: takes every frame and every plan off the channels and keeps it, as long as anything flies.

`python -m robot_mbrl.runtime.recorder JSON`, with `DeploySettings`; the supervisor starts it first and ends it last.
It never answers anybody: when it is slow, the channel drops frames for it and it notes how many, and when it is dead
nobody else is held up. SIGTERM ends it when it has taken what waits. Should the supervisor die, it stays until no more
frames come, so that the log has the end of the story.
"""

import contextlib
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final, Protocol

from robot_mbrl.contracts.clock import Clock, MonotonicClock, to_ns
from robot_mbrl.contracts.errors import RobotMbrlError
from robot_mbrl.contracts.frame import Record
from robot_mbrl.data.flight_recorder import FlightRecorder
from robot_mbrl.data.frame_codec import join_frames
from robot_mbrl.data.log_header import LogHeader, installed_versions
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.monitor_setup import build_monitor, deployed_arm, monitor_settings
from robot_mbrl.runtime.orders import Orders
from robot_mbrl.runtime.parent import end_with_parent
from robot_mbrl.runtime.settings import DeploySettings
from robot_mbrl.sim.geometry import MujocoGeometry

READY: Final = "recorder ready"
DRAIN_PERIOD: Final = 0.04
"""How often the channel is emptied [s]: it holds seconds of frames, and every wake-up costs. What comes is flushed at
once, so that a kill takes this much and what the recorder is late by."""
ORPHAN_PATIENCE: Final = 3.0
"""How long frames must have stayed away before a recorder whose supervisor has died ends [s]."""


class Source(Protocol):
    """Where frames or plans come from; a subscriber of the channel is one."""

    def drain(self) -> Sequence[Record]:
        """All records that wait, the oldest first."""
        ...


class Ending:
    """Whether the process shall end, by the signals that it got."""

    def __init__(self, clock: Clock) -> None:
        """Nothing has been asked yet."""
        self._clock = clock
        self._asked = self._orphaned = False
        self._last_frame_ns = clock.now_ns()

    def catch_signals(self) -> None:
        """Take SIGTERM as the wish to end, SIGHUP as the supervisor's death, and leave Ctrl-C to the supervisor."""
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGHUP, self._orphan)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def due(self, frames_came: bool) -> bool:
        """Whether to end now; `frames_came` since the last call."""
        now_ns = self._clock.now_ns()
        if frames_came:
            self._last_frame_ns = now_ns
        return self._asked or (self._orphaned and now_ns - self._last_frame_ns > to_ns(ORPHAN_PATIENCE))

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True

    def _orphan(self, _number: int, _frame: FrameType | None) -> None:
        self._orphaned = True
        self._last_frame_ns = self._clock.now_ns()


def flight_header(settings: DeploySettings) -> LogHeader:
    """What the logs of a deployment say of themselves.

    Raises:
        ConfigError: unknown arm, a supply that its servos do not accept, or safety settings that contradict each other.
    """
    arm = deployed_arm(settings.robot)
    return LogHeader(
        arm=arm,
        check_names=build_monitor(arm, MujocoGeometry(arm), settings.safety).check_names,
        monitor=monitor_settings(arm, settings.safety),
        geometry=True,
        settings=settings.model_dump(mode="json"),
        versions=installed_versions(),
    )


def record(
    frames: Source,
    plans: Source,
    recorder: FlightRecorder,
    clock: Clock,
    due: Callable[[bool], bool],
    notes: Callable[[], str | None] = lambda: None,
) -> None:
    """Keep the `frames` and `plans` that come until it is `due` to end; what waits then is kept too.

    So are `notes`, the next at each call as long as there are any: what the operator was told.
    """
    ending = False
    while not ending:
        wake_ns = clock.now_ns()
        batch = frames.drain()
        ending = due(len(batch) > 0)
        if ending:
            batch = [*batch, *frames.drain()]
        if batch:
            recorder.write(join_frames(batch))
        for plan in plans.drain():
            recorder.write_plans(plan)
        while (note := notes()) is not None:
            recorder.note(note)
        recorder.tend()
        if not ending:
            clock.sleep_until_ns(wake_ns + to_ns(DRAIN_PERIOD))
    recorder.close()


def serve(settings: DeploySettings, clock: Clock) -> None:
    """Record the session of `settings` until told to end.

    Raises:
        ConfigError: the log folder cannot be written, or the settings are wrong.
        ChannelError: the session's channels cannot be used.
    """
    ending = Ending(clock)
    ending.catch_signals()
    with Session(settings.session) as session:
        frames, plans = session.subscriber("frame"), session.subscriber("plan")
        recorder = FlightRecorder(settings.log, settings.recorder, flight_header(settings), clock, _say)
        _say(f"{READY}: flight {recorder.flight} in {settings.log}")
        record(frames, plans, recorder, clock, ending.due, Orders(sys.stdin.fileno()).next)
        lost = (
            ""
            if recorder.lost + recorder.unwritten == 0
            else (f", {recorder.lost} lost on the way, {recorder.unwritten} not written")
        )
        _say(f"recorder: {recorder.kept} frames kept{lost}")


def _say(line: str) -> None:
    # Standard output may be a file on the disk that is full; the log's notes say the same.
    with contextlib.suppress(OSError):
        print(line, flush=True)


def main(arguments: list[str]) -> int:
    """Record the session that the JSON in `arguments` describes; the exit code is the error's, 0 for none."""
    try:
        settings = DeploySettings.model_validate_json(arguments[0])
        end_with_parent(signal.SIGHUP)
        serve(settings, MonotonicClock())
    except RobotMbrlError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
