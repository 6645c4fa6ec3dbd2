"""Records as protobuf messages in which every byte has a fixed place.

A log must be readable by other people's tools, which decode protobuf by the schema in the file, and must keep every bit
of a record, because the monitor has to give the same verdicts again. Both hold when a message has fixed-width fields
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

RecordArray = NDArray[np.void]
"""Records, shape (k,), of one dtype."""

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


class RecordCodec:
    """Turns records of one dtype into messages, and back.

    Attributes:
        name: of the message, with its package.
        schema: what an MCAP schema record of encoding `protobuf` holds: a `FileDescriptorSet`.
        wire_dtype: a message as bytes on the wire.
    """

    def __init__(self, dtype: "np.dtype[np.void]", name: str) -> None:
        """Describe messages called `name`, such as `robot_mbrl.Frame`, for records of `dtype`, which has no padding."""
        self._dtype, self._columns, self.name = dtype, dtype.names or (), name
        self.schema = self._describe()
        self._template = self._wire_template()
        self.wire_dtype = self._template.dtype
        self._is_tag = np.concatenate(
            [np.full(self.wire_dtype[name].itemsize, name.endswith(" tag")) for name in self.wire_dtype.names or ()]
        )
        self._tags = np.frombuffer(self._template.tobytes(), np.uint8)[self._is_tag]

    def encode(self, records: RecordArray) -> NDArray[np.void]:
        """(k,) of `wire_dtype`: one message for each of `records` (k,)."""
        wire = np.empty(len(records), self.wire_dtype)
        wire[:] = self._template
        for name in self._columns:
            wire[name] = records[name]
        return wire

    def decode(self, messages: Sequence[bytes]) -> RecordArray:
        """The records (k,) that `messages` were made from, bit for bit.

        Raises:
            ConfigError: a message has another size, or other tags, than `encode` gives it.
        """
        size, told = self.wire_dtype.itemsize, self.name.rpartition(".")[2].lower()
        odd = next((len(message) for message in messages if len(message) != size), None)
        if odd is not None:
            raise ConfigError(f"a logged {told} has {odd} bytes, not {size}: read it with the version that wrote it")
        data = np.frombuffer(b"".join(messages), np.uint8).reshape(-1, size)
        if not (data[:, self._is_tag] == self._tags).all():
            raise ConfigError(
                f"a logged {told} has other fields than this version's: read it with the version that wrote it"
            )
        wire = data.reshape(-1).view(self.wire_dtype)
        records = np.empty(len(messages), self._dtype)
        for name in self._columns:
            records[name] = wire[name]
        return records

    def _column(self, name: str) -> tuple[int, int, int, bool]:
        """A record's field: its number, its protobuf type, its wire type, and whether it is an array."""
        kind, wire_type = _TYPES[self._dtype[name].base.str]
        return self._columns.index(name) + 1, kind, wire_type, self._dtype[name].shape != ()

    def _describe(self) -> bytes:
        fields = b""
        for name in self._columns:
            number, kind, _, is_array = self._column(name)
            label = _REPEATED if is_array else _OPTIONAL
            fields += _field(2, _field(1, name) + _field(3, number) + _field(4, label) + _field(5, kind))
        package, _, message = self.name.rpartition(".")
        file = _field(1, f"{package}/{message.lower()}.proto") + _field(2, package)
        file += _field(4, _field(1, message) + fields) + _field(12, "proto3")
        return _field(1, file)

    def _wire_template(self) -> NDArray[np.void]:
        """One message with all tags in place and all values zero; its dtype is the wire's."""
        layout: list[tuple[str, str, tuple[int, ...]]] = []
        tags: dict[str, bytes] = {}
        for name in self._columns:
            number, _, wire_type, is_array = self._column(name)
            value = self._dtype[name]
            tag = _tag(number, _BYTES) + _varint(value.itemsize) if is_array else _tag(number, wire_type)
            tags[f"{name} tag"] = tag
            layout += [(f"{name} tag", "u1", (len(tag),)), (name, value.base.str, value.shape)]
        template = np.zeros(1, np.dtype(layout))
        for name, tag in tags.items():
            template[name] = np.frombuffer(tag, np.uint8)
        return template


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
