"""A log file: read back bit for bit, by others' tools too, whole at every flush, and salvaged wherever it is cut."""

import contextlib
import importlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.decoder import DecoderFactory
from mcap.reader import make_reader

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import FRAME_DTYPE
from robot_mbrl.data.flight_log import FRAME_TOPIC, NOTE_TOPIC, PLAN_TOPIC, FlightLog, NoteLevel
from robot_mbrl.data.reader import read_frames, read_log
from tests.data.flights import CHECK_NAMES, START_NS, flight, header, planned


def write_log(path: Path, frames: Any, flush_every: int = 20) -> None:
    """A properly closed log of `frames`, flushed every so many."""
    log = FlightLog(path, header())
    for start in range(0, len(frames), flush_every):
        log.write(frames[start : start + flush_every])
        log.flush()
    log.close()


class ProtobufFactory(DecoderFactory):
    """Decodes by the schema in the file with Google's library, as the `mcap` tools do."""

    def decoder_for(self, message_encoding: str, schema: Any) -> Any:
        """A decoder for protobuf messages, None for others."""
        if message_encoding != "protobuf":
            return None
        descriptors = importlib.import_module("google.protobuf.descriptor_pb2").FileDescriptorSet
        factory = importlib.import_module("google.protobuf.message_factory")
        return factory.GetMessages(list(descriptors.FromString(schema.data).file))[schema.name].FromString


@given(raw=st.lists(st.binary(min_size=FRAME_DTYPE.itemsize, max_size=FRAME_DTYPE.itemsize), min_size=1, max_size=3))
@settings(max_examples=30, deadline=None)
def test_any_bytes_of_a_frame_come_back(raw: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("log") / "any.mcap"
    frames = np.frombuffer(b"".join(raw), FRAME_DTYPE)
    write_log(path, frames)
    assert read_frames(path).tobytes() == frames.tobytes()


def test_header_notes_and_completeness_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    log = FlightLog(path, header(part=3))
    log.write(flight(5))
    log.note(START_NS + 7, NoteLevel.WARNING, "2 frames lost")
    log.close()
    record = read_log(path)
    assert record.header == header(part=3)
    assert record.complete
    assert record.unreadable == 0
    [note] = record.notes
    assert (note.stamp_ns, note.level, note.text) == (START_NS + 7, NoteLevel.WARNING, "2 frames lost")


def test_plans_come_back_and_others_tools_read_them(tmp_path: Path) -> None:
    path, frames = tmp_path / "a.mcap", flight(200)
    plans = planned(frames)
    log = FlightLog(path, header())
    log.write(frames)
    log.write_plans(plans)
    log.close()
    record = read_log(path)
    assert record.plans.tobytes() == plans.tobytes()
    assert record.frames.tobytes() == frames.tobytes()
    with path.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True, decoder_factories=[ProtobufFactory()])
        decoded = list(reader.iter_decoded_messages(topics=[PLAN_TOPIC]))
    assert [item.decoded_message.sequence for item in decoded] == [0, 1, 2, 3]
    assert list(decoded[1].decoded_message.disagreement[:4]) == plans["disagreement"][1, :4].tolist()
    assert decoded[1].message.log_time == int(plans["stamp_ns"][1]) + header().clock_offset_ns


def test_the_mcap_librarys_own_reader_decodes_frames_and_notes(tmp_path: Path) -> None:
    path, frames = tmp_path / "a.mcap", flight(100)
    log = FlightLog(path, header())
    log.write(frames)
    log.note(START_NS, NoteLevel.INFO, "hello")
    log.close()
    with path.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True, decoder_factories=[ProtobufFactory()])
        decoded = list(reader.iter_decoded_messages(topics=[FRAME_TOPIC]))
        assert [item.decoded_message.tick for item in decoded] == frames["tick"].tolist()
        assert list(decoded[7].decoded_message.position[:6]) == frames["position"][7, :6].tolist()
        assert decoded[7].message.log_time == int(frames["wake_ns"][7]) + header().clock_offset_ns
        [(schema, _, message)] = reader.iter_messages(topics=[NOTE_TOPIC])
        assert schema is not None
        assert (schema.name, schema.encoding) == ("foxglove.Log", "jsonschema")
        assert b"hello" in message.data
        [metadata] = reader.iter_metadata()
        assert json.loads(metadata.metadata["check_names"]) == list(CHECK_NAMES)


def test_what_was_flushed_can_be_read_while_the_log_is_open(tmp_path: Path) -> None:
    path, frames = tmp_path / "a.mcap", flight(30)
    log = FlightLog(path, header())
    log.write(frames[:20])
    log.flush()
    log.write(frames[20:])
    record = read_log(path)
    assert record.frames.tobytes() == frames[:20].tobytes()
    assert not record.complete
    log.abandon()


def test_chunks_stay_small(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    write_log(path, flight(500), flush_every=500)
    with path.open("rb") as stream:
        summary = make_reader(stream).get_summary()
    assert summary is not None
    assert max(index.uncompressed_size for index in summary.chunk_indexes) < 18 * 1024


class SmallDisk(io.FileIO):
    """A file on a disk that is full after `room` bytes; the last write is a partial one, as of a real disk."""

    room = 30_000

    def write(self, data: Any) -> int:
        """Write what fits."""
        fits = memoryview(data)[: max(0, self.room - self.tell())]
        if not fits:
            raise OSError(28, "No space left on device")
        return super().write(fits)


def test_a_full_disk_leaves_the_file_whole_up_to_the_last_flush(tmp_path: Path) -> None:
    path, frames = tmp_path / "a.mcap", flight(2000)
    log = FlightLog(path, header(), lambda path: SmallDisk(path, "xb"))
    flushed = 0
    with contextlib.suppress(OSError):
        while flushed < 2000:
            log.write(frames[flushed : flushed + 20])
            log.flush()
            flushed += 20
    log.abandon()
    assert 0 < flushed < 2000
    assert path.stat().st_size <= SmallDisk.room
    record = read_log(path)
    assert record.frames.tobytes() == frames[:flushed].tobytes()
    assert record.unreadable == 0


def test_a_log_that_has_no_room_for_its_header_leaves_no_file(tmp_path: Path) -> None:
    class FullDisk(SmallDisk):
        room = 0

    with pytest.raises(OSError, match="No space left"):
        FlightLog(tmp_path / "a.mcap", header(), lambda path: FullDisk(path, "xb"))
    assert not list(tmp_path.iterdir())


def test_a_log_never_overwrites_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        FlightLog(path, header())
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("content", "complaint"), [(None, "cannot be read"), (b"hello", "not an MCAP"), (b"\x89MCAP0\r\n", "no header")]
)
def test_what_is_no_flight_log_is_refused_in_one_line(content: bytes | None, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=complaint) as refusal:
        read_log(path)
    assert "\n" not in str(refusal.value)
