"""The recorder process: takes every frame of its session, ends when asked, and outlives its supervisor's terminal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.frame import Record
from robot_mbrl.data.flight_recorder import FlightRecorder
from robot_mbrl.data.log_folder import FLIGHT_PATTERN
from robot_mbrl.data.reader import read_log
from robot_mbrl.data.recorder_settings import RecorderSettings
from robot_mbrl.data.replay import build_monitor
from robot_mbrl.runtime.channels import Publisher, Session
from robot_mbrl.runtime.recorder import ORPHAN_PATIENCE, READY, Ending, flight_header, record
from robot_mbrl.runtime.settings import DeploySettings, TwinSettings
from tests.data.flights import START_NS, flight, header, planned


class Script:
    """A source that gives prepared batches, and none when they are over."""

    def __init__(self, batches: list[list[Record]]) -> None:
        self.batches = iter(batches)

    def drain(self) -> list[Record]:
        """The next batch."""
        return next(self.batches, [])


def as_records(frames: Any) -> list[Record]:
    """Each of `frames` as the channel gives it."""
    return [frames[index : index + 1] for index in range(len(frames))]


def test_what_waits_when_the_end_is_asked_for_is_kept(tmp_path: Path) -> None:
    clock, frames = ManualClock(START_NS), flight(60)
    recorder = FlightRecorder(tmp_path, RecorderSettings(), header(), clock, print)
    batches = [as_records(frames[:20]), [], as_records(frames[20:40]), as_records(frames[40:])]
    asked = {True: iter([False, True]), False: iter([False])}
    plans = as_records(planned(frames, every=20))
    told = iter(["the arm runs", "ended by SIGTERM", None, None, "the last word", *[None] * 5])
    script = Script([plans[:2], [], plans[2:]])
    record(Script(batches), script, recorder, clock, lambda came: next(asked[came]), lambda: next(told))
    [log] = tmp_path.glob(FLIGHT_PATTERN)
    assert read_log(log).frames.tobytes() == frames.tobytes()
    assert read_log(log).plans["sequence"].tolist() == [0, 1, 2]
    notes = [note.text for note in read_log(log).notes]
    assert {"the arm runs", "ended by SIGTERM", "the last word"} <= set(notes)
    assert read_log(log).complete


def test_an_orphan_stays_until_the_frames_have_stopped() -> None:
    clock = ManualClock()
    ending = Ending(clock)
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    try:
        ending.catch_signals()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGHUP)
        for _ in range(10):
            clock.advance(ORPHAN_PATIENCE)
            assert not ending.due(True)
        clock.advance(ORPHAN_PATIENCE * 1.1)
        assert ending.due(False)
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGHUP, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)


def test_the_header_describes_the_monitor_that_the_deployment_has() -> None:
    settings = DeploySettings(robot=TwinSettings(), safety={"hold_limit": 0.5})
    made = flight_header(settings)
    assert made.monitor.hold_limit == 0.5
    assert build_monitor(made).check_names == made.check_names
    assert made.settings["session"] == "arm"


@pytest.fixture
def session() -> Iterator[Session]:
    """A session of this test alone."""
    with Session(f"test-recorder-{os.getpid()}") as session:
        yield session


class Child:
    """A recorder process."""

    def __init__(self, session: Session, folder: Path, recorder: RecorderSettings | None = None) -> None:
        settings = DeploySettings(
            session=session.name, robot=TwinSettings(), log=folder, recorder=recorder or RecorderSettings()
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "robot_mbrl.runtime.recorder", settings.model_dump_json()],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith(READY)

    def end(self) -> str:
        """Ask it to end; what it said last."""
        self.process.terminate()
        out, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return out.strip()


def send(frames: Any, publisher: Publisher) -> None:
    """Send all `frames`, not so fast that the channel's buffer of 4096 overflows."""
    for frame in as_records(frames):
        publisher.send(frame)
        if frame["tick"][0] % 1000 == 999:
            time.sleep(0.1)


def test_the_process_keeps_every_frame_and_plan_of_its_session(session: Session, tmp_path: Path) -> None:
    publisher, planner = session.publisher("frame"), session.publisher("plan")
    child = Child(session, tmp_path)
    try:
        frames = flight(3000)
        plans = planned(frames)
        for plan in as_records(plans):
            planner.send(plan)
        send(frames, publisher)
        assert child.end().endswith("recorder: 3000 frames kept")
    finally:
        child.process.kill()
        child.process.communicate()
    [log] = tmp_path.glob(FLIGHT_PATTERN)
    assert np.array_equal(read_log(log).frames["tick"], frames["tick"])
    assert read_log(log).frames.tobytes() == frames.tobytes()
    assert read_log(log).plans.tobytes() == plans.tobytes()


def test_a_deployment_says_how_large_its_files_are(session: Session, tmp_path: Path) -> None:
    publisher = session.publisher("frame")
    child = Child(session, tmp_path, RecorderSettings(file_bytes=64 * 1024, flights_bytes=2**24))
    try:
        # A file ends when it is written to: what comes at once goes into one.
        for part in np.split(flight(3000), 6):
            send(part, publisher)
            while not any(part["tick"][-1] in read_log(log).frames["tick"] for log in tmp_path.glob(FLIGHT_PATTERN)):
                time.sleep(0.01)
        assert child.end().endswith("recorder: 3000 frames kept")
    finally:
        child.process.kill()
        child.process.communicate()
    logs = sorted(tmp_path.glob(FLIGHT_PATTERN))
    assert len(logs) > 1
    assert np.concatenate([read_log(log).frames["tick"] for log in logs]).tolist() == list(range(3000))


def test_a_frozen_recorder_holds_nobody_up_and_notes_what_it_missed(session: Session, tmp_path: Path) -> None:
    publisher = session.publisher("frame")
    child = Child(session, tmp_path)
    try:
        frames = flight(12_000)
        send(frames[:500], publisher)
        while not any(len(read_log(log).frames) for log in tmp_path.glob(FLIGHT_PATTERN)):
            time.sleep(0.01)
        child.process.send_signal(signal.SIGSTOP)
        send(frames[500:], publisher)
        child.process.send_signal(signal.SIGCONT)
        said = child.end()
    finally:
        child.process.kill()
        child.process.communicate()
    [log] = tmp_path.glob(FLIGHT_PATTERN)
    record_ = read_log(log)
    lost = 12_000 - len(record_.frames)
    assert lost > 0
    assert f"{lost} lost on the way" in said
    assert any(f"{lost} frames lost" in note.text for note in record_.notes)
    assert record_.frames["tick"][-1] == 11_999


def test_a_folder_that_cannot_be_written_ends_it_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = DeploySettings(session=f"test-{os.getpid()}", robot=TwinSettings(), log=tmp_path / "file")
    done = subprocess.run(
        [sys.executable, "-m", "robot_mbrl.runtime.recorder", settings.model_dump_json()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "log folder" in done.stderr
    assert done.stderr.count("\n") == 1
