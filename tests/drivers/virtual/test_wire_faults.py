"""Faults of the wire, as bytes that a host sees."""

import random

import pytest

from robot_mbrl.drivers.feetech import codec
from robot_mbrl.drivers.virtual.wire_faults import (
    AnyWireFault,
    Delay,
    Direction,
    Drop,
    Duplicate,
    Flip,
    Garbage,
    Truncate,
    WireFaults,
)
from tests.drivers.virtual.workbench import Workbench

PING = codec.ping(1)
PONG = codec.status(1, 0)


@pytest.fixture
def bench() -> Workbench:
    return Workbench("so101_follower", servos=2)


def bits_between(a: bytes, b: bytes) -> int:
    return sum((x ^ y).bit_count() for x, y in zip(a, b, strict=True))


def test_without_faults_nothing_changes(bench: Workbench) -> None:
    assert bench.ask(PING) == PONG
    assert bench.arm.faults.hits == 0


def test_drop_takes_as_many_answers_as_it_counts(bench: Workbench) -> None:
    bench.arm.faults.add(Drop(count=2))
    assert [bench.ask(PING) for _ in range(3)] == [b"", b"", PONG]
    assert bench.arm.faults.hits == 2


def test_a_dropped_instruction_is_not_obeyed(bench: Workbench) -> None:
    bench.arm.faults.add(Drop(direction="to_servo", count=1))
    assert bench.ask(codec.write(1, 40, b"\x01")) == b""
    assert bench.servo().get("torque_enable") == 0


def test_a_dropped_answer_leaves_the_instruction_obeyed(bench: Workbench) -> None:
    bench.arm.faults.add(Drop(count=1))
    assert bench.ask(codec.write(1, 40, b"\x01")) == b""
    assert bench.servo().get("torque_enable") == 1


@pytest.mark.parametrize("bits", [1, 3])
def test_flip_inverts_exactly_so_many_bits(bench: Workbench, bits: int) -> None:
    bench.arm.faults.add(Flip(bits=bits, count=1))
    assert bits_between(bench.ask(PING), PONG) == bits
    assert bench.ask(PING) == PONG


def test_a_flipped_instruction_is_not_understood(bench: Workbench) -> None:
    bench.arm.faults.add(Flip(direction="to_servo", count=1))
    assert bench.ask(PING) == b""
    bench.run(0.05)
    assert bench.ask(PING) == PONG


def test_truncate_takes_the_end(bench: Workbench) -> None:
    bench.arm.faults.add(Truncate(size=2, count=1))
    assert bench.ask(PING) == PONG[:-2]
    bench.arm.faults.add(Truncate(size=100, count=1))
    assert bench.ask(PING) == b""


def test_duplicate_sends_twice_and_a_doubled_instruction_is_answered_twice(bench: Workbench) -> None:
    bench.arm.faults.add(Duplicate(count=1))
    assert bench.ask(PING) == PONG + PONG
    bench.arm.faults.add(Duplicate(direction="to_servo", count=1))
    assert bench.ask(PING) == PONG + PONG


def test_delay_holds_an_answer_back_by_its_time(bench: Workbench) -> None:
    on_time = bench.timed(PING)[0][0]
    bench.arm.faults.add(Delay(seconds=0.02, count=1))
    assert bench.timed(PING) == [(on_time + 20_000_000, PONG)]


def test_garbage_comes_before_the_packet_and_is_the_same_for_one_seed() -> None:
    def noisy() -> bytes:
        bench = Workbench("so101_follower", servos=1)
        bench.arm.faults.add(Garbage(size=5))
        return bench.ask(PING)

    assert noisy()[5:] == PONG
    assert noisy() == noisy()


def test_a_fault_of_one_servo_spares_the_others(bench: Workbench) -> None:
    bench.arm.faults.add(Drop(servo="shoulder_lift"))
    assert bench.ask(PING) == PONG
    assert bench.ask(codec.ping(2)) == b""


def test_skip_lets_packets_pass_first(bench: Workbench) -> None:
    bench.arm.faults.add(Drop(skip=2, count=1))
    assert [bench.ask(PING) for _ in range(4)] == [PONG, PONG, b"", PONG]


def test_probability_hits_its_share() -> None:
    faults = WireFaults(("a",), random.Random(3))
    faults.add(Drop(probability=0.25))
    lost = sum(not faults.apply(Direction.TO_HOST, 0, PONG) for _ in range(4000))
    # Binomial: four standard deviations are 4 sqrt(4000 * 0.25 * 0.75) = 110.
    assert lost == pytest.approx(1000, abs=110)


@pytest.mark.parametrize("fault", [Drop(), Flip(), Truncate(), Garbage(), Duplicate()])
def test_clearing_ends_every_fault(bench: Workbench, fault: AnyWireFault) -> None:
    bench.arm.faults.add(fault)
    assert bench.ask(PING) != PONG
    bench.arm.faults.clear()
    assert bench.ask(PING) == PONG
