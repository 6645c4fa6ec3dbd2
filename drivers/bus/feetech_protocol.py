"""Feetech STS behind the bus's common vocabulary."""

from collections.abc import Mapping, Sequence

from robot_mbrl.contracts.errors import PacketValueError
from robot_mbrl.contracts.types import HardwareError
from robot_mbrl.drivers.bus.protocol import Answer
from robot_mbrl.drivers.feetech import codec


class FeetechDecoder:
    """Feetech status packets as answers."""

    def __init__(self) -> None:
        self._decoder = codec.Decoder()
        self.fast_size = 0

    @property
    def corrupt(self) -> int:
        """Packets with a wrong checksum so far."""
        return self._decoder.checksum_errors

    @property
    def garbage(self) -> int:
        """Bytes that belong to no packet so far."""
        return self._decoder.garbage_bytes

    def feed(self, data: bytes) -> list[Answer]:
        """Answers that `data` completes."""
        return [Answer(*packet) for packet in self._decoder.feed(data)]

    def flush(self) -> list[Answer]:
        """Answers hidden behind an unfinished packet."""
        return [Answer(*packet) for packet in self._decoder.flush()]

    def reset(self) -> None:
        """Forget unfinished bytes."""
        self._decoder.reset()


class FeetechProtocol:
    """Instructions and answers of the STS/SMS protocol. The status byte holds the hardware errors themselves."""

    name = "feetech"
    ping_data_size = 0
    overhead = codec.OVERHEAD

    def decoder(self) -> FeetechDecoder:
        """A fresh decoder."""
        return FeetechDecoder()

    def ping(self, servo_id: int) -> bytes:
        """Instruction packet."""
        return codec.ping(servo_id)

    def read(self, servo_id: int, address: int, size: int) -> bytes:
        """Instruction packet."""
        return codec.read(servo_id, address, size)

    def write(self, servo_id: int, address: int, data: bytes) -> bytes:
        """Instruction packet."""
        return codec.write(servo_id, address, data)

    def reg_write(self, servo_id: int, address: int, data: bytes) -> bytes:
        """Instruction packet."""
        return codec.reg_write(servo_id, address, data)

    def action(self) -> bytes:
        """Instruction packet, to all servos."""
        return codec.action()

    def reboot(self, servo_id: int) -> bytes:
        """Instruction packet."""
        return codec.reboot(servo_id)

    def sync_read(self, address: int, size: int, ids: Sequence[int]) -> bytes:
        """Instruction packet."""
        return codec.sync_read(address, size, ids)

    def fast_sync_read(self, address: int, size: int, ids: Sequence[int]) -> bytes:
        """Refused: the protocol has no such instruction."""
        raise PacketValueError(
            f"Feetech has no fast sync read (asked for {size} bytes at {address} of IDs {list(ids)}): use sync_read"
        )

    def bulk_read(self, parts: Sequence[tuple[int, int, int]]) -> bytes:
        """Refused: the protocol has no such instruction."""
        raise PacketValueError(f"Feetech has no bulk read (asked of IDs {[part[0] for part in parts]}): use sync_read")

    def sync_write(self, address: int, data: Mapping[int, bytes]) -> bytes:
        """Instruction packet."""
        return codec.sync_write(address, data)

    def rejection(self, status: int) -> str:
        """Empty: a Feetech status byte tells of hardware only, a refused write is silent."""
        del status
        return ""

    def hardware_error(self, status: int) -> HardwareError:
        """Hardware errors in the status byte."""
        return codec.hardware_errors(status)

    def alert(self, status: int) -> bool:
        """Whether any of them is set."""
        return status != 0
