"""The recorder: every frame in some file, bounded disk, an incident for each stop, and a disk that may fail."""

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState
from robot_mbrl.data.flight_log import OpenFile, create_file
from robot_mbrl.data.flight_recorder import FlightRecorder
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.data.log_folder import FLIGHT_PATTERN, INCIDENT_PATTERN
from robot_mbrl.data.reader import FlightRecord, read_log
from robot_mbrl.data.recorder_settings import RecorderSettings
from tests.data.flights import MILLISECOND, START_NS, flight, header, of_ticks, planned, stop

BATCH = 20
KIB = 1024


class Rig:
    """A recorder that is fed in simulated time, as its process would be."""

    def __init__(self, folder: Path, open_file: OpenFile = create_file, **settings: Any) -> None:
        self.folder = folder
        self.clock = ManualClock(START_NS)
        self.reports: list[str] = []
        self.recorder = FlightRecorder(
            folder,
            RecorderSettings(**settings),
            header(),
            self.clock,
            self.reports.append,
            unix_ns=lambda: 1_800_000_000 * 1_000_000_000,
            open_file=open_file,
        )

    def feed(self, frames: FrameArray) -> None:
        """Let `frames` come at their time, a batch every `BATCH` frames."""
        for start in range(0, len(frames), BATCH):
            batch = frames[start : start + BATCH]
            self.wait_until(int(batch["write_ns"][-1]))
            self.recorder.write(batch)
            self.recorder.tend()

    def wait_until(self, time_ns: int) -> None:
        """Let time pass."""
        self.clock.sleep_until_ns(time_ns)

    def logs(self, pattern: str = FLIGHT_PATTERN) -> list[FlightRecord]:
        """What the logs hold, in order."""
        return [read_log(path) for path in sorted(self.folder.glob(pattern))]

    def notes(self) -> list[str]:
        """All notes of all flight files."""
        return [note.text for log in self.logs() for note in log.notes]


def test_plans_are_kept_through_rotations(tmp_path: Path) -> None:
    rig, frames = Rig(tmp_path, file_bytes=64 * KIB, flights_bytes=100 * 64 * KIB), flight(2000)
    for part in np.split(frames, 4):
        rig.recorder.write_plans(planned(part))
        rig.feed(part)
    rig.recorder.close()
    logs = rig.logs()
    assert len(logs) >= 3
    assert np.concatenate([log.plans["stamp_ns"] for log in logs]).tolist() == frames["stamp_ns"][::50].tolist()


def test_every_frame_is_kept_through_rotations(tmp_path: Path) -> None:
    rig, frames = Rig(tmp_path, file_bytes=64 * KIB, flights_bytes=100 * 64 * KIB), flight(2000)
    rig.feed(frames)
    rig.recorder.close()
    logs = rig.logs()
    assert len(logs) >= 3
    assert np.concatenate([log.frames for log in logs]).tobytes() == frames.tobytes()
    assert all(log.complete for log in logs)
    assert [log.header.part for log in logs] == list(range(len(logs)))
    assert (rig.recorder.kept, rig.recorder.lost, rig.recorder.unwritten) == (2000, 0, 0)


def test_the_disk_bound_holds_at_every_moment_and_the_oldest_go_first(tmp_path: Path) -> None:
    bound = 4 * 64 * KIB
    rig = Rig(tmp_path, file_bytes=64 * KIB, flights_bytes=bound)
    frames = flight(6000)
    for start in range(0, 6000, 500):
        rig.feed(frames[start : start + 500])
        assert sum(path.stat().st_size for path in tmp_path.glob(FLIGHT_PATTERN)) <= bound + 16 * KIB
    rig.recorder.close()
    kept = np.concatenate([log.frames for log in rig.logs()])
    assert 0 < len(kept) < 6000
    assert kept.tobytes() == frames[-len(kept) :].tobytes()


def test_flights_never_push_out_an_incident(tmp_path: Path) -> None:
    rig = Rig(tmp_path, file_bytes=64 * KIB, flights_bytes=128 * KIB)
    frames = flight(6000)
    stop(frames, 300)
    rig.feed(frames)
    rig.recorder.close()
    assert of_ticks(rig.logs()[0].frames)[0] > 300
    [incident] = rig.logs(INCIDENT_PATTERN)
    assert of_ticks(incident.frames) == list(range(2301))


def test_incidents_have_their_own_bound(tmp_path: Path) -> None:
    rig = Rig(tmp_path, before=1.0, after=0.1, incidents_bytes=2 * 2**20)
    random = np.random.default_rng(0)
    frames = flight(12_000)
    frames["position"] = random.normal(size=frames["position"].shape)
    frames["velocity"] = random.normal(size=frames["position"].shape)
    for first in range(1000, 12_000, 1000):
        frames["state"][first : first + 500] = ControlState.STOPPED
    frames["state"][-100:] = ControlState.IDLE
    rig.feed(frames)
    rig.recorder.close()
    files = sorted(tmp_path.glob(INCIDENT_PATTERN))
    assert sum(path.stat().st_size for path in files) <= 2 * 2**20
    assert 1 < len(files) < 11
    assert read_log(files[-1]).header.part == 10


