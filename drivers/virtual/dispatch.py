"""What the dispatchers of both protocols share: whom a packet addresses, and what answers at once make of the line."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from robot_mbrl.drivers.virtual.collision import collide
from robot_mbrl.drivers.virtual.servo import EmulatedServo
from robot_mbrl.drivers.virtual.timing import LineTiming, Reply

BROADCAST_ID: Final = 0xFE
"""Addresses everybody, in both protocols."""


ServoT = TypeVar("ServoT", bound=EmulatedServo)


def addressed(packet_id: int, listeners: Sequence[tuple[int, ServoT]]) -> Sequence[tuple[int, ServoT]]:
    """Those of `listeners`, with their index on the bus, whom a packet with `packet_id` is for."""
    if packet_id == BROADCAST_ID:
        return listeners
    return [(index, servo) for index, servo in listeners if servo.id == packet_id]


def together(answers: Sequence[tuple[int, ServoT, bytes]], timing: LineTiming) -> list[Reply]:
    """What the line carries when all of `answers` are sent at once: one reply, or none."""
    if not answers:
        return []
    index, first, data = answers[0]
    for _, _, other in answers[1:]:
        data = collide(data, other)
    return [Reply(index, timing.answer_delay_ns(first.return_delay), data)]


def write_parts(parts: Mapping[int, tuple[int, bytes]], listeners: Sequence[tuple[int, ServoT]]) -> list[Reply]:
    """Let each servo write its part of a sync or bulk write, by ID (address, data); nobody answers."""
    for _, servo in listeners:
        part = parts.get(servo.id)
        if part is not None:
            servo.write(*part)
    return []
