"""Who answers a Dynamixel instruction, with what and in which order."""

from collections.abc import Callable, Sequence
from typing import Final

from robot_mbrl.contracts.errors import PacketValueError
from robot_mbrl.drivers.dynamixel import codec
from robot_mbrl.drivers.dynamixel.codec import BROADCAST_ID, Decoder, Instruction, Packet, ResultCode
from robot_mbrl.drivers.virtual.dispatch import addressed, together, write_parts
from robot_mbrl.drivers.virtual.dynamixel_servo import DynamixelServo
from robot_mbrl.drivers.virtual.timing import LineTiming, Reply

Listeners = Sequence[tuple[int, DynamixelServo]]
"""The servos that hear an instruction, with their index on the bus."""

_READS, _ALL = 1, 2
_CLEAR_TURNS: Final = codec.clear(1)[8:-2]


class DynamixelDispatch:
    """Decodes what the host sends and lets the servos act on it.

    Servos that a sync or bulk read names answer in its order, each waiting for the one before: one that is missing
    silences all behind it (ROBOTIS staff in DynamixelSDK issue 364). In a fast read they write one frame together.
    A broadcast ping is answered by everybody in order of ID. Instructions that cannot be read are ignored when they
    are broadcast and refused with a length error otherwise; a wrong CRC is not answered, since the ID may be wrong too.
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
            Instruction.REBOOT: self._command,
            Instruction.FACTORY_RESET: self._command,
            Instruction.CLEAR: self._command,
            Instruction.SYNC_READ: self._chained_read,
            Instruction.BULK_READ: self._chained_read,
            Instruction.FAST_SYNC_READ: self._joint_read,
            Instruction.FAST_BULK_READ: self._joint_read,
            Instruction.SYNC_WRITE: self._sync_write,
            Instruction.BULK_WRITE: self._bulk_write,
        }

    def feed(self, data: bytes) -> list[Packet]:
        """The instructions that `data` completes."""
        return [packet for packet in self._decoder.feed(data) if packet.instruction != Instruction.STATUS]

    def idle(self) -> None:
        """The line was quiet for long: an unfinished instruction is forgotten."""
        self._decoder.reset()

    def respond(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        """Carry `packet` out on the servos that hear it and return what they put on the line."""
        handler = self._handlers.get(packet.instruction)
        try:
            if handler is not None:
                return handler(packet, listeners)
            error = ResultCode.INSTRUCTION
        except PacketValueError:
            error = ResultCode.LENGTH
        if packet.id == BROADCAST_ID:
            return []
        return self._acknowledge(packet, [(index, servo, error) for index, servo in addressed(packet.id, listeners)])

    def _together(self, answers: Sequence[tuple[int, DynamixelServo, bytes]]) -> list[Reply]:
        return together(answers, self._timing)

    def _acknowledge(self, packet: Packet, results: list[tuple[int, DynamixelServo, int]]) -> list[Reply]:
        """An answer carries the ID that the instruction had: after a change of ID, the old one."""
        if packet.id == BROADCAST_ID:
            return []
        return self._together(
            [
                (index, servo, codec.status(packet.id, error | servo.alert))
                for index, servo, error in results
                if servo.status_return_level >= _ALL
            ]
        )

    def _ping(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        found = sorted(addressed(packet.id, listeners), key=lambda listener: listener[1].id)
        replies: list[Reply] = []
        for servo_id in dict.fromkeys(servo.id for _, servo in found):
            same = [(i, s, codec.status(s.id, s.alert, s.identity)) for i, s in found if s.id == servo_id]
            replies += self._together(same)
        return replies

    def _read(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        if packet.id == BROADCAST_ID:
            return []
        address, size = codec.parse_read(packet.params)
        found = addressed(packet.id, listeners)
        return self._together(
            [(i, s, _read_status(s, address, size)) for i, s in found if s.status_return_level >= _READS]
        )

    def _write(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        address, data = codec.parse_write(packet.params)
        results: list[tuple[int, DynamixelServo, int]] = []
        for index, servo in addressed(packet.id, listeners):
            error = 0
            if packet.instruction == Instruction.WRITE:
                error = servo.write(address, data)
            else:
                servo.register_write(address, data)
            results.append((index, servo, error))
        return self._acknowledge(packet, results)

    def _command(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        found = addressed(packet.id, listeners)
        refusals = [(index, servo, self._refusal(packet, servo)) for index, servo in found]
        replies = self._acknowledge(packet, refusals)
        for _, servo, refusal in refusals:
            if not refusal:
                _carry_out(packet, servo)
        return replies

    def _refusal(self, packet: Packet, servo: DynamixelServo) -> int:
        if packet.instruction == Instruction.ACTION:
            return ResultCode.OK if servo.has_registered_write else ResultCode.RESULT
        if packet.instruction == Instruction.CLEAR:
            if packet.params != _CLEAR_TURNS:
                return ResultCode.RANGE
            return ResultCode.OK if servo.at_rest else ResultCode.RESULT
        if packet.instruction == Instruction.FACTORY_RESET:
            known = len(packet.params) == 1 and packet.params[0] in tuple(codec.ResetMode)
            everybody_to_one_id = packet.id == BROADCAST_ID and packet.params[:1] == bytes((codec.ResetMode.ALL,))
            return ResultCode.OK if known and not everybody_to_one_id else ResultCode.RANGE
        return ResultCode.OK

    def _chained_read(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        replies: list[Reply] = []
        for servo_id, address, size in _read_parts(packet):
            answers = [
                (i, s, _read_status(s, address, size))
                for i, s in addressed(servo_id, listeners)
                if s.status_return_level >= _READS
            ]
            if not answers:
                break
            replies += self._together(answers)
        return replies

    def _joint_read(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        parts = _read_parts(packet)
        bodies: list[tuple[int, int, bytes]] = []
        present: list[tuple[int, DynamixelServo]] = []
        for servo_id, address, size in parts:
            answering = addressed(servo_id, listeners)
            if len(present) == len(bodies) and answering:
                index, servo = answering[0]
                present.append((index, servo))
                bodies.append((_read_error(servo, address, size), servo_id, _data(servo, address, size)))
            else:
                bodies.append((0, servo_id, bytes(size)))
        if not present:
            return []
        frame = codec.fast_status(bodies)
        if len(present) < len(bodies):
            # LEN still promises everybody's part; only the first ones arrive.
            frame = frame[: codec.fast_answer_size(1, sum(size + 4 for _, _, size in parts[: len(present)]) - 4)]
        index, first = present[0]
        return [Reply(index, self._timing.answer_delay_ns(first.return_delay), frame)]

    def _sync_write(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        address, _, data = codec.parse_sync_write(packet.params)
        return write_parts({servo_id: (address, part) for servo_id, part in data.items()}, listeners)

    def _bulk_write(self, packet: Packet, listeners: Listeners) -> list[Reply]:
        parts = codec.parse_bulk_write(packet.params)
        return write_parts({servo_id: (address, data) for servo_id, address, data in parts}, listeners)


def _read_parts(packet: Packet) -> list[tuple[int, int, int]]:
    if packet.instruction in (Instruction.BULK_READ, Instruction.FAST_BULK_READ):
        return codec.parse_bulk_read(packet.params)
    address, size, ids = codec.parse_sync_read(packet.params)
    return [(servo_id, address, size) for servo_id in ids]


def _read_error(servo: DynamixelServo, address: int, size: int) -> int:
    return servo.alert | (ResultCode.OK if servo.readable(address, size) else ResultCode.ACCESS)


def _data(servo: DynamixelServo, address: int, size: int) -> bytes:
    return servo.read(address, size) if servo.readable(address, size) else bytes(size)


def _read_status(servo: DynamixelServo, address: int, size: int) -> bytes:
    error = _read_error(servo, address, size)
    return codec.status(servo.id, error, servo.read(address, size) if servo.readable(address, size) else b"")


def _carry_out(packet: Packet, servo: DynamixelServo) -> None:
    if packet.instruction == Instruction.ACTION:
        servo.action()
    elif packet.instruction == Instruction.REBOOT:
        servo.reboot()
    elif packet.instruction == Instruction.FACTORY_RESET:
        servo.factory_reset(codec.ResetMode(packet.params[0]))
    else:
        servo.clear_turns()
