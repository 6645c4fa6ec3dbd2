"""Frames as protobuf messages in which every byte has a fixed place.

A log must be readable by other people's tools, which decode protobuf by the schema in the file, and must keep every bit
of a frame, because the monitor has to give the same verdicts again. Both hold when a message has fixed-width fields
only (double, sfixed64, sfixed32, packed arrays of them) and leaves none out, not even zeros: on the wire such a field
is its tag and then the raw little-endian value. All messages then have the same tags at the same places, one NumPy
dtype describes them, and encoding is copying columns: no float is ever printed, parsed or rounded, so that NaN payloads
and the sign of zero survive.

Wire format and descriptors: protobuf.dev, "Encoding" and `google/protobuf/descriptor.proto`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import FRAME_DTYPE

FrameArray = NDArray[np.void]
"""Frames, shape (k,), of `FRAME_DTYPE`."""

MESSAGE_NAME: Final = "robot_mbrl.Frame"

_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5
_VARINT: Final = 0
"""Wire types."""

_OPTIONAL: Final = 1
_REPEATED: Final = 3
"""Labels of `FieldDescriptorProto`."""

_TYPES: Final = {"<f8": (1, _FIXED64), "<i8": (16, _FIXED64), "<i4": (15, _FIXED32)}
"""By NumPy's name of a number: type of `FieldDescriptorProto`, and wire type. Double, sfixed64, sfixed32."""


def _varint(value: int) -> bytes:
    """A number >= 0 as protobuf writes it: seven bits a byte, low ones first."""
    low = bytearray()
    while value > 0x7F:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*low, value])


def _tag(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _field(number: int, value: int | str | bytes) -> bytes:
    """A field of a descriptor: a number, a text, or a message that is encoded already."""
    if isinstance(value, int):
        return _tag(number, _VARINT) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _tag(number, _BYTES) + _varint(len(data)) + data


def _column(name: str) -> tuple[int, int, int, bool]:
    """A frame's field: its number, its protobuf type, its wire type, and whether it is an array."""
    assert FRAME_DTYPE.names is not None
    kind, wire_type = _TYPES[FRAME_DTYPE[name].base.str]
    return FRAME_DTYPE.names.index(name) + 1, kind, wire_type, FRAME_DTYPE[name].shape != ()


def _columns() -> tuple[str, ...]:
    return FRAME_DTYPE.names or ()


def _describe() -> bytes:
    """The schema of a frame as a `FileDescriptorSet`."""
    fields = b""
    for name in _columns():
        number, kind, _, is_array = _column(name)
        label = _REPEATED if is_array else _OPTIONAL
        fields += _field(2, _field(1, name) + _field(3, number) + _field(4, label) + _field(5, kind))
    package, _, message = MESSAGE_NAME.rpartition(".")
    file = _field(1, "robot_mbrl/frame.proto") + _field(2, package)
    file += _field(4, _field(1, message) + fields) + _field(12, "proto3")
    return _field(1, file)


def _wire_template() -> NDArray[np.void]:
    """One message with all tags in place and all values zero; its dtype is the wire's."""
    layout: list[tuple[str, str, tuple[int, ...]]] = []
    tags: dict[str, bytes] = {}
    for name in _columns():
        number, _, wire_type, is_array = _column(name)
        value = FRAME_DTYPE[name]
        tag = _tag(number, _BYTES) + _varint(value.itemsize) if is_array else _tag(number, wire_type)
        tags[f"{name} tag"] = tag
        layout += [(f"{name} tag", "u1", (len(tag),)), (name, value.base.str, value.shape)]
    template = np.zeros(1, np.dtype(layout))
    for name, tag in tags.items():
        template[name] = np.frombuffer(tag, np.uint8)
    return template


SCHEMA: Final = _describe()
"""What an MCAP schema record of encoding `protobuf` holds: a `FileDescriptorSet`."""

_TEMPLATE: Final = _wire_template()
WIRE_DTYPE: Final = _TEMPLATE.dtype
"""A message as bytes on the wire."""

_IS_TAG: Final = np.concatenate(
    [np.full(WIRE_DTYPE[name].itemsize, name.endswith(" tag")) for name in WIRE_DTYPE.names or ()]
)
_TAGS: Final = np.frombuffer(_TEMPLATE.tobytes(), np.uint8)[_IS_TAG]


def join_frames(batches: Sequence[FrameArray]) -> FrameArray:
    """All frames of `batches`, shapes (k,), in one array.

    `np.concatenate` copies structured arrays field by field, which takes 30 µs a frame.
    """
    return np.frombuffer(bytearray(b"".join([batch.tobytes() for batch in batches])), FRAME_DTYPE)


def encode_frames(frames: FrameArray) -> NDArray[np.void]:
    """(k,) of `WIRE_DTYPE`: one message for each of `frames` (k,)."""
    wire = np.empty(len(frames), WIRE_DTYPE)
    wire[:] = _TEMPLATE
    for name in _columns():
        wire[name] = frames[name]
    return wire


def decode_frames(messages: Sequence[bytes]) -> FrameArray:
    """The frames (k,) that `messages` were made from, bit for bit.

    Raises:
        ConfigError: a message has another size, or other tags, than `encode_frames` gives it.
    """
    size = WIRE_DTYPE.itemsize
    odd = next((len(message) for message in messages if len(message) != size), None)
    if odd is not None:
        raise ConfigError(f"a logged frame has {odd} bytes, not {size}: read it with the version that wrote it")
    data = np.frombuffer(b"".join(messages), np.uint8).reshape(-1, size)
    if not (data[:, _IS_TAG] == _TAGS).all():
        raise ConfigError("a logged frame has other fields than this version's: read it with the version that wrote it")
    wire = data.reshape(-1).view(WIRE_DTYPE)
    frames = np.empty(len(messages), FRAME_DTYPE)
    for name in _columns():
        frames[name] = wire[name]
    return frames
