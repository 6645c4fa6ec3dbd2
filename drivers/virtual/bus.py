"""The emulated servo bus: bytes in, bytes out, each at its time. No I/O and no clock of its own.

The line is half-duplex. A chunk of the host's bytes starts when it is handed over, or when the line falls silent, and
takes 10 bits a byte; the instructions in it act when its last bit is over. Answers follow one after the other, each
after its servo's delay, and each is handed to the host as a whole when its last bit is over.

A host that talks while servos answer would garble both on a real line; here its bytes wait. A servo whose baud rate is
not the host's hears nothing, and says nothing.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.drivers.virtual.servo import EmulatedServo
from robot_mbrl.drivers.virtual.timing import LineTiming, Reply
from robot_mbrl.drivers.virtual.wire_faults import Direction, WireFaults

_FORGET_NS: Final = to_ns(0.01)
"""Silence [ns] after which an unfinished instruction is dropped; an assumption, the vendors publish no figure."""


class Dispatch(Protocol):
    """One protocol: finds instructions in bytes and lets servos answer them."""

    def feed(self, data: bytes) -> Sequence[Any]:
        """The instructions that `data` completes."""

    def idle(self) -> None:
        """The line was quiet for long: an unfinished instruction is forgotten."""

    def respond(self, packet: Any, listeners: Sequence[tuple[int, Any]]) -> list[Reply]:
        """Carry an instruction out and return what the servos put on the line."""


class _Chunk(NamedTuple):
    received_ns: int
    baud: int
    data: bytes


class VirtualBus:
    """Servos on one line.

    Attributes:
        instructions: how many instructions the servos have heard.
        answers: how many packets they have put on the line.
        usb_latency: the adapter hands bytes over only at multiples of this time [s]; 0 hands them over at once.
    """

    def __init__(
        self, servos: Sequence[EmulatedServo], dispatch: Dispatch, timing: LineTiming, faults: WireFaults
    ) -> None:
        self.instructions = 0
        self.answers = 0
        self.usb_latency = 0.0
        self._servos = tuple(servos)
        self._dispatch = dispatch
        self._timing = timing
        self._faults = faults
        self._inbox: deque[_Chunk] = deque()
        self._outbox: deque[tuple[int, bytes]] = deque()
        self._line_free_ns = 0
        self._last_heard_ns = 0

    def receive(self, data: bytes, baud: int, now_ns: int) -> None:
        """Take bytes that the host has handed over at `now_ns` [ns] with its port at `baud`."""
        for part, delay_ns in self._faults.apply(Direction.TO_SERVO, None, data):
            self._inbox.append(_Chunk(now_ns + delay_ns, baud, part))

    def next_event_ns(self) -> int | None:
        """When `poll` has something to do again [ns]; None when nothing is under way."""
        event = self._outbox[0][0] if self._outbox else None
        if self._inbox:
            end = self._end_of(self._inbox[0])
            return end if event is None else min(event, end)
        return event

    def poll(self, now_ns: int) -> bytes:
        """Let all that is due by `now_ns` [ns] happen; returns the bytes that have reached the host."""
        while self._inbox:
            end = self._end_of(self._inbox[0])
            if end > now_ns:
                break
            self._hear(self._inbox.popleft(), end)
        received = b""
        while self._outbox and self._outbox[0][0] <= now_ns:
            received += self._outbox.popleft()[1]
        return received

    def clear(self) -> None:
        """Drop what is under way in both directions, as when the adapter is unplugged."""
        self._inbox.clear()
        self._outbox.clear()
        self._dispatch.idle()

    def _end_of(self, chunk: _Chunk) -> int:
        return max(chunk.received_ns, self._line_free_ns) + self._timing.bytes_ns(len(chunk.data), chunk.baud)

    def _hear(self, chunk: _Chunk, end_ns: int) -> None:
        if chunk.received_ns - self._last_heard_ns > _FORGET_NS:
            self._dispatch.idle()
        self._last_heard_ns = end_ns
        self._line_free_ns = end_ns
        listeners = [
            (index, servo) for index, servo in enumerate(self._servos) if servo.listening and servo.baud == chunk.baud
        ]
        if not listeners:
            return
        for packet in self._dispatch.feed(chunk.data):
            self.instructions += 1
            for _, servo in listeners:
                servo.on_instruction()
            for reply in self._dispatch.respond(packet, listeners):
                self._send(reply, chunk.baud)

    def _send(self, reply: Reply, baud: int) -> None:
        size = reply.delay_bytes + len(reply.data)
        end_ns = self._line_free_ns + reply.delay_ns + self._timing.bytes_ns(size, baud)
        self._line_free_ns = end_ns
        self.answers += 1
        for part, delay_ns in self._faults.apply(Direction.TO_HOST, reply.servo, reply.data):
            due_ns = end_ns + delay_ns
            if self.usb_latency > 0.0:
                period_ns = to_ns(self.usb_latency)
                due_ns = -(-due_ns // period_ns) * period_ns
            if self._outbox:
                due_ns = max(due_ns, self._outbox[-1][0])
            self._outbox.append((due_ns, part))