def test_an_incident_has_ten_seconds_before_and_two_after(tmp_path: Path) -> None:
    rig, frames = Rig(tmp_path), flight(3000, period_ns=5 * MILLISECOND)
    stop(frames, 2407)
    rig.feed(frames)
    [incident] = rig.logs(INCIDENT_PATTERN)
    assert of_ticks(incident.frames) == list(range(2407 - 2000, 2407 + 400 + 1))
    assert incident.frames.tobytes() == frames[407:2808].tobytes()
    assert incident.complete
    assert incident.header.kind == "incident"
    [note] = incident.notes
    assert "running to stopped" in note.text
    rig.recorder.close()


def test_an_incident_ends_by_the_clock_when_no_more_frames_come(tmp_path: Path) -> None:
    rig, frames = Rig(tmp_path), flight(100)
    stop(frames, 90)
    rig.feed(frames)
    assert not rig.logs(INCIDENT_PATTERN)[0].complete
    rig.clock.advance(2.1)
    rig.recorder.tend()
    [incident] = rig.logs(INCIDENT_PATTERN)
    assert incident.complete
    assert len(incident.frames) == 100
    rig.recorder.close()


def test_the_incident_is_on_disk_as_soon_as_the_stop_was_taken(tmp_path: Path) -> None:
    rig, frames = Rig(tmp_path), flight(100)
    stop(frames, 95)
    rig.feed(frames)
    [incident] = rig.logs(INCIDENT_PATTERN)
    assert incident.frames.tobytes() == frames.tobytes()
    rig.recorder.close()


def test_each_stop_gets_its_own_incident_and_a_fault_after_a_stop_too(tmp_path: Path) -> None:
    rig, frames = Rig(tmp_path, after=0.1), flight(1000)
    frames["state"][200:300] = ControlState.STOPPED
    frames["state"][300:400] = ControlState.FAULT
    frames["state"][700:] = ControlState.FAULT
    rig.feed(frames)
    rig.recorder.close()
    notes = [incident.notes[0].text.split(",")[0] for incident in rig.logs(INCIDENT_PATTERN)]
    assert notes == ["running to stopped", "stopped to fault", "running to fault"]


def test_an_arm_that_falls_silent_under_way_is_an_incident(tmp_path: Path) -> None:
    rig, frames = Rig(tmp_path), flight(100)
    rig.feed(frames)
    rig.clock.advance(0.6)
    for _ in range(3):
        rig.recorder.tend()
    [incident] = rig.logs(INCIDENT_PATTERN)
    assert incident.frames.tobytes() == frames.tobytes()
    assert "no frames for 0.5 s while running" in incident.notes[0].text
    rig.recorder.close()


def test_a_recording_that_ends_under_way_is_an_incident(tmp_path: Path) -> None:
    rig, frames = Rig(tmp_path), flight(100)
    rig.feed(frames)
    rig.recorder.close()
    [incident] = rig.logs(INCIDENT_PATTERN)
    assert incident.frames.tobytes() == frames.tobytes()
    assert "the recording ended while running" in incident.notes[0].text


