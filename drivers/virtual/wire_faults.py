"""Faults of the wire: bytes that get lost, flipped, cut, doubled, late or made up, in either direction."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from pydantic import Field

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.config import Settings


class Direction(Enum):
    """Which way the bytes go."""

    TO_SERVO = "to_servo"
    TO_HOST = "to_host"


class TimedFault(Settings):
    """When a fault begins and ends.

    Attributes:
        at: begins so long [s] after it is handed over: after the arm's start in a scenario, from now on the control
            socket.
        duration: ends so long [s] after its beginning; None for not by itself.
    """

    at: float = Field(default=0.0, ge=0.0)
    duration: float | None = Field(default=None, gt=0.0)


class WireFault(TimedFault):
    """Which packets a fault hits.

    Attributes:
        direction: instructions, answers or both.
        servo: joint name whose answers it hits; None for all. Instructions are hit whoever they are for.
        skip: how many packets pass unharmed first.
        count: how many packets it hits; None for no end.
        probability: with which each packet is hit.
    """

    direction: Literal["to_host", "to_servo", "both"] = "to_host"
    servo: str | None = None
    skip: int = Field(default=0, ge=0)
    count: int | None = Field(default=None, gt=0)
    probability: float = Field(default=1.0, gt=0.0, le=1.0)


class Drop(WireFault):
    """The packet does not arrive."""

    fault: Literal["drop"] = "drop"


class Flip(WireFault):
    """`bits` bits of the packet, drawn at random, arrive inverted."""

    fault: Literal["flip"] = "flip"
    bits: int = Field(default=1, ge=1, le=64)


class Truncate(WireFault):
    """The last `size` bytes of the packet do not arrive."""

    fault: Literal["truncate"] = "truncate"
    size: int = Field(default=1, ge=1, le=1024)


class Duplicate(WireFault):
    """The packet arrives twice."""

    fault: Literal["duplicate"] = "duplicate"


class Delay(WireFault):
    """The packet arrives `seconds` late [s]."""

    fault: Literal["delay"] = "delay"
    seconds: float = Field(gt=0.0, le=10.0)


class Garbage(WireFault):
    """`size` random bytes arrive before the packet."""

    fault: Literal["garbage"] = "garbage"
    size: int = Field(default=4, ge=1, le=1024)


AnyWireFault = Drop | Flip | Truncate | Duplicate | Delay | Garbage


@dataclass(slots=True)
class _Active:
    fault: AnyWireFault
    to_skip: int
    left: int | None


class WireFaults:
    """The faults that are active, applied in the order in which they were added.

    Attributes:
        hits: how many packets were hit so far.
    """

    def __init__(self, joint_names: tuple[str, ...], rng: random.Random) -> None:
        self.hits = 0
        self._index: Final = {name: index for index, name in enumerate(joint_names)}
        self._rng = rng
        self._active: list[_Active] = []

    def add(self, fault: AnyWireFault) -> None:
        """Let `fault` take effect from the next packet on."""
        self._active.append(_Active(fault, fault.skip, fault.count))

    def clear(self) -> None:
        """End all wire faults."""
        self._active.clear()

    def remove(self, fault: AnyWireFault) -> None:
        """End one fault, if it has not ended by itself."""
        self._active = [active for active in self._active if active.fault is not fault]

    def apply(self, direction: Direction, servo: int | None, data: bytes) -> list[tuple[bytes, int]]:
        """What arrives instead of `data`: pieces, each with its extra delay [ns].

        Args:
            direction: which way the packet goes.
            servo: index of the servo that sent it, None for the host.
            data: the packet; from the host, whatever it handed over at once.
        """
        if not self._active:
            return [(data, 0)]
        pieces = [(data, 0)]
        for active in list(self._active):
            if self._hits(active, direction, servo):
                self.hits += 1
                pieces = [result for piece in pieces for result in self._damage(active.fault, *piece)]
        return pieces

    def _hits(self, active: _Active, direction: Direction, servo: int | None) -> bool:
        fault = active.fault
        if fault.direction not in ("both", direction.value):
            return False
        if fault.servo is not None and servo is not None and self._index[fault.servo] != servo:
            return False
        if active.to_skip:
            active.to_skip -= 1
            return False
        if fault.probability < 1.0 and self._rng.random() >= fault.probability:
            return False
        if active.left is not None:
            active.left -= 1
            if active.left == 0:
                self._active.remove(active)
        return True

    def _damage(self, fault: AnyWireFault, data: bytes, delay_ns: int) -> Iterator[tuple[bytes, int]]:
        if isinstance(fault, Drop):
            return
        if isinstance(fault, Flip):
            yield self._flipped(data, fault.bits), delay_ns
        elif isinstance(fault, Truncate):
            if len(data) > fault.size:
                yield data[: -fault.size], delay_ns
        elif isinstance(fault, Duplicate):
            yield data, delay_ns
            yield data, delay_ns
        elif isinstance(fault, Delay):
            yield data, delay_ns + to_ns(fault.seconds)
        else:
            yield self._rng.randbytes(fault.size) + data, delay_ns

    def _flipped(self, data: bytes, bits: int) -> bytes:
        damaged = bytearray(data)
        for place in self._rng.sample(range(8 * len(data)), min(bits, 8 * len(data))):
            damaged[place >> 3] ^= 1 << (place & 7)
        return bytes(damaged)
