"""Feetech STS behind the bus's common vocabulary."""

from collections.abc import Sequence

from robot_mbrl.contracts.errors import PacketValueError
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
        return self._decoder.broken

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

    ping = staticmethod(codec.ping)
    read = staticmethod(codec.read)
    write = staticmethod(codec.write)
    reg_write = staticmethod(codec.reg_write)
    action = staticmethod(codec.action)
    reboot = staticmethod(codec.reboot)
    sync_read = staticmethod(codec.sync_read)
    sync_write = staticmethod(codec.sync_write)
    hardware_error = staticmethod(codec.hardware_errors)

    def decoder(self) -> FeetechDecoder:
        """A fresh decoder."""
        return FeetechDecoder()

    def fast_sync_read(self, address: int, size: int, ids: Sequence[int]) -> bytes:
        """Refused: the protocol has no such instruction."""
        raise PacketValueError(
            f"Feetech has no fast sync read (asked for {size} bytes at {address} of IDs {list(ids)}): use sync_read"
        )

    def bulk_read(self, parts: Sequence[tuple[int, int, int]]) -> bytes:
        """Refused: the protocol has no such instruction."""
        raise PacketValueError(f"Feetech has no bulk read (asked of IDs {[part[0] for part in parts]}): use sync_read")

    def rejection(self, status: int) -> str:
        """Empty: a Feetech status byte tells of hardware only, a refused write is silent."""
        del status
        return ""

    def alert(self, status: int) -> bool:
        """Whether any of them is set."""
        return status != 0
