"""The servo bus: one instruction at a time, each with its own deadline, and no late answer taken for a new one.

How stale answers are kept out, since neither protocol numbers its packets:

1. What has arrived before an instruction is sent is thrown away.
2. Answers must come from the servos that were asked, in the order they were asked, with the size that was asked.
3. After a time-out the missing answer may still be on its way. Its servo and size are remembered as *suspect*.
   Before the same size is asked of that servo again, a *barrier* is sent: a read of another size. Line and
   adapter keep the order, so the barrier's answer pushes everything older out in front of it.
4. Where one servo is asked for the same size twice in a row, a doubled packet would fit. The line is then given
   one packet's time to show it before the second instruction goes out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from robot_mbrl.contracts.clock import NANOSECONDS, Clock, to_ns
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.contracts.errors import BusError, BusTimeout, InstructionRejected, PacketCorrupt, StaleAnswer
from robot_mbrl.drivers.bus.port import Transport
from robot_mbrl.drivers.bus.protocol import Answer, BusProtocol
from robot_mbrl.drivers.bus.statistics import BusStatistics
from robot_mbrl.drivers.line import BITS_PER_BYTE
from robot_mbrl.drivers.registers import Register


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How one attempt ended: the answers that came, by servo, who did not answer, and whether there was noise instead.

    Noise is a broken packet or bytes that belong to none: something spoke, so it was not silence. The line was restless
    when bytes that answer nothing still came at the deadline.
    """

    answers: dict[int, Answer]
    missing: list[int]
    noise: bool
    restless: bool


@dataclass(slots=True)
class _Question:
    """An instruction and what must answer it.

    Attributes:
        request: the packet.
        expected: (servo, data size) in the order of the answers.
        order: place of each servo in `expected`.
        timeout_ns: from the request's first bit to the deadline of the last answer [ns].
        typical_ns: from the request's first bit to the last answer, as quickly as it ever went [ns]; 0 before the
            first.
    """

    request: bytes
    expected: list[tuple[int, int]]
    order: dict[int, int]
    timeout_ns: int
    typical_ns: int = 0


