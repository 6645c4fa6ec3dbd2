"""Who answers a Feetech instruction, with what and in which order."""

from collections.abc import Callable, Sequence
from typing import Final

from robot_mbrl.contracts.errors import PacketValueError
from robot_mbrl.drivers.feetech import codec
from robot_mbrl.drivers.feetech.codec import BROADCAST_ID, Decoder, Instruction, Packet
from robot_mbrl.drivers.virtual.dispatch import addressed, together, write_parts
from robot_mbrl.drivers.virtual.feetech_servo import FeetechServo
from robot_mbrl.drivers.virtual.timing import LineTiming, Reply

Listeners = Sequence[tuple[int, FeetechServo]]
"""The servos that hear an instruction, with their index on the bus."""


class FeetechDispatch:
    """Decodes what the host sends and lets the servos act on it.

    Broadcasts are never answered, except a sync read by those whom it names, in its order, and a ping by everybody
    at once. A servo that a sync read names and that is not there leaves its place open: those behind it answer after
    the time that its answer would have taken. That servos count time, not answers, is an assumption; no source.
    Malformed instructions are ignored, as the protocol has no word for them.
    """

    def __init__(self, timing: LineTiming) -> None:
        self._timing = timing
        self._decoder = Decoder()
        self._handlers: Final[dict[int, Callable[[Packet, Listeners], list[Reply]]]] = {
            Instruction.PING: self._ping,
            Instruction.READ: self._read,
            Instruction.WRITE: self._write,
            Instruction.REG_WRITE: self._write,
            Instruction.ACTION: self._command,
            Instruction.RESTORE: self._command,
            Instruction.REBOOT: self._command,
            Instruction.SYNC_READ: self._sync_read,
            Instruction.SYNC_WRITE: self._sync_write,
        }

    def feed(self, data: bytes) -> list[Packet]:
        """The instructions that `data` completes."""
        return self._decoder.feed(data)

    def idle(self) -> None:
        """The line was quiet for long: an unfinished instruction is forgotten."""
        self._decoder.reset()

    def respond(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        """Carry `packet` out on the servos that hear it and return what they put on the line."""
        handler = self._handlers.get(packet.code)
        if handler is None:
            return []
        try:
            return handler(packet, listeners)
        except PacketValueError:
            return []

    def _ping(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        found = addressed(packet.id, listeners)
        return self._together([(i, servo, codec.status(servo.id, servo.status)) for i, servo in found])

    def _read(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        address, size = codec.parse_read(packet.params)
        if packet.id == BROADCAST_ID:
            return []
        found = addressed(packet.id, listeners)
        return self._together(
            [(i, servo, codec.status(servo.id, servo.status, _padded(servo, address, size))) for i, servo in found]
        )

    def _write(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        address, data = codec.parse_write(packet.params)
        found = addressed(packet.id, listeners)
        for _, servo in found:
            if packet.code == Instruction.WRITE:
                servo.write(address, data)
            else:
                servo.register_write(address, data)
        return self._acknowledge(packet, found)

    def _command(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        found = addressed(packet.id, listeners)
        replies = self._acknowledge(packet, found)
        for _, servo in found:
            if packet.code == Instruction.ACTION:
                servo.action()
            elif packet.code == Instruction.RESTORE:
                servo.restore()
            else:
                servo.reboot()
        return replies

    def _acknowledge(self, packet: Packet, found: Listeners) -> list[Reply]:
        """An answer carries the ID that the instruction had: after a change of ID, the old one."""
        if packet.id == BROADCAST_ID:
            return []
        return self._together(
            [(i, servo, codec.status(packet.id, servo.status)) for i, servo in found if servo.answers_writes]
        )

    def _sync_read(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        address, size, ids = codec.parse_sync_read(packet.params)
        replies: list[Reply] = []
        gap_ns = gap_bytes = 0
        for servo_id in ids:
            found = addressed(servo_id, listeners)
            answers = [(i, s, codec.status(servo_id, s.status, _padded(s, address, size))) for i, s in found]
            if not answers:
                gap_bytes += codec.answer_size(size)
                gap_ns += self._timing.answer_delay_ns(0.0)
                continue
            reply = self._together(answers)[0]
            replies.append(reply._replace(delay_ns=reply.delay_ns + gap_ns, delay_bytes=gap_bytes))
            gap_ns = gap_bytes = 0
        return replies

    def _sync_write(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        address, _, data = codec.parse_sync_write(packet.params)
        return write_parts({servo_id: (address, part) for servo_id, part in data.items()}, listeners)

    def _together(self, answers: Sequence[tuple[int, FeetechServo, bytes]]) -> list[Reply]:
        return together(answers, self._timing)


def _padded(servo: FeetechServo, address: int, size: int) -> bytes:
    """What a read returns: bytes that do not exist are 0."""
    return servo.read(address, size).ljust(size, b"\0")
