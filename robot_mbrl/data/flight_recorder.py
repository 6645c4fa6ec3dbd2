"""Keeps a flight: all frames in rotated logs of bounded size, an incident file for each stop, notes of what happened.

Plans of a planning policy go into the rotated logs alone, and nobody counts those that a full disk does not take.

Nothing that the disk does is an error here, because control goes on without a log: what cannot be written is counted,
told, and noted in the next file that can be.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from robot_mbrl.contracts.clock import Clock, to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState
from robot_mbrl.data.flight_log import FlightLog, NoteLevel, OpenFile, create_file
from robot_mbrl.data.frame_codec import FRAMES, FrameArray, PlanArray, join_frames
from robot_mbrl.data.incident import History, Incident
from robot_mbrl.data.log_folder import LogFolder
from robot_mbrl.data.log_header import LogHeader
from robot_mbrl.data.recorder_settings import RecorderSettings
from robot_mbrl.data.story import cause, changes, is_stop, lost_between, state_name
from robot_mbrl.safety.state_machine import LATCHED

_RETRY: Final = 1.0
"""How long to wait before a log that failed is begun anew [s]."""


class FlightRecorder:
    """Takes frames and keeps them. Call `write` with what came, and `tend` every few hundredths of a second.

    Attributes:
        lost: frames that never came: the channel dropped them.
        unwritten: frames that came and could not be written.
        failure: why nothing is written at present; None while all is well.
    """

    def __init__(
        self,
        folder: Path,
        settings: RecorderSettings,
        header: LogHeader,
        clock: Clock,
        report: Callable[[str], None],
        *,
        unix_ns: Callable[[], int] = time.time_ns,
        open_file: OpenFile = create_file,
    ) -> None:
        """Begin the first log.

        Args:
            folder: of the logs.
            settings: how to keep the flight.
            header: what the logs say of themselves; flight, kind, part and clock offset are filled in here.
            clock: the frames' clock.
            report: gets one line when something goes wrong, and when it is over.
            unix_ns: the wall clock, read once [ns].
            open_file: makes files.

        Raises:
            ConfigError: the folder cannot be written.
        """
        self._settings = settings
        self._clock = clock
        self._report = report
        self._open_file = open_file
        self._folder = LogFolder(folder, settings.flights_bytes, settings.incidents_bytes)
        now_ns, wall_ns = clock.now_ns(), unix_ns()
        began = datetime.fromtimestamp(wall_ns / 1e9, UTC)
        flight = f"{began:%Y%m%dT%H%M%S}{began.microsecond // 1000:03d}Z"
        self._header = header.model_copy(update={"flight": flight, "clock_offset_ns": wall_ns - now_ns})
        self.lost = self.unwritten = 0
        self._kept = 0
        self.failure: str | None = None
        self._parts = 0
        self._stops = 0
        self._incidents: list[Incident] = []
        self._history = History(settings.before)
        self._last: FrameArray = np.empty(0, FRAME_DTYPE)
        self._silent = False
        self._urgent = False
        self._unnoted = 0
        self._next_flush_ns = self._retry_ns = self._last_came_ns = now_ns
        self._log: FlightLog | None = None
        try:
            self._begin_log()
        except OSError as error:
            raise ConfigError(f"log folder {folder}: {error.strerror}: give a folder that can be written") from error

    @property
    def flight(self) -> str:
        """Name of the flight, which its files carry."""
        return self._header.flight

    @property
    def kept(self) -> int:
        """Frames that reached the kernel."""
        return self._kept + (0 if self._log is None else self._log.flushed)

    def write(self, frames: FrameArray) -> None:
        """Take `frames` (k,) in the order of their ticks."""
        if not len(frames):
            return
        self._silent = False
        self._last_came_ns = self._clock.now_ns()
        joined = join_frames([self._last, frames])
        self._last = joined[-1:]
        self._note_losses(joined)
        if self._log is not None:
            self._log.write(frames)
        else:
            self.unwritten += len(frames)
            self._unnoted += len(frames)
        for incident in self._incidents:
            incident.write(frames)
        self._tell(joined, len(joined) - len(frames))
        self._history.append(frames)

    def write_plans(self, plans: PlanArray) -> None:
        """Take `plans` (k,) in the order they were made."""
        if len(plans) and self._log is not None:
            self._log.write_plans(plans)

    def note(self, text: str) -> None:
        """Keep a line that the operator was told, with the present time; also in the incidents that are open."""
        now_ns = self._clock.now_ns()
        self._note(now_ns, NoteLevel.INFO, text)
        for incident in self._incidents:
            incident.log.note(now_ns, NoteLevel.INFO, text)

    def tend(self) -> None:
        """Do what is due: flush, sync after a stop, end incidents, go to the next file, try a failed disk again."""
        now_ns = self._clock.now_ns()
        self._watch_for_silence(now_ns)
        if self._log is None and now_ns >= self._retry_ns:
            self._resume(now_ns)
        if self._urgent or now_ns >= self._next_flush_ns:
            self._flush(now_ns)
        for incident in [incident for incident in self._incidents if incident.is_over(now_ns)]:
            self._end(incident)
        if self._log is not None and self._log.size >= self._settings.file_bytes:
            self._guarded(self._rotate)

    def close(self) -> None:
        """End all files. A recording that ends while the arm is under way has seen it neither stop nor come to rest."""
        if self._under_way():
            self._begin_silence("the recording ended")
        for incident in list(self._incidents):
            self._end(incident)
        if self._log is not None:
            self._guarded(self._finish)

    def _begin_log(self) -> None:
        self._folder.make_room("flight", self._settings.file_bytes, ())
        header = self._header.model_copy(update={"part": self._parts})
        self._log = FlightLog(self._folder.path_of(header), header, self._open_file)
        self._parts += 1

    def _finish(self) -> None:
        assert self._log is not None
        self._log.close()
        self._kept += self._log.flushed
        self._log = None

    def _rotate(self) -> None:
        self._finish()
        self._begin_log()

    def _flush(self, now_ns: int) -> None:
        self._next_flush_ns = now_ns + to_ns(self._settings.flush_interval)
        urgent, self._urgent = self._urgent, False
        if self._log is not None:
            self._guarded(self._log.sync if urgent else self._log.flush)
        for incident in list(self._incidents):
            try:
                (incident.log.sync if urgent else incident.log.flush)()
            except OSError as error:
                self._give_up(incident, error)

    def _guarded(self, action: Callable[[], None]) -> bool:
        """Do something with the flight's log; should the disk refuse, leave the file and count what it did not take."""
        try:
            action()
        except OSError as error:
            if self._log is not None:
                self.unwritten += self._log.unflushed
                self._unnoted += self._log.unflushed
                self._kept += self._log.flushed
                self._log.abandon()
                self._log = None
            self._retry_ns = self._clock.now_ns() + to_ns(_RETRY)
            if self.failure is None:
                self._report(
                    f"flight log: {error.strerror}: frames are only counted until {self._folder.path} has room"
                )
            self.failure = error.strerror
            return False
        return True

    def _resume(self, now_ns: int) -> None:
        if not self._guarded(self._begin_log):
            return
        text = f"{self._unnoted} frames not written: {self.failure}"
        self._note(now_ns, NoteLevel.ERROR, text)
        self._report(f"flight log: writing again, {text}")
        self.failure, self._unnoted = None, 0

    def _note(self, stamp_ns: int, level: NoteLevel, text: str) -> None:
        if self._log is not None:
            self._log.note(stamp_ns, level, text)

    def _note_losses(self, joined: FrameArray) -> None:
        missing = lost_between(joined[0], joined[-1], len(joined))
        if missing:
            self.lost += missing
            text = f"{missing} frames lost before tick {joined['tick'][-1]}: the recorder fell behind"
            self._note(int(joined["wake_ns"][-1]), NoteLevel.WARNING, text)

    def _tell(self, joined: FrameArray, known: int) -> None:
        """Note each change of state, and begin an incident at each stop; the first `known` frames are old ones."""
        if not known and joined["state"][0] in LATCHED:
            self._begin_incident(joined[:1], joined[1:], "stopped when the recording began")
        for index in changes(joined):
            before, after = int(joined["state"][index - 1]), int(joined["state"][index])
            text = f"{state_name(before)} to {state_name(after)}"
            stopped = is_stop(before, after)
            if stopped:
                text = f"{text}, {cause(joined, index, self._header)}"
                self._begin_incident(joined[known : index + 1], joined[index + 1 :], text)
            level = NoteLevel.ERROR if stopped else NoteLevel.INFO
            self._note(int(joined["wake_ns"][index]), level, text)

    def _begin_incident(self, until: FrameArray, following: FrameArray, text: str) -> None:
        """Write the time up to the last of `until`, which the history does not have yet, and what follows."""
        self._urgent = True
        before = self._history.until(until)
        header = self._header.model_copy(update={"kind": "incident", "part": self._stops})
        self._stops += 1
        expected = round(
            len(before) * FRAMES.wire_dtype.itemsize * (1 + self._settings.after / max(1.0, self._settings.before))
        )
        try:
            self._folder.make_room("incident", expected, [incident.log.path for incident in self._incidents])
            path = self._folder.path_of(header)
            incident = Incident(path, header, before, self._settings.after, text, self._open_file)
        except OSError as error:
            self._report(f"incident file: {error.strerror}: this stop is only in the flight's log")
            return
        incident.write(following)
        self._incidents.append(incident)

    def _end(self, incident: Incident) -> None:
        self._incidents.remove(incident)
        try:
            incident.log.close()
        except OSError as error:
            self._report(f"incident file {incident.log.path}: {error.strerror}: it ends early")

    def _give_up(self, incident: Incident, error: OSError) -> None:
        self._incidents.remove(incident)
        incident.log.abandon()
        self._report(f"incident file {incident.log.path}: {error.strerror}: it ends early")

    def _watch_for_silence(self, now_ns: int) -> None:
        """Frames that stop coming from an arm that is under way are an incident: their process may be dead."""
        if self._under_way() and now_ns - self._last_came_ns >= to_ns(self._settings.silence):
            self._begin_silence(f"no frames for {self._settings.silence} s")

    def _under_way(self) -> bool:
        """Whether the last frame shows an arm that somebody must be watching, and its silence is not known yet."""
        if self._silent or not len(self._last):
            return False
        state = int(self._last["state"][0])
        return state != ControlState.IDLE and state not in LATCHED

    def _begin_silence(self, what: str) -> None:
        self._silent = True
        text = f"{what} while {state_name(int(self._last['state'][0]))}: the control process may be dead"
        self._begin_incident(self._last[:0], self._last[:0], text)
        self._note(self._last_came_ns, NoteLevel.ERROR, text)
        self._report(text)
