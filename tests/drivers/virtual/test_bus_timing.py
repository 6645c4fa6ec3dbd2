"""When answers arrive: bytes at 10 bits each, plus turnaround, to the nanosecond."""

import pytest

from robot_mbrl.drivers.dynamixel import codec as dynamixel
from robot_mbrl.drivers.feetech import codec as feetech
from robot_mbrl.drivers.virtual.timing import LineTiming
from tests.drivers.virtual.workbench import Workbench

IDS = range(1, 7)
BYTE_NS = 10_000
"""One byte at 1 Mbps."""


def test_feetech_sync_read_takes_request_and_answers() -> None:
    bench = Workbench("so101_follower")
    request = feetech.sync_read(56, 6, IDS)
    arrivals = bench.timed(request)
    assert len(request) == 14
    assert [time for time, _ in arrivals] == [(14 + 12 * k) * BYTE_NS for k in range(1, 7)]
    assert sum(len(data) for _, data in arrivals) == 72


def test_feetech_read_and_write_cycle_takes_136_bytes() -> None:
    bench = Workbench("so101_follower")
    cycle = feetech.sync_read(56, 6, IDS)
    write = feetech.sync_write(42, {servo_id: bytes(6) for servo_id in IDS})
    bench.ask(cycle)
    bench.send(write)
    next_read = bench.timed(cycle)
    # The next cycle's request waits until the write has left the line.
    assert next_read[-1][0] == (50 + 14 + 72) * BYTE_NS == 1_360_000


def test_dynamixel_cycle_takes_190_bytes() -> None:
    bench = Workbench("koch_follower")
    for servo in bench.arm.servos:
        servo.burn("return_delay_time", 0)
    read = dynamixel.sync_read(126, 10, IDS)
    write = dynamixel.sync_write(116, {servo_id: bytes(4) for servo_id in IDS})
    assert (len(read), len(write)) == (20, 44)
    bench.send(write)
    assert bench.timed(read)[-1][0] == (44 + 20 + 126) * BYTE_NS == 1_900_000


def test_dynamixel_return_delay_of_the_factory_is_500_microseconds_a_servo() -> None:
    bench = Workbench("koch_follower")
    write = dynamixel.sync_write(116, {servo_id: bytes(4) for servo_id in IDS})
    bench.send(write)
    assert bench.timed(dynamixel.sync_read(126, 10, IDS))[-1][0] == 1_900_000 + 6 * 500_000


def test_fast_sync_read_arrives_as_one_frame() -> None:
    bench = Workbench("koch_follower")
    for servo in bench.arm.servos:
        servo.burn("return_delay_time", 0)
    arrivals = bench.timed(dynamixel.fast_sync_read(126, 10, IDS))
    assert [(time, len(data)) for time, data in arrivals] == [((20 + 92) * BYTE_NS, 92)]


def test_turnaround_is_added_once_an_answer() -> None:
    bench = Workbench("so101_follower", timing=LineTiming(turnaround=95e-6))
    arrivals = bench.timed(feetech.sync_read(56, 2, (1, 2, 3)))
    assert [time for time, _ in arrivals] == [11 * BYTE_NS + k * (95_000 + 8 * BYTE_NS) for k in (1, 2, 3)]


def test_a_missing_feetech_servo_leaves_its_place_open() -> None:
    bench = Workbench("so101_follower", timing=LineTiming(turnaround=95e-6))
    bench.servo(1).silent = True
    arrivals = bench.timed(feetech.sync_read(56, 2, (1, 2, 3)))
    assert [time for time, _ in arrivals] == [11 * BYTE_NS + k * (95_000 + 8 * BYTE_NS) for k in (1, 3)]


def test_a_missing_dynamixel_silences_those_behind_it() -> None:
    bench = Workbench("koch_follower")
    bench.servo(2).silent = True
    answers = dynamixel.Decoder().feed(bench.ask(dynamixel.sync_read(132, 4, IDS)))
    assert [packet.id for packet in answers] == [1, 2]


@pytest.mark.parametrize(("baud", "byte_ns"), [(1_000_000, 10_000), (500_000, 20_000), (38_400, 260_416)])
def test_the_baud_rate_sets_the_pace(baud: int, byte_ns: int) -> None:
    bench = Workbench("so101_follower", servos=1)
    bench.servo().burn_baud(baud)
    bench.baud = baud
    assert bench.timed(feetech.ping(1))[0][0] == pytest.approx(12 * byte_ns, abs=12)


def test_unpaced_answers_are_there_at_once() -> None:
    bench = Workbench("so101_follower", timing=LineTiming(paced=False))
    assert [time for time, _ in bench.timed(feetech.sync_read(56, 6, IDS))] == [0]


def test_usb_latency_hands_bytes_over_at_its_own_times() -> None:
    bench = Workbench("so101_follower")
    bench.arm.bus.usb_latency = 0.016
    arrivals = bench.timed(feetech.sync_read(56, 6, IDS))
    assert [(time, len(data)) for time, data in arrivals] == [(16_000_000, 72)]
    bench.run(0.010)
    assert [time for time, _ in bench.timed(feetech.ping(1))] == [6_000_000]


def test_another_baud_rate_is_not_understood() -> None:
    bench = Workbench("so101_follower")
    bench.baud = 115_200
    assert bench.ask(feetech.ping(1)) == b""
    bench.baud = 1_000_000
    assert bench.ask(feetech.ping(1)) == feetech.status(1, 0)


def test_an_unfinished_instruction_is_forgotten_after_a_silence() -> None:
    bench = Workbench("so101_follower")
    whole = feetech.ping(1)
    bench.ask(whole[:3])
    bench.run(0.1)
    assert bench.ask(whole) == feetech.status(1, 0)
    bench.ask(whole[:3])
    assert bench.ask(whole[3:]) == feetech.status(1, 0)