class ServoBus:
    """All servos on one port. Not thread-safe: one owner at a time."""

    def __init__(self, transport: Transport, protocol: BusProtocol, settings: BusSettings, clock: Clock) -> None:
        """Talk `protocol` over `transport`; the bus owns neither the clock nor the port's settings."""
        self._transport = transport
        self._protocol = protocol
        self._settings = settings
        self._clock = clock
        self._decoder = protocol.decoder()
        self._byte_time = BITS_PER_BYTE / transport.baud
        self._suspects: dict[int, set[int]] = {}
        self._open_barriers: dict[int, int] = {}
        # Reads are the same every cycle: their packets are built once. (address, size, servos) as the key.
        self._reads: dict[tuple[int, ...], _Question] = {}
        self._last_single: tuple[int, int] | None = None
        self._line_free_ns = clock.now_ns()
        self.statistics = BusStatistics()
        self.last_answer_ns = -1
        """When the last byte of the latest answer arrived [ns]."""

    @property
    def protocol(self) -> BusProtocol:
        """The protocol in use."""
        return self._protocol

    @property
    def name(self) -> str:
        """Name of the port."""
        return self._transport.name

    @property
    def line_free_ns(self) -> int:
        """When the bytes handed over so far will have left the wire [ns]."""
        return self._line_free_ns

    def close(self) -> None:
        """Give up the port."""
        self._transport.close()

    def answer_timeout(self, request_size: int, sizes: Sequence[int]) -> float:
        """Seconds from an instruction's first bit to the deadline of its last answer.

        Bytes both ways at 10 bits each, what each servo needs before it answers, what the adapter holds back, and
        the scheduling margin.
        """
        wire = request_size + sum(sizes) + self._protocol.overhead * len(sizes)
        settings = self._settings
        return wire * self._byte_time + settings.turnaround * len(sizes) + settings.usb_latency + settings.margin

    def _question(self, request: bytes, expected: list[tuple[int, int]]) -> _Question:
        order = {servo_id: index for index, (servo_id, _) in enumerate(expected)}
        timeout = self.answer_timeout(len(request), [size for _, size in expected])
        return _Question(request, expected, order, to_ns(timeout))

    # -- instructions -------------------------------------------------------------------------------------------

    def ping(self, servo_id: int, *, retries: int | None = None) -> bytes:
        """Data of a servo's answer to a ping (Dynamixel: model and firmware; Feetech: none).

        Raises:
            BusTimeout: nobody answers to `servo_id`.
            PacketCorrupt: something answers, but not readably: two servos with one ID, or a wrong baud rate.
        """
        question = self._question(self._protocol.ping(servo_id), [(servo_id, self._protocol.ping_data_size)])
        return self._ask(question, retries)[servo_id].data

    def read(self, servo_id: int, address: int, size: int) -> bytes:
        """`size` bytes of a servo's control table.

        Raises:
            BusTimeout, PacketCorrupt: no good answer after the retries.
            InstructionRejected: the servo refused.
        """
        kind = (address, size, servo_id)
        question = self._reads.get(kind)
        if question is None:
            request = self._protocol.read(servo_id, address, size)
            question = self._reads[kind] = self._question(request, [(servo_id, size)])
        return self._ask(question)[servo_id].data

    def write(self, servo_id: int, address: int, data: bytes) -> None:
        """Write `data` into a servo's control table and wait for its word that it did.

        Raises:
            BusTimeout, PacketCorrupt: no good answer after the retries; the write may have happened.
            InstructionRejected: the servo refused.
        """
        self._ask(self._question(self._protocol.write(servo_id, address, data), [(servo_id, 0)]))

    def read_register(self, servo_id: int, register: Register) -> int:
        """A register's value; errors as `read`."""
        return register.decode(self.read(servo_id, register.address, register.size))

    def write_register(self, servo_id: int, register: Register, value: int) -> None:
        """Write a register; errors as `write`, and PacketValueError where `value` does not fit."""
        self.write(servo_id, register.address, register.encode(value))

    def sync_read(self, address: int, size: int, ids: Sequence[int]) -> dict[int, bytes]:
        """The same `size` bytes of every servo in `ids`, by servo.

        Raises:
            BusTimeout, PacketCorrupt: a servo's answer is missing or broken after the retries; its ID is named.
        """
        if self._settings.fast_sync_read:
            return self.fast_sync_read(address, size, ids)
        kind = (address, size, len(ids), *ids)
        question = self._reads.get(kind)
        if question is None:
            request = self._protocol.sync_read(address, size, ids)
            question = self._reads[kind] = self._question(request, [(servo_id, size) for servo_id in ids])
        answers = self._ask(question)
        return {servo_id: answer.data for servo_id, answer in answers.items()}

    def fast_sync_read(self, address: int, size: int, ids: Sequence[int]) -> dict[int, bytes]:
        """`sync_read` with one joint answer (Dynamixel). A servo that is missing takes all others with it.

        Raises:
            BusTimeout, PacketCorrupt: no whole answer after the retries.
            PacketValueError: the protocol has no such instruction.
        """
        request = self._protocol.fast_sync_read(address, size, ids)
        self._decoder.fast_size = size
        try:
            answers = self._ask(self._question(request, [(servo_id, size) for servo_id in ids]))
        finally:
            self._decoder.fast_size = 0
        return {servo_id: answer.data for servo_id, answer in answers.items()}

    def bulk_read(self, parts: Sequence[tuple[int, int, int]]) -> dict[int, bytes]:
        """For each (servo, address, size) those bytes, by servo (Dynamixel); errors as `fast_sync_read`."""
        request = self._protocol.bulk_read(parts)
        answers = self._ask(self._question(request, [(servo_id, size) for servo_id, _, size in parts]))
        return {servo_id: answer.data for servo_id, answer in answers.items()}

    def sync_write(self, address: int, data: Mapping[int, bytes]) -> None:
        """Write to several servos at once. Nobody answers, so nothing tells whether it arrived."""
        self._send(self._protocol.sync_write(address, data))

    def reg_write(self, servo_id: int, address: int, data: bytes) -> None:
        """Leave a write with a servo until `action`; errors as `write`."""
        self._ask(self._question(self._protocol.reg_write(servo_id, address, data), [(servo_id, 0)]))

    def action(self) -> None:
        """Let all servos do what `reg_write` left with them. Nobody answers."""
        self._send(self._protocol.action())

    def reboot(self, servo_id: int) -> None:
        """Restart a servo; it is silent for up to a second. Errors as `write`, but never repeated."""
        self._ask(self._question(self._protocol.reboot(servo_id), [(servo_id, 0)]), retries=0)

    def scan(self, ids: Sequence[int], progress: Callable[[int], None] = lambda _: None) -> dict[int, bytes | BusError]:
        """Ping every ID once and return what answered: ping data, or the error where the answer was not readable."""
        found: dict[int, bytes | BusError] = {}
        for servo_id in ids:
            try:
                found[servo_id] = self.ping(servo_id, retries=0)
            except PacketCorrupt as error:
                found[servo_id] = error
            except BusTimeout:
                pass
            progress(servo_id)
        return found

    # -- one transaction ----------------------------------------------------------------------------------------

    def _send(self, request: bytes) -> None:
        begin = max(self._clock.now_ns(), self._line_free_ns)
        self._transport.write(request)
        self._line_free_ns = begin + to_ns(len(request) * self._byte_time)
        self.statistics.transactions += 1

    def _ask(self, question: _Question, retries: int | None = None) -> dict[int, Answer]:
        """Send until all that is expected has come, at most `retries` times again."""
        attempts = 1 + (self._settings.retries if retries is None else retries)
        for attempt in range(attempts):
            if attempt:
                self.statistics.retries += 1
            outcome = self._clear_line(question.expected) or self._exchange(question)
            if not outcome.missing:
                return self._accept(outcome.answers)
        self.statistics.failures += 1
        raise self._failure(outcome, attempts, question)

    def _accept(self, answers: dict[int, Answer]) -> dict[int, Answer]:
        for servo_id, answer in answers.items():
            reason = self._protocol.rejection(answer.status)
            if reason:
                raise InstructionRejected(f"servo {servo_id} on {self.name} refused: {reason}")
        return answers

    def _failure(self, outcome: _Outcome, attempts: int, question: _Question) -> BusError:
        who = f"servo {', '.join(str(servo_id) for servo_id in outcome.missing)} on {self.name}"
        tried = f"in {attempts} attempt{'s' if attempts > 1 else ''}"
        if outcome.restless:
            return StaleAnswer(
                f"{who}: the line never fell quiet {tried}: unplug what else talks on it, then check cable and baud "
                f"rate ({self._transport.baud})"
            )
        if outcome.noise:
            return PacketCorrupt(
                f"{who}: only broken packets {tried}: check cable, power, baud rate ({self._transport.baud}) and that "
                "no two servos share an ID"
            )
        limit = question.timeout_ns * 1e3 / NANOSECONDS
        return BusTimeout(f"{who}: no answer within {limit:.1f} ms {tried}: check power, cable, ID and baud rate")

    def _exchange(self, question: _Question) -> _Outcome:
        """Send once and collect answers until all have come or the deadline has passed."""
        begin = max(self._clock.now_ns(), self._line_free_ns)
        noise_before = self._decoder.corrupt, self._decoder.garbage, self.statistics.stale
        typical, expected = question.typical_ns, question.expected
        self._send(question.request)
        answers, quiet = self._collect(question, begin + question.timeout_ns, begin + typical if typical else 0)
        missing = [pair for pair in expected if pair[0] not in answers]
        if not missing:
            duration = self.last_answer_ns - begin
            # Only ever less: whoever sleeps until an answer is due sees it no earlier, and a mean would run away
            # upwards on a computer that wakes up late.
            longest = question.timeout_ns - to_ns(self._settings.margin)
            question.typical_ns = min(duration, typical or longest, longest)
        self._last_single = expected[0] if len(expected) == 1 else None
        self.statistics.record_time((self._clock.now_ns() - begin) / NANOSECONDS)
        return self._account(answers, missing, noise_before, quiet=quiet)

    def _account(
        self,
        answers: dict[int, Answer],
        missing: list[tuple[int, int]],
        noise_before: tuple[int, int, int],
        *,
        quiet: bool,
    ) -> _Outcome:
        """Count what one exchange brought; an answer that did not come becomes a suspect."""
        statistics = self.statistics
        corrupt = self._decoder.corrupt - noise_before[0]
        garbage = self._decoder.garbage - noise_before[1]
        stale = statistics.stale - noise_before[2]
        statistics.corrupt += corrupt
        statistics.garbage += garbage
        for servo_id, size in missing:
            statistics.timeouts += 1
            statistics.servo(servo_id).timeouts += 1
            self._suspects.setdefault(servo_id, set()).add(size)
        noise = corrupt + garbage > 0
        ids = [servo_id for servo_id, _ in missing]
        return _Outcome(answers, ids, noise=noise, restless=not quiet and (noise or stale > 0))

    def _collect(self, question: _Question, deadline: int, due_ns: int) -> tuple[dict[int, Answer], bool]:
        """Match answers to what is expected, in order; also whether the line was quiet at the deadline.

        An answer from further down the order is taken as long as nobody before it answers afterwards: if one does,
        the early one was a leftover and is dropped. What has come by the deadline is read after it at the latest,
        once: a line on which bytes never cease does not hold up the answer that there is none.
        """
        expected, order = question.expected, question.order
        taken: list[Answer | None] = [None] * len(expected)
        position = 0
        while True:
            is_late = self._clock.now_ns() >= deadline
            data = self._transport.read(deadline, due_ns)
            found = self._decoder.feed(data) if data else self._decoder.flush()
            if data:
                self.last_answer_ns = self._clock.now_ns()
            for answer in found:
                index = order.get(answer.id, -1)
                if index < 0 or not self._fits(answer, expected[index][1]):
                    self.statistics.stale += 1
                    continue
                for later in range(index, position):
                    if taken[later] is not None:
                        taken[later] = None
                        self.statistics.stale += 1
                taken[index] = answer
                position = index + 1
                self._note(answer)
            complete = position == len(expected) and None not in taken
            if complete or is_late or not data:
                found_by = {answer.id: answer for answer in taken if answer is not None}
                return found_by, complete or not data

    def _fits(self, answer: Answer, size: int) -> bool:
        """Whether an answer has the size that was asked for; a refusal comes without data."""
        return len(answer.data) == size or (not answer.data and bool(self._protocol.rejection(answer.status)))

    def _note(self, answer: Answer) -> None:
        servo = self.statistics.servo(answer.id)
        servo.answers += 1
        servo.status = answer.status
        servo.stamp_ns = self.last_answer_ns
        self._line_free_ns = self.last_answer_ns

    # -- keeping the line clean ---------------------------------------------------------------------------------

    def _clear_line(self, expected: Sequence[tuple[int, int]]) -> _Outcome | None:
        """Make sure that nothing on its way could pass for an answer to `expected`.

        Returns:
            None when the line is clear, else the outcome of the barrier that found no answer.
        """
        if len(expected) == 1 and self._last_single == expected[0]:
            packet_time = (expected[0][1] + self._protocol.overhead) * self._byte_time
            self._clock.sleep_until_ns(self.last_answer_ns + to_ns(packet_time))
        self.statistics.garbage += self._transport.discard()
        self._decoder.reset()
        for servo_id, size in expected:
            if size in self._suspects.get(servo_id, ()):
                outcome = self._barrier(servo_id)
                if outcome.missing:
                    return outcome
        return None

    def _barrier(self, servo_id: int) -> _Outcome:
        """Read a size that no late answer of `servo_id` has, and forget the suspects in front of its answer.

        A barrier that found no answer is repeated with its own size: whichever of the two is answered, everything
        before the first is out. The size then stays suspect, as the other answer may still come.
        """
        unanswered = self._open_barriers.pop(servo_id, None)
        suspects = self._suspects[servo_id]
        size = min(set(range(1, len(suspects) + 2)) - suspects) if unanswered is None else unanswered
        self.statistics.barriers += 1
        outcome = self._exchange(self._question(self._protocol.read(servo_id, 0, size), [(servo_id, size)]))
        if outcome.missing:
            self._open_barriers[servo_id] = size
        else:
            self._suspects[servo_id] = set() if unanswered is None else {size}
        return outcome
