"""The bus against a wire whose every byte and nanosecond the test decides."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from robot_mbrl.contracts.clock import ManualClock, to_ns
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.contracts.errors import BusTimeout, InstructionRejected, PacketCorrupt, PacketValueError, StaleAnswer
from robot_mbrl.drivers.bus import DynamixelProtocol, FeetechProtocol, ServoBus
from robot_mbrl.drivers.dynamixel import codec as dynamixel
from robot_mbrl.drivers.feetech import codec as feetech

SETTINGS = BusSettings(retries=2, turnaround=0.0005, margin=0.004, usb_latency=0.001)
BAUD = 1_000_000


@dataclass
class Wire:
    """A transport: `answer` maps the k-th request to (delay [s], bytes) pairs; time moves only by waiting."""

    clock: ManualClock
    answer: Callable[[int, bytes], list[tuple[float, bytes]]]
    baud: int = BAUD
    name: str = "wire"
    requests: list[bytes] = field(default_factory=list)
    request_ns: list[int] = field(default_factory=list)
    coming: list[tuple[int, bytes]] = field(default_factory=list)
    due_ns: list[int] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        index = len(self.requests)
        self.requests.append(data)
        self.request_ns.append(self.clock.now_ns())
        for delay, part in self.answer(index, data):
            self.coming.append((self.clock.now_ns() + to_ns(delay), part))
        self.coming.sort(key=lambda item: item[0])

    def read(self, deadline_ns: int, due_ns: int = 0) -> bytes:
        self.due_ns.append(due_ns)
        if self.coming and self.coming[0][0] <= max(deadline_ns, self.clock.now_ns()):
            due, data = self.coming.pop(0)
            self.clock.sleep_until_ns(due)
            return data
        self.clock.sleep_until_ns(deadline_ns)
        return b""

    def discard(self) -> int:
        gone = [data for due, data in self.coming if due <= self.clock.now_ns()]
        self.coming = [item for item in self.coming if item[0] > self.clock.now_ns()]
        return sum(len(data) for data in gone)

    def close(self) -> None:
        self.coming.clear()


READ_COST = 0.0003
"""What a read takes on a computer that is slower than the line [s]."""


@dataclass
class BabblingWire(Wire):
    """Something talks without a break: there is always more to read."""

    babble: bytes = b""
    reads: int = 0

    def read(self, deadline_ns: int, due_ns: int = 0) -> bytes:
        del deadline_ns, due_ns
        self.reads += 1
        assert self.reads < 1000, "reads for ever"
        self.clock.sleep_until_ns(self.clock.now_ns() + to_ns(READ_COST))
        return self.babble


def make_bus(
    answer: Callable[[int, bytes], list[tuple[float, bytes]]], *, dynamixel_protocol: bool = False
) -> tuple[ServoBus, Wire]:
    clock = ManualClock()
    wire = Wire(clock, answer)
    protocol = DynamixelProtocol() if dynamixel_protocol else FeetechProtocol()
    return ServoBus(wire, protocol, SETTINGS, clock), wire


def test_a_ping_is_the_published_packet_and_its_answer_is_taken() -> None:
    bus, wire = make_bus(lambda _index, _request: [(0.0002, bytes.fromhex("ff ff 01 02 00 fc"))])
    assert bus.ping(1) == b""
    assert wire.requests == [bytes.fromhex("ff ff 01 02 01 fb")]
    assert bus.statistics.servo(1).answers == 1
    assert bus.statistics.retries == bus.statistics.timeouts == bus.statistics.corrupt == 0


def test_the_deadline_is_bytes_turnaround_latency_and_margin() -> None:
    bus, wire = make_bus(lambda _index, _request: [])
    with pytest.raises(BusTimeout, match=r"servo 7 on wire: no answer within 5\.6 ms in 1 attempt"):
        bus.ping(7, retries=0)
    # 6 bytes out and 6 back at 10 µs a byte, 500 µs turnaround, 1 ms adapter, 4 ms margin.
    assert wire.clock.now_ns() == to_ns(12 * 10e-6 + 0.0005 + 0.001 + 0.004)
    assert bus.statistics.timeouts == 1
    assert bus.statistics.failures == 1


def test_a_queued_write_lengthens_the_next_deadline_by_its_own_bytes() -> None:
    bus, wire = make_bus(lambda _index, _request: [])
    bus.sync_write(42, {servo_id: bytes(6) for servo_id in range(1, 7)})
    with pytest.raises(BusTimeout):
        bus.ping(1, retries=0)
    assert wire.clock.now_ns() == to_ns((50 + 12) * 10e-6 + 0.0005 + 0.001 + 0.004)


def test_one_lost_answer_is_retried_and_counted() -> None:
    def answer(_index: int, request: bytes) -> list[tuple[float, bytes]]:
        if request == feetech.read(3, 0, 1):
            return [(0.0003, feetech.status(3, 0, b"\x03"))]
        lost = request == feetech.read(3, 56, 2) and wire.requests.count(request) == 1
        return [] if lost else [(0.0003, feetech.status(3, 0, b"\x01\x02"))]

    bus, wire = make_bus(answer)
    assert bus.read(3, 56, 2) == b"\x01\x02"
    assert bus.statistics.retries == 1
    assert bus.statistics.servo(3).timeouts == 1
    assert bus.statistics.failures == 0


def test_a_late_answer_is_never_taken_for_the_answer_to_the_next_question() -> None:
    """The first answer is held up for 8 ms, past its deadline, and arrives while the retry is under way."""
    old, new = feetech.status(3, 0, b"\x00\x00"), feetech.status(3, 0, b"\x99\x99")

    def answer(index: int, request: bytes) -> list[tuple[float, bytes]]:
        if index == 0:
            return [(0.008, old)]
        if request == feetech.read(3, 0, 1):
            # The line keeps the order: nothing overtakes the answer that is held up.
            return [(max(0.0003, 0.0081 - wire.clock.now_ns() / 1e9), feetech.status(3, 0, b"\x07"))]
        return [(0.0003, new)]

    bus, wire = make_bus(answer)
    assert bus.read(3, 56, 2) == b"\x99\x99"
    assert bus.statistics.stale == 1
    assert bus.statistics.barriers == 1
    assert wire.requests == [feetech.read(3, 56, 2), feetech.read(3, 0, 1), feetech.read(3, 56, 2)]


def test_a_barrier_without_an_answer_ends_the_attempt_and_is_repeated_with_the_same_size() -> None:
    bus, wire = make_bus(lambda _index, _request: [])
    with pytest.raises(BusTimeout):
        bus.read(3, 56, 2)
    assert wire.requests == [feetech.read(3, 56, 2), feetech.read(3, 0, 1), feetech.read(3, 0, 1)]


def test_after_a_repeated_barrier_its_own_late_answer_cannot_pass_for_data() -> None:
    """Both barriers are answered, the second one late: a one-byte read must not take it."""
    answers: dict[int, list[tuple[float, bytes]]] = {
        0: [],
        1: [(0.0065, feetech.status(3, 0, b"\xaa"))],
        2: [(0.0066, feetech.status(3, 0, b"\xbb"))],
    }
    bus, wire = make_bus(lambda index, _request: answers.get(index, []))
    with pytest.raises(BusTimeout):
        bus.read(3, 56, 2)
    with pytest.raises(BusTimeout):
        bus.read(3, 10, 1)
    assert feetech.read(3, 10, 1) not in wire.requests[:3]
    assert bus.statistics.stale + bus.statistics.garbage >= 1


def test_bytes_that_wait_in_the_port_are_thrown_away() -> None:
    bus, wire = make_bus(lambda _index, _request: [(0.0002, feetech.status(1, 0, b"\x02"))])
    wire.coming.append((0, feetech.status(1, 0, b"\x01")))
    assert bus.read(1, 62, 1) == b"\x02"
    assert bus.statistics.garbage == 7


def test_a_doubled_answer_does_not_answer_the_same_question_twice() -> None:
    """The double comes right behind the answer, and the same register is read again at once."""
    first = feetech.status(1, 0, b"\x01")

    def answer(index: int, _request: bytes) -> list[tuple[float, bytes]]:
        if index == 0:
            return [(0.0002, first), (0.00021, first)]
        return [(0.0002, feetech.status(1, 0, b"\x02"))]

    bus, _wire = make_bus(answer)
    assert bus.read(1, 62, 1) == b"\x01"
    assert bus.read(1, 62, 1) == b"\x02"


def test_a_doubled_answer_at_the_end_of_a_sync_read_does_not_start_the_next_one() -> None:
    def burst(value: int) -> bytes:
        return b"".join(feetech.status(servo_id, 0, bytes([value, servo_id])) for servo_id in (1, 2, 3))

    def answer(index: int, _request: bytes) -> list[tuple[float, bytes]]:
        if index == 0:
            return [(0.0005, burst(1)), (0.0006, feetech.status(3, 0, b"\x01\x03"))]
        return [(0.0005, burst(2))]

    bus, wire = make_bus(answer)
    bus.sync_read(56, 2, [1, 2, 3])
    assert wire.coming
    found = bus.sync_read(56, 2, [1, 2, 3])
    assert found == {1: b"\x02\x01", 2: b"\x02\x02", 3: b"\x02\x03"}
    assert bus.statistics.stale == 1


def test_a_corrupt_answer_is_retried_and_named_when_it_stays_corrupt() -> None:
    broken = bytearray(feetech.status(2, 0, b"\x10\x20"))
    broken[5] ^= 0x01

    def answer(_index: int, request: bytes) -> list[tuple[float, bytes]]:
        if request == feetech.read(2, 0, 1):
            return [(0.0002, feetech.status(2, 0, b"\x00"))]
        return [(0.0002, bytes(broken))]

    bus, wire = make_bus(answer)
    with pytest.raises(PacketCorrupt, match="servo 2 on wire: only broken packets in 3 attempts"):
        bus.read(2, 56, 2)
    assert wire.requests.count(feetech.read(2, 56, 2)) == 3
    assert bus.statistics.corrupt == 3


@pytest.mark.parametrize("babble", [b"\x55\x55\x55", feetech.status(9, 0, b"\x01")], ids=["garbage", "answers"])
def test_a_line_that_never_falls_quiet_is_given_up_at_the_deadline(babble: bytes) -> None:
    clock = ManualClock()
    wire = BabblingWire(clock, lambda _index, _request: [], babble=babble)
    bus = ServoBus(wire, FeetechProtocol(), SETTINGS, clock)
    with pytest.raises(StaleAnswer, match="servo 7 on wire: the line never fell quiet in 1 attempt: unplug what else"):
        bus.ping(7, retries=0)
    # The deadline of a ping, as above, the read under way when it passed, and one for what had come by then.
    assert clock.now_ns() <= to_ns(12 * 10e-6 + 0.0005 + 0.001 + 0.004) + 2 * to_ns(READ_COST)


def test_an_answer_in_the_midst_of_babble_is_taken() -> None:
    babble = [(0.0005 * tick, b"\x55") for tick in range(1, 200)]
    bus, _wire = make_bus(lambda _index, _request: [*babble, (0.0021, feetech.status(1, 0, b"\x05"))])
    assert bus.read(1, 62, 1) == b"\x05"


def test_answers_of_other_servos_sizes_and_false_headers_are_not_taken() -> None:
    noise = feetech.status(9, 0, b"\x01\x02") + feetech.status(1, 0, b"\x01\x02\x03") + b"\xff\xff\x01\xf0"
    bus, _wire = make_bus(lambda _index, _request: [(0.0002, noise + feetech.status(1, 0, b"\x05\x06"))])
    assert bus.read(1, 56, 2) == b"\x05\x06"
    assert bus.statistics.stale == 2


def test_a_sync_read_names_the_servo_that_is_missing() -> None:
    def answer(_index: int, request: bytes) -> list[tuple[float, bytes]]:
        if request[2] != feetech.BROADCAST_ID:
            return []
        return [(0.0005, feetech.status(1, 0, b"\x01\x01") + feetech.status(3, 0, b"\x03\x03"))]

    bus, _wire = make_bus(answer)
    with pytest.raises(BusTimeout, match="servo 2 on wire"):
        bus.sync_read(56, 2, [1, 2, 3])


def test_a_refusal_of_a_dynamixel_is_named() -> None:
    bus, _wire = make_bus(lambda _index, _request: [(0.0005, dynamixel.status(1, 7))], dynamixel_protocol=True)
    with pytest.raises(InstructionRejected, match="servo 1 on wire refused: the register is read-only, or EEPROM"):
        bus.write(1, 7, b"\x02")


def test_an_alert_bit_is_no_refusal() -> None:
    answer = dynamixel.status(1, 0x80, b"\x01\x02\x03\x04")
    bus, _wire = make_bus(lambda _index, _request: [(0.0005, answer)], dynamixel_protocol=True)
    assert bus.read(1, 132, 4) == b"\x01\x02\x03\x04"
    assert bus.statistics.servo(1).status == 0x80


def test_fast_sync_read_takes_the_joint_answer_apart() -> None:
    joint = dynamixel.fast_status([(0, 1, b"\x11\x12"), (0, 2, b"\x21\x22")])
    bus, wire = make_bus(lambda _index, _request: [(0.0005, joint)], dynamixel_protocol=True)
    assert bus.fast_sync_read(132, 2, [1, 2]) == {1: b"\x11\x12", 2: b"\x21\x22"}
    assert wire.requests[0][7] == 0x8A


def test_bulk_read_takes_other_sizes_for_each_servo() -> None:
    answers = dynamixel.status(1, 0, b"\x11\x12") + dynamixel.status(2, 0, b"\x21")
    bus, _wire = make_bus(lambda _index, _request: [(0.0005, answers)], dynamixel_protocol=True)
    assert bus.bulk_read([(1, 144, 2), (2, 146, 1)]) == {1: b"\x11\x12", 2: b"\x21"}


def test_feetech_has_neither_bulk_nor_fast_sync_reads() -> None:
    bus, wire = make_bus(lambda _index, _request: [])
    with pytest.raises(PacketValueError, match="no fast sync read"):
        bus.fast_sync_read(56, 6, [1])
    with pytest.raises(PacketValueError, match="no bulk read"):
        bus.bulk_read([(1, 56, 6)])
    assert wire.requests == []


def test_scan_lists_who_answers_and_what_cannot_be_read() -> None:
    broken = bytearray(feetech.status(4, 0))
    broken[-1] ^= 0xFF

    def answer(_index: int, request: bytes) -> list[tuple[float, bytes]]:
        return {2: [(0.0002, feetech.status(2, 0))], 4: [(0.0002, bytes(broken))]}.get(request[2], [])

    seen: list[int] = []
    bus, _wire = make_bus(answer)
    found = bus.scan(range(6), seen.append)
    assert found[2] == b""
    assert isinstance(found[4], PacketCorrupt)
    assert set(found) == {2, 4}
    assert seen == list(range(6))


def test_the_histogram_holds_every_transaction() -> None:
    bus, _wire = make_bus(lambda _index, _request: [(0.000210, feetech.status(1, 0, b"\x01"))])
    for _ in range(10):
        bus.read(1, 62, 1)
    assert int(bus.statistics.histogram.sum()) == 10
    assert bus.statistics.quantile(0.5) == pytest.approx(250e-6)


@dataclass
class SleepyWire(Wire):
    """A port on a busy computer: it sleeps until an answer is due, and then wakes up late."""

    def read(self, deadline_ns: int, due_ns: int = 0) -> bytes:
        self.clock.sleep_until_ns(due_ns + to_ns(WAKE_UP_LATE))
        return super().read(deadline_ns, due_ns)


WAKE_UP_LATE = 0.0003
"""[s]"""


def test_a_computer_that_wakes_up_late_does_not_wait_longer_every_time() -> None:
    """What it sees late must not become when it looks: 0.8 ms stay 0.8 ms, and one slow answer is forgotten."""
    clock = ManualClock()
    delays = iter([0.0015, *[0.0008] * 60])
    wire = SleepyWire(clock, lambda _index, _request: [(next(delays), feetech.status(1, 0, b"\x01"))])
    bus = ServoBus(wire, FeetechProtocol(), SETTINGS, clock)
    for _ in range(50):
        bus.read(1, 62, 1)
    waited = [due - asked for due, asked in zip(wire.due_ns[1:], wire.request_ns[1:], strict=True)]
    # At most the wire's time, the turnaround and the adapter's: 15 bytes of 10 µs, 0.5 ms and 1 ms.
    assert max(waited) <= to_ns(15 * 10e-6 + 0.0005 + 0.001)
    assert waited == sorted(waited, reverse=True)


def test_an_answer_is_due_when_the_ones_before_it_came() -> None:
    """The first answer of a kind is waited for from the start; later ones when the earlier ones had arrived."""
    bus, wire = make_bus(lambda _index, _request: [(0.0008, feetech.status(1, 0, b"\x01"))])
    for _ in range(3):
        bus.read(1, 62, 1)
    starts = wire.request_ns
    assert wire.due_ns == [0, starts[1] + to_ns(0.0008), starts[2] + to_ns(0.0008)]