@pytest.mark.parametrize("seed", range(5))
def test_frames_of_random_bytes_are_kept_like_all_others(seed: int, tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    raw = np.random.default_rng(seed).bytes(100 * FRAME_DTYPE.itemsize)
    frames = np.frombuffer(raw, FRAME_DTYPE).copy()
    frames["state"] %= 9
    for start in range(0, 100, BATCH):
        rig.recorder.write(frames[start : start + BATCH])
        rig.recorder.tend()
    rig.recorder.close()
    assert rig.logs()[0].frames.tobytes() == frames.tobytes()


@pytest.mark.parametrize("state", [ControlState.IDLE, ControlState.STOPPED])
def test_an_arm_at_rest_may_fall_silent(state: ControlState, tmp_path: Path) -> None:
    rig, frames = Rig(tmp_path), flight(100)
    frames["state"] = ControlState.IDLE
    frames["state"][50:] = state
    rig.feed(frames)
    before = len(rig.logs(INCIDENT_PATTERN))
    rig.clock.advance(5.0)
    rig.recorder.tend()
    assert len(rig.logs(INCIDENT_PATTERN)) == before
    rig.recorder.close()


def test_frames_that_the_channel_dropped_are_counted_and_noted(tmp_path: Path) -> None:
    rig, frames = Rig(tmp_path), flight(200)
    rig.feed(np.concatenate([frames[:40], frames[47:]]))
    rig.recorder.close()
    assert rig.recorder.lost == 7
    assert any(text.startswith("7 frames lost") for text in rig.notes())


def test_ticks_that_the_loop_skipped_are_not_lost_frames(tmp_path: Path) -> None:
    rig, frames = Rig(tmp_path), flight(200)
    frames["missed_ticks"][47:] = 7
    for name in ("deadline_ns", "wake_ns", "stamp_ns", "write_ns"):
        frames[name][47:] += 7 * MILLISECOND
    rig.feed(frames)
    rig.recorder.close()
    assert rig.recorder.lost == 0


def test_a_stop_is_told_with_its_check_joint_value_and_limit(tmp_path: Path) -> None:
    rig, frames = Rig(tmp_path), flight(100)
    stop(frames, 60)
    rig.feed(frames)
    rig.recorder.close()
    [text] = [text for text in rig.notes() if "stopped" in text]
    assert text == "running to stopped, measured_position of elbow_flex: 1.75 against a limit of 1.69"


def test_what_was_flushed_is_never_older_than_the_interval(tmp_path: Path) -> None:
    rig, frames = Rig(tmp_path), flight(400)
    for start in range(0, 400, BATCH):
        rig.feed(frames[start : start + BATCH])
        rig.clock.advance(0.05)
        rig.recorder.tend()
        assert len(rig.logs()[0].frames) == start + BATCH
    rig.recorder.close()


class Disk:
    """A disk with a switch: files on it refuse to grow while it is full."""

    def __init__(self) -> None:
        self.full = False

    def open(self, path: Path) -> io.FileIO:
        """Make a file on this disk."""
        disk = self

        class OnDisk(io.FileIO):
            def write(self, data: Any) -> int:
                if disk.full:
                    raise OSError(28, "No space left on device")
                return super().write(data)

        return OnDisk(path, "xb")


def filled(rig: Rig, disk: Disk, frames: FrameArray, fill: Callable[[int], bool]) -> None:
    """Feed `frames`, with the disk full at the ticks for which `fill` says so."""
    for start in range(0, len(frames), BATCH):
        disk.full = fill(start)
        rig.feed(frames[start : start + BATCH])


def test_a_full_disk_is_told_counted_and_survived(tmp_path: Path) -> None:
    disk, frames = Disk(), flight(6000)
    frames["state"][-100:] = ControlState.IDLE
    rig = Rig(tmp_path, disk.open)
    filled(rig, disk, frames, lambda tick: 1000 <= tick < 3000)
    rig.recorder.close()
    kept = np.concatenate([log.frames for log in rig.logs()])
    assert rig.recorder.kept == len(kept)
    assert rig.recorder.kept + rig.recorder.unwritten == 6000
    assert 2000 <= rig.recorder.unwritten <= 3500
    assert {*of_ticks(kept)} == {*range(6000)} - {*range(kept_until(kept), kept_until(kept) + rig.recorder.unwritten)}
    assert len(rig.reports) == 2
    assert "No space left" in rig.reports[0]
    assert any(f"{rig.recorder.unwritten} frames not written: No space left" in text for text in rig.notes())


def kept_until(frames: FrameArray) -> int:
    """First tick after `frames`' first unbroken run."""
    ticks = of_ticks(frames)
    return next(tick + 1 for tick, following in itertools.pairwise(ticks) if following != tick + 1)


def test_a_stop_on_a_full_disk_only_costs_its_incident_file(tmp_path: Path) -> None:
    disk, frames = Disk(), flight(3000)
    stop(frames, 1500)
    rig = Rig(tmp_path, disk.open)
    filled(rig, disk, frames, lambda tick: tick >= 1000)
    rig.recorder.close()
    assert not list(tmp_path.glob(INCIDENT_PATTERN))
    assert any("incident" in text for text in rig.reports)
    assert rig.recorder.kept + rig.recorder.unwritten == 3000


def test_a_disk_that_fills_up_during_an_incident_leaves_what_was_written(tmp_path: Path) -> None:
    disk, frames = Disk(), flight(3000)
    stop(frames, 500)
    rig = Rig(tmp_path, disk.open)
    filled(rig, disk, frames, lambda tick: tick >= 1000)
    rig.recorder.close()
    [incident] = rig.logs(INCIDENT_PATTERN)
    assert of_ticks(incident.frames)[:501] == list(range(501))


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="log folder"):
        Rig(tmp_path / "file")
    disk = Disk()
    disk.full = True
    with pytest.raises(ConfigError, match="No space left"):
        Rig(tmp_path / "full", disk.open)


def test_a_bound_that_holds_no_two_files_is_refused() -> None:
    with pytest.raises(ValueError, match="raise it"):
        RecorderSettings(file_bytes=2**20, flights_bytes=2**20)
