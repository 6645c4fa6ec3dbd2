"""Dynamixel Protocol 2.0 behind the bus's common vocabulary."""

from collections.abc import Sequence

from robot_mbrl.contracts.errors import PacketValueError
from robot_mbrl.contracts.types import HardwareError
from robot_mbrl.drivers.bus.protocol import Answer
from robot_mbrl.drivers.dynamixel import codec
from robot_mbrl.drivers.dynamixel.framing import ALERT_BIT

_RESULTS = {
    codec.ResultCode.RESULT.value: "it could not carry the instruction out",
    codec.ResultCode.INSTRUCTION.value: "it does not know the instruction",
    codec.ResultCode.CRC.value: "the packet reached it broken",
    codec.ResultCode.RANGE.value: "the value is out of the register's range",
    codec.ResultCode.LENGTH.value: "the data are shorter than the register",
    codec.ResultCode.LIMIT.value: "the value is beyond its limit register",
    codec.ResultCode.ACCESS.value: "the register is read-only, or EEPROM while the torque is on",
}


class DynamixelDecoder:
    """Dynamixel status packets as answers. The joint answer to a fast read is taken apart into one a servo."""

    def __init__(self) -> None:
        self._decoder = codec.Decoder()
        self._broken_parts = 0
        self.fast_size = 0
        """Data bytes a servo in the answer to the fast sync read under way."""

    @property
    def corrupt(self) -> int:
        """Packets, or parts of a joint answer, with a wrong CRC so far."""
        return self._decoder.broken + self._broken_parts

    @property
    def garbage(self) -> int:
        """Bytes that belong to no packet so far."""
        return self._decoder.garbage_bytes

    def _answers(self, packets: Sequence[codec.Packet]) -> list[Answer]:
        answers: list[Answer] = []
        for packet in packets:
            if packet.instruction != codec.Instruction.STATUS:
                continue
            if packet.id != codec.BROADCAST_ID:
                answers.append(Answer(packet.id, packet.error, packet.params))
            elif self.fast_size:
                answers += self._parts(packet)
        return answers

    def _parts(self, packet: codec.Packet) -> list[Answer]:
        try:
            parts = codec.parse_fast_status(packet, self.fast_size)
        except PacketValueError:
            self._broken_parts += 1
            return []
        return [Answer(servo_id, error, data) for error, servo_id, data in parts]

    def feed(self, data: bytes) -> list[Answer]:
        """Answers that `data` completes."""
        return self._answers(self._decoder.feed(data))

    def flush(self) -> list[Answer]:
        """Answers hidden behind an unfinished packet."""
        return self._answers(self._decoder.flush())

    def reset(self) -> None:
        """Forget unfinished bytes."""
        self._decoder.reset()


class DynamixelProtocol:
    """Instructions and answers of Protocol 2.0: the error byte has an alert bit, a register names the error."""

    name = "dynamixel"
    ping_data_size = 3
    overhead = codec.answer_size(0)

    ping = staticmethod(codec.ping)
    read = staticmethod(codec.read)
    write = staticmethod(codec.write)
    reg_write = staticmethod(codec.reg_write)
    action = staticmethod(codec.action)
    reboot = staticmethod(codec.reboot)
    sync_read = staticmethod(codec.sync_read)
    sync_write = staticmethod(codec.sync_write)
    fast_sync_read = staticmethod(codec.fast_sync_read)
    bulk_read = staticmethod(codec.bulk_read)

    def decoder(self) -> DynamixelDecoder:
        """A fresh decoder."""
        return DynamixelDecoder()

    def rejection(self, status: int) -> str:
        """What the low seven bits of the error byte say."""
        result = status & ~ALERT_BIT
        if not result:
            return ""
        return _RESULTS.get(result, f"error code {result}, which the manual does not list")

    def hardware_error(self, status: int) -> HardwareError:
        """None: only the alert bit is here, register 70 names the error."""
        del status
        return HardwareError.NONE

    def alert(self, status: int) -> bool:
        """Whether the alert bit is set."""
        return bool(status & ALERT_BIT)
