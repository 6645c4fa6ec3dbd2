"""Frames and plans to protobuf and back: every bit survives, and Google's own decoder reads the same numbers."""

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import FRAME_DTYPE, PLAN_DTYPE, empty
from robot_mbrl.data.frame_codec import FRAMES, PLANS, FrameArray
from robot_mbrl.data.record_codec import RecordArray, RecordCodec

SIGNALLING_NAN = 0x7FF0_0000_0000_0001
"""A NaN that arithmetic would turn into a quiet one."""


def messages(frames: FrameArray) -> list[bytes]:
    """`frames` on the wire."""
    return [row.tobytes() for row in FRAMES.encode(frames)]


def google_decodes(codec: RecordCodec, message: bytes) -> Any:
    """`message` as Google's protobuf library reads it by our schema."""
    descriptors = importlib.import_module("google.protobuf.descriptor_pb2").FileDescriptorSet.FromString(codec.schema)
    factory = importlib.import_module("google.protobuf.message_factory")
    return factory.GetMessages(list(descriptors.file))[codec.name].FromString(message)


def random_records(dtype: "np.dtype[np.void]", count: int, seed: int) -> RecordArray:
    """`count` records of random bytes."""
    return np.frombuffer(np.random.default_rng(seed).bytes(count * dtype.itemsize), dtype)


@pytest.mark.parametrize("dtype", [FRAME_DTYPE, PLAN_DTYPE], ids=["frame", "plan"])
def test_a_record_has_no_padding_that_columns_would_miss(dtype: "np.dtype[np.void]") -> None:
    assert dtype.itemsize == sum(dtype[name].itemsize for name in dtype.names or ())


def test_every_bit_of_a_plan_survives() -> None:
    plans = random_records(PLAN_DTYPE, 4, seed=0)
    assert PLANS.decode([row.tobytes() for row in PLANS.encode(plans)]).tobytes() == plans.tobytes()


@given(st.lists(st.binary(min_size=FRAME_DTYPE.itemsize, max_size=FRAME_DTYPE.itemsize), max_size=4))
def test_every_bit_of_any_frame_survives(raw: list[bytes]) -> None:
    frames = np.frombuffer(b"".join(raw), FRAME_DTYPE)
    assert FRAMES.decode(messages(frames)).tobytes() == frames.tobytes()


def test_signalling_nans_and_the_sign_of_zero_survive() -> None:
    frame = empty(FRAME_DTYPE)
    frame["position"] = np.array([SIGNALLING_NAN], np.uint64).view(np.float64)
    frame["value"] = -0.0
    assert FRAMES.decode(messages(frame)).tobytes() == frame.tobytes()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("codec", "dtype"), [(FRAMES, FRAME_DTYPE), (PLANS, PLAN_DTYPE)], ids=["frame", "plan"])
def test_googles_decoder_reads_the_same_numbers(codec: RecordCodec, dtype: "np.dtype[np.void]", seed: int) -> None:
    record = random_records(dtype, 1, seed)
    decoded = google_decodes(codec, codec.encode(record)[0].tobytes())
    for name in dtype.names or ():
        np.testing.assert_array_equal(np.array(getattr(decoded, name)), record[name][0].ravel())


def test_a_message_is_exactly_what_the_wire_format_says() -> None:
    frame = empty(FRAME_DTYPE)
    frame["tick"] = 5
    message = messages(frame)[0]
    assert message[:9] == b"\x09\x05\x00\x00\x00\x00\x00\x00\x00"  # field 1, fixed 64 bits, 5
    assert len(message) == FRAMES.wire_dtype.itemsize


def test_foreign_messages_are_refused() -> None:
    message = messages(empty(FRAME_DTYPE))[0]
    with pytest.raises(ConfigError, match="bytes"):
        FRAMES.decode([message[:-1]])
    with pytest.raises(ConfigError, match="fields"):
        FRAMES.decode([message, b"\x11" + message[1:]])
