"""What a conversation on the bus costs in time, and how answers are put on the line."""

from dataclasses import dataclass
from typing import NamedTuple

from robot_mbrl.contracts.clock import NANOSECONDS, to_ns
from robot_mbrl.drivers.line import BITS_PER_BYTE


class Reply(NamedTuple):
    """One packet that a servo puts on the line.

    Attributes:
        servo: index of the servo.
        delay_ns: silence before it, from the end of what was on the line before [ns].
        data: the bytes.
        delay_bytes: further silence, counted in bytes: the places of servos that are missing.
    """

    servo: int
    delay_ns: int
    data: bytes
    delay_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LineTiming:
    """Pace of the line.

    Attributes:
        turnaround: what a servo needs before it answers, besides its return delay register [s]; about 95 µs was
            derived from a log of real servos.
        paced: False makes bytes and answers take no time, for measuring what the host side costs.
    """

    turnaround: float = 95e-6
    paced: bool = True

    def bytes_ns(self, count: int, baud: int) -> int:
        """Time [ns] that `count` bytes take at `baud` bits per second."""
        return count * BITS_PER_BYTE * NANOSECONDS // baud if self.paced else 0

    def answer_delay_ns(self, return_delay: float) -> int:
        """Time [ns] between an instruction, or the answer before, and an answer's first bit."""
        return to_ns(self.turnaround + return_delay) if self.paced else 0
