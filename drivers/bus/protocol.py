"""What the two servo protocols have in common, so that one bus talks both.

An answer is the same thing in both: who sent it, a status byte, data. What differs (framing, instructions, how a
status byte reads) is behind `BusProtocol`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from robot_mbrl.contracts.types import HardwareError


class Answer(NamedTuple):
    """One status packet.

    Attributes:
        id: the servo that sent it.
        status: status (Feetech) or error byte (Dynamixel).
        data: its parameters.
    """

    id: int
    status: int
    data: bytes


class AnswerDecoder(Protocol):
    """Turns received bytes into answers, over any chunking."""

    @property
    def corrupt(self) -> int:
        """Packets with a wrong checksum or CRC so far."""

    @property
    def garbage(self) -> int:
        """Bytes that belong to no packet so far."""

    fast_size: int
    """Data bytes a servo in the joint answer to the fast sync read under way, 0 when there is none."""

    def feed(self, data: bytes) -> list[Answer]:
        """Take `data` and return the answers that it completes."""

    def flush(self) -> list[Answer]:
        """Give up waiting for an unfinished packet and return the answers hidden behind it."""

    def reset(self) -> None:
        """Forget unfinished bytes."""


class BusProtocol(Protocol):
    """Instructions and answers of one protocol."""

    name: str
    """`feetech` or `dynamixel`."""
    ping_data_size: int
    """Bytes of data in the answer to a ping."""
    overhead: int
    """Bytes of a status packet besides its data."""

    def decoder(self) -> AnswerDecoder:
        """A fresh decoder."""

    def ping(self, servo_id: int, /) -> bytes:
        """Instruction packet."""

    def read(self, servo_id: int, /, address: int, size: int) -> bytes:
        """Instruction packet."""

    def write(self, servo_id: int, /, address: int, data: bytes) -> bytes:
        """Instruction packet."""

    def reg_write(self, servo_id: int, /, address: int, data: bytes) -> bytes:
        """Instruction packet."""

    def action(self) -> bytes:
        """Instruction packet, to all servos."""

    def reboot(self, servo_id: int, /) -> bytes:
        """Instruction packet."""

    def sync_read(self, address: int, size: int, ids: Sequence[int]) -> bytes:
        """Instruction packet."""

    def fast_sync_read(self, address: int, size: int, ids: Sequence[int]) -> bytes:
        """Instruction packet; PacketValueError where the protocol has none."""

    def bulk_read(self, parts: Sequence[tuple[int, int, int]]) -> bytes:
        """Instruction packet for (servo, address, size) each; PacketValueError where the protocol has none."""

    def sync_write(self, address: int, data: Mapping[int, bytes]) -> bytes:
        """Instruction packet."""

    def rejection(self, status: int) -> str:
        """Why the servo refused the instruction, empty when it did not."""

    def hardware_error(self, status: int, /) -> HardwareError:
        """The hardware errors that a status byte itself tells (none for Dynamixel: there it is a register)."""

    def alert(self, status: int) -> bool:
        """Whether the status byte says that the servo has a hardware error."""
