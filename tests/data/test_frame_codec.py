"""Frames to protobuf and back: every bit survives, and Google's own decoder reads the same numbers."""

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import FRAME_DTYPE, empty
from robot_mbrl.data.frame_codec import MESSAGE_NAME, SCHEMA, WIRE_DTYPE, FrameArray, decode_frames, encode_frames

SIGNALLING_NAN = 0x7FF0_0000_0000_0001
"""A NaN that arithmetic would turn into a quiet one."""


def messages(frames: FrameArray) -> list[bytes]:
    """`frames` on the wire."""
    return [row.tobytes() for row in encode_frames(frames)]


def google_decodes(message: bytes) -> Any:
    """`message` as Google's protobuf library reads it by our schema."""
    descriptors = importlib.import_module("google.protobuf.descriptor_pb2").FileDescriptorSet.FromString(SCHEMA)
    factory = importlib.import_module("google.protobuf.message_factory")
    return factory.GetMessages(list(descriptors.file))[MESSAGE_NAME].FromString(message)


def random_frames(count: int, seed: int) -> FrameArray:
    """`count` frames of random bytes."""
    return np.frombuffer(np.random.default_rng(seed).bytes(count * FRAME_DTYPE.itemsize), FRAME_DTYPE)


def test_a_frame_has_no_padding_that_columns_would_miss() -> None:
    assert FRAME_DTYPE.itemsize == sum(FRAME_DTYPE[name].itemsize for name in FRAME_DTYPE.names or ())


@given(st.lists(st.binary(min_size=FRAME_DTYPE.itemsize, max_size=FRAME_DTYPE.itemsize), max_size=4))
def test_every_bit_of_any_frame_survives(raw: list[bytes]) -> None:
    frames = np.frombuffer(b"".join(raw), FRAME_DTYPE)
    assert decode_frames(messages(frames)).tobytes() == frames.tobytes()


def test_signalling_nans_and_the_sign_of_zero_survive() -> None:
    frame = empty(FRAME_DTYPE)
    frame["position"] = np.array([SIGNALLING_NAN], np.uint64).view(np.float64)
    frame["value"] = -0.0
    assert decode_frames(messages(frame)).tobytes() == frame.tobytes()


@pytest.mark.parametrize("seed", range(3))
def test_googles_decoder_reads_the_same_numbers(seed: int) -> None:
    frame = random_frames(1, seed)
    decoded = google_decodes(messages(frame)[0])
    for name in FRAME_DTYPE.names or ():
        np.testing.assert_array_equal(np.array(getattr(decoded, name)), frame[name][0])


def test_a_message_is_exactly_what_the_wire_format_says() -> None:
    frame = empty(FRAME_DTYPE)
    frame["tick"] = 5
    message = messages(frame)[0]
    assert message[:9] == b"\x09\x05\x00\x00\x00\x00\x00\x00\x00"  # field 1, fixed 64 bits, 5
    assert len(message) == WIRE_DTYPE.itemsize


def test_foreign_messages_are_refused() -> None:
    message = messages(empty(FRAME_DTYPE))[0]
    with pytest.raises(ConfigError, match="bytes"):
        decode_frames([message[:-1]])
    with pytest.raises(ConfigError, match="fields"):
        decode_frames([message, b"\x11" + message[1:]])
