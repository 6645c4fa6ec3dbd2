"""Salvage: whatever is whole in a cut or damaged log is saved, and what is not is said."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.records import Message

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.data.flight_log import FlightLog, NoteLevel
from robot_mbrl.data.log_scan import LogScan
from robot_mbrl.data.reader import read_frames, read_log
from robot_mbrl.data.salvage import salvage, salvaged_path
from tests.data.flights import START_NS, flight, header, of_ticks, planned

FRAMES = flight(40)


class Sample:
    """A small log and, by the library's own index, where its chunks end and how many frames there are up to there."""

    def __init__(self, content: bytes, chunk_ends: list[tuple[int, int]]) -> None:
        self.content = content
        self.chunk_ends = chunk_ends


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """A closed log of `FRAMES` in four flushes."""
    path = tmp_path_factory.mktemp("sample") / "a.mcap"
    log = FlightLog(path, header())
    for start in range(0, 40, 10):
        log.write(FRAMES[start : start + 10])
        log.flush()
    log.close()
    with path.open("rb") as stream:
        reader = make_reader(stream)
        summary = reader.get_summary()
        assert summary is not None
        ends = [index.chunk_start_offset + index.chunk_length for index in summary.chunk_indexes]
    return Sample(path.read_bytes(), list(zip(ends, range(10, 50, 10), strict=True)))


def whole_frames(sample: Sample, length: int) -> int:
    """How many frames lie in whole chunks of the first `length` bytes."""
    return max([count for end, count in sample.chunk_ends if end <= length], default=0)


def messages_of(content: bytes) -> list[bytes]:
    """Data of all messages that the scan finds."""
    return [record.data for record in LogScan(content, "") if isinstance(record, Message)]


def test_a_log_cut_at_any_byte_gives_all_whole_chunks(sample: Sample) -> None:
    assert len(sample.content) > 5000
    for length in range(8, len(sample.content)):
        scan = LogScan(sample.content[:length], "cut")
        messages = sum(isinstance(record, Message) for record in scan)
        assert messages == whole_frames(sample, length), length
        assert not scan.complete


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_cut_log_is_salvaged_into_a_file_that_every_reader_opens(
    data: st.DataObject, sample: Sample, tmp_path_factory: pytest.TempPathFactory
) -> None:
    length = data.draw(st.integers(sample.chunk_ends[0][0], len(sample.content) - 1))
    path = tmp_path_factory.mktemp("cut") / "a.mcap"
    path.write_bytes(sample.content[:length])
    report = salvage(path, salvaged_path(path))
    expected = FRAMES[: whole_frames(sample, length)]
    record = read_log(report.path)
    assert record.frames.tobytes() == expected.tobytes()
    assert record.complete
    assert record.header == header()
    assert (report.frames, report.was_complete) == (len(expected), False)
    assert path.read_bytes() == sample.content[:length]
    with report.path.open("rb") as stream:
        assert len(list(make_reader(stream, validate_crcs=True).iter_messages())) == len(expected)


@given(place=st.integers(0, 10**6), flipped=st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_flipped_byte_never_changes_a_frame_that_is_read(place: int, flipped: int, sample: Sample) -> None:
    content = bytearray(sample.content)
    first, last = sample.chunk_ends[0][0], sample.chunk_ends[-1][0]
    content[first + place % (last - first)] ^= flipped
    messages, original = messages_of(bytes(content)), messages_of(sample.content)
    assert set(messages) <= set(original)
    assert len(messages) >= 30


def test_a_hole_in_the_middle_costs_its_chunk_and_is_counted(sample: Sample, tmp_path: Path) -> None:
    content, path = bytearray(sample.content), tmp_path / "a.mcap"
    content[sample.chunk_ends[0][0] + 20 : sample.chunk_ends[1][0] - 20] = bytes(
        sample.chunk_ends[1][0] - sample.chunk_ends[0][0] - 40
    )
    path.write_bytes(content)
    report = salvage(path, tmp_path / "b.mcap")
    assert of_ticks(read_frames(report.path)) == [*range(10), *range(20, 40)]
    assert report.holes == 10
    assert 0 < report.unreadable <= sample.chunk_ends[1][0] - sample.chunk_ends[0][0]
    assert not report.was_complete


def test_a_good_log_is_copied_whole(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(sample.content)
    report = salvage(path, tmp_path / "b.mcap")
    assert (report.was_complete, report.unreadable, report.holes, report.frames) == (True, 0, 0, 40)
    assert read_frames(report.path).tobytes() == FRAMES.tobytes()


def test_notes_and_plans_are_saved_too(tmp_path: Path) -> None:
    log = FlightLog(tmp_path / "a.mcap", header())
    log.write(FRAMES[:3])
    log.write_plans(planned(FRAMES[:3], every=2))
    log.note(START_NS, NoteLevel.ERROR, "stopped")
    log.flush()
    log.abandon()
    report = salvage(tmp_path / "a.mcap", tmp_path / "b.mcap")
    assert (report.frames, report.plans, report.notes) == (3, 2, 1)
    assert read_log(report.path).notes[0].text == "stopped"
    assert read_log(report.path).plans["sequence"].tolist() == [0, 1]


def test_nothing_is_written_when_nothing_can_be_saved(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(sample.content[: sample.chunk_ends[0][0] - 1])
    with pytest.raises(ConfigError, match="nothing can be saved"):
        salvage(path, tmp_path / "b.mcap")
    assert not (tmp_path / "b.mcap").exists()


def test_an_existing_file_is_not_overwritten(sample: Sample, tmp_path: Path) -> None:
    path, target = tmp_path / "a.mcap", tmp_path / "b.mcap"
    path.write_bytes(sample.content)
    target.write_text("precious")
    with pytest.raises(ConfigError, match="exists"):
        salvage(path, target)
    assert target.read_text() == "precious"


def test_a_zeroed_tail_as_a_power_cut_leaves_it_is_skipped(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    end, count = sample.chunk_ends[2]
    path.write_bytes(sample.content[:end] + bytes(5000))
    record = read_log(path)
    assert len(record.frames) == count
    assert record.unreadable == 5000
    assert np.array_equal(record.frames["tick"], np.arange(count))
