"""The faults of the vendors' SDKs, one case each, on canned answers: the SDK shows the fault, ours and rustypot do not.

Numbers in the names are those of the list "What the vendors' SDKs do on a pty" in the project's notes on the servo
protocols. A case passes when the fault is there: a release that mends it fails here, and its case can go.
"""

import itertools
import os
import pty
import struct
import time
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import serial

from robot_mbrl.benchmarks.crosscheck.case import require, require_same
from robot_mbrl.benchmarks.crosscheck.environments import interpreter
from robot_mbrl.benchmarks.crosscheck.peer_process import PeerProcess
from robot_mbrl.benchmarks.crosscheck.served_pty import CannedServos
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.drivers.bus import ServoBus, bus_protocol, open_bus
from robot_mbrl.drivers.dynamixel import codec as dynamixel
from robot_mbrl.drivers.dynamixel.framing import frame
from robot_mbrl.drivers.feetech import codec as feetech

BAUD = 1_000_000
PATIENT = BusSettings(margin=1.0)
PATIENT_LATENCY_MS = 500.0
"""The canned servos share the machine with everything else; how fast they are is no part of these cases."""

LOSSY_DATA = bytes.fromhex("ff ff fd 00 ff fd fd 00")
"""After one removed byte, `removeStuffing` sees FF FF FD FD where the packet has FF FD FD."""

CURRENT_AND_VELOCITY = struct.pack("<hii", -1, -3, 2048)
"""Present current -1, velocity -3, position 2048: FF FF FD on the wire (rustypot #121)."""


@dataclass(frozen=True, slots=True)
class FaultCase:
    """A fault and the peer that has it."""

    name: str
    peer: str
    check: Callable[[PeerProcess], str]


@contextmanager
def _canned(
    peer: PeerProcess,
    protocol: str,
    request: bytes,
    answer: bytes,
    delay: float = 0.0,
    latency_ms: float | None = PATIENT_LATENCY_MS,
) -> Iterator[CannedServos]:
    """Servos that answer `request` with `answer` after `delay` [s], opened by the peer."""
    with CannedServos(len(request), answer, delay) as servos:
        peer.call("open", port=servos.port, baud=BAUD, protocol=protocol, latency_ms=latency_ms)
        try:
            yield servos
        finally:
            peer.call("close")


@contextmanager
def _ours(protocol: str, request: bytes, answer: bytes) -> Iterator[tuple[ServoBus, CannedServos]]:
    """The same servos, opened by our bus."""
    with (
        CannedServos(len(request), answer) as servos,
        closing(open_bus(servos.port, protocol, BAUD, MonotonicClock(), PATIENT)) as bus,
    ):
        yield bus, servos


def _stuffing_is_never_sent(peer: PeerProcess) -> str:
    goal = struct.pack("<i", -131073)
    ours = bus_protocol("dynamixel").write(1, 116, goal)
    unstuffed = frame(1, bytes([dynamixel.Instruction.WRITE, 116, 0]) + goal)
    with _canned(peer, "dynamixel", unstuffed, b"") as servos:
        peer.call("write_blind", servo_id=1, address=116, data=list(goal))
        sent = servos.take(len(unstuffed)).sent
    require_same("the SDK's packet", sent, unstuffed)
    require(b"\xff\xff\xfd\xfd\xff" in ours, f"our packet is not stuffed: {ours.hex(' ')}")
    return f"sends {sent[8:-2].hex(' ')}, the manual and ours {ours[8:-2].hex(' ')}"


def _remove_stuffing_is_lossy(peer: PeerProcess) -> str:
    request, answer = bus_protocol("dynamixel").read(1, 224, len(LOSSY_DATA)), dynamixel.status(1, 0, LOSSY_DATA)
    with _canned(peer, "dynamixel", request, answer):
        read = bytes(peer.call("read", servo_id=1, address=224, size=len(LOSSY_DATA))["data"])
    with _ours("dynamixel", request, answer) as (bus, _):
        require_same("our reading", bus.read(1, 224, len(LOSSY_DATA)), LOSSY_DATA)
    require(read != LOSSY_DATA, "the SDK unstuffs this packet rightly now")
    return f"reads {read.hex(' ')} where the servo sent {LOSSY_DATA.hex(' ')}"


def _rustypot_unstuffs(peer: PeerProcess) -> str:
    request, answer = bus_protocol("dynamixel").read(1, 224, len(LOSSY_DATA)), dynamixel.status(1, 0, LOSSY_DATA)
    goal = struct.pack("<i", -131073)
    write = bus_protocol("dynamixel").write(1, 116, goal)
    with _canned(peer, "dynamixel", request, answer):
        read = bytes(peer.call("read", servo_id=1, address=224, size=len(LOSSY_DATA))["data"])
    with _canned(peer, "dynamixel", write, dynamixel.status(1, 0)) as servos:
        peer.call("write", servo_id=1, address=116, data=list(goal))
        require_same("rustypot's packet", servos.take(len(write)).sent, write)
    require_same("rustypot's reading", read, LOSSY_DATA)
    return "stuffs and unstuffs as ours does"


def _read_vector_121(peer: PeerProcess) -> bytes:
    """What the peer makes of the answer of rustypot #121."""
    size = len(CURRENT_AND_VELOCITY)
    request, answer = bus_protocol("dynamixel").sync_read(126, size, [1]), dynamixel.status(1, 0, CURRENT_AND_VELOCITY)
    with CannedServos(len(request), answer) as servos:
        peer.call("open", port=servos.port, baud=BAUD, protocol="dynamixel")
        (data,) = peer.call("sync_read", ids=[1], address=126, size=size)
        require_same("the peer's request", servos.take(len(request)).sent, request)
    with _ours("dynamixel", request, answer) as (bus, _):
        require_same("our reading", bus.sync_read(126, size, [1]), {1: CURRENT_AND_VELOCITY})
    return bytes(data)


def _vector_121_breaks(peer: PeerProcess) -> str:
    data = _read_vector_121(peer)
    require_same("rustypot 1.5's reading", data, dynamixel.stuff(CURRENT_AND_VELOCITY))
    return f"gives {len(data)} bytes of {len(CURRENT_AND_VELOCITY)}; ours reads them all"


def _vector_121_holds(peer: PeerProcess) -> str:
    require_same("the reading", _read_vector_121(peer), CURRENT_AND_VELOCITY)
    return "current -1, velocity -3 read rightly, as ours does"


def _broadcast_ping_waits(peer: PeerProcess) -> str:
    request = bus_protocol("dynamixel").ping(dynamixel.BROADCAST_ID)
    answer = b"".join(dynamixel.status(i, 0, struct.pack("<HB", 1200, 52)) for i in range(1, 7))
    with _canned(peer, "dynamixel", request, answer):
        result = peer.call("broadcast_ping")
    require_same("models found", result["found"], [[i, 1200] for i in range(1, 7)])
    require(result["seconds"] >= 0.8, f"it took {result['seconds'] * 1e3:.0f} ms only")
    return f"{result['seconds'] * 1e3:.0f} ms for answers that came at once"


def _gives_up_late(peer: PeerProcess, protocol: str) -> str:
    wire = bus_protocol(protocol)
    request = wire.ping(9)
    with _canned(peer, protocol, request, b"", latency_ms=None):
        seconds = peer.call("seconds_to_give_up", servo_id=9)
    with (
        CannedServos(len(request), b"") as servos,
        closing(open_bus(servos.port, protocol, BAUD, MonotonicClock())) as bus,
    ):
        ours = bus.answer_timeout(len(request), [wire.ping_data_size])
    require(seconds >= 0.034, f"the SDK gave up after {seconds * 1e3:.1f} ms")
    require(ours < 0.034, f"our deadline is {ours * 1e3:.1f} ms")
    return f"waits {seconds * 1e3:.0f} ms for a silent servo; our deadline is {ours * 1e3:.1f} ms"


def _wall_clock_step_loses_the_answer(peer: PeerProcess, protocol: str) -> str:
    request, answer = _position_request(protocol), _position_answer(protocol, 2000)
    address, size = _position(protocol)
    # The answer must still be on its way when the SDK first looks at its clock: one try in ten is enough.
    lost = False
    for _ in range(10):
        with _canned(peer, protocol, request, answer, delay=0.015):
            calm = peer.call("read", servo_id=1, address=address, size=size)["data"]
            lost = peer.call("read_while_clock_jumps", servo_id=1, address=address, size=size, jump=3600.0) is None
        require_same("without the step", calm, list(_ticks(protocol, 2000)))
        if lost:
            break
    require(lost, "the SDK now waits by a clock that nobody sets")
    with _ours(protocol, request, answer) as (bus, _):
        now = time.time()
        with mock.patch("time.time", side_effect=itertools.chain([now], itertools.repeat(now + 3600.0))):
            require_same("our reading", bus.read(1, address, size), _ticks(protocol, 2000))
    return "clock set forward by 1 h: the answer counts as late; ours reads it"


def _stale_packet_is_returned(peer: PeerProcess) -> str:
    request, fresh, stale = _position_request("feetech"), _position_answer("feetech", 2000), 1000
    with _canned(peer, "feetech", request, fresh) as servos:
        servos.inject(_position_answer("feetech", stale))
        read = peer.call("read", servo_id=1, address=56, size=2)["data"]
    with _ours("feetech", request, fresh) as (bus, servos):
        servos.inject(_position_answer("feetech", stale))
        require_same("our reading", bus.read(1, 56, 2), _ticks("feetech", 2000))
    require_same("the SDK's reading", read, list(_ticks("feetech", stale)))
    return "returns the old position 1000 where the servo says 2000; ours returns 2000"


def _sync_read_drops_status(peer: PeerProcess, protocol: str, alarm: int) -> str:
    address, size = _position(protocol)
    request = bus_protocol(protocol).sync_read(address, size, [1, 2])
    states, ours = [], []
    for status in (0, alarm):
        answer = _position_answer(protocol, 2000) + _position_answer(protocol, 2100, servo_id=2, status=status)
        with _canned(peer, protocol, request, answer):
            states.append(peer.call("sync_read_state", ids=[1, 2], address=address, size=size))
        with _ours(protocol, request, answer) as (bus, _):
            bus.sync_read(address, size, [1, 2])
            ours.append(bus.statistics.servo(2).status)
    require_same("what we keep", ours, [0, alarm])
    require_same("what the SDK keeps with the alarm", states[1], states[0])
    return f"status {alarm:#04x} of servo 2 leaves no trace; ours keeps it"


def _rustypot_keeps_status(peer: PeerProcess) -> str:
    request = bus_protocol("feetech").sync_read(56, 2, [1, 2])
    answer = _position_answer("feetech", 2000) + _position_answer("feetech", 2100, servo_id=2, status=32)
    with _canned(peer, "feetech", request, answer):
        require_same("errors", peer.call("sync_read_errors", ids=[1, 2], address=56, size=2), [0, 32])
    return "status 0x20 of servo 2 is kept, as ours does"


def _position(protocol: str) -> tuple[int, int]:
    """Address and size of the present position."""
    return (56, 2) if protocol == "feetech" else (132, 4)


def _ticks(protocol: str, position: int) -> bytes:
    return position.to_bytes(_position(protocol)[1], "little")


def _position_request(protocol: str) -> bytes:
    return bus_protocol(protocol).read(1, *_position(protocol))


def _position_answer(protocol: str, position: int, servo_id: int = 1, status: int = 0) -> bytes:
    codec_status = feetech.status if protocol == "feetech" else dynamixel.status
    return codec_status(servo_id, status, _ticks(protocol, position))


def check_one_module_two_packages(root: Path) -> str:
    """Fault 5: both Feetech distributions install `scservo_sdk`, with different contents."""
    texts = []
    for peer in ("feetech-servo-sdk", "ftservo-python-sdk"):
        library = interpreter(peer, root).parent.parent / "lib"
        (found,) = library.glob("python*/site-packages/scservo_sdk/protocol_packet_handler.py")
        texts.append(found.read_bytes())
    require(texts[0] != texts[1], "both packages now ship the same scservo_sdk")
    return "both install scservo_sdk, with different files: separate environments"


def check_pty_has_no_baud_rate() -> str:
    """Fault 6: a pty takes 1000 bytes "at 9600 baud" in less than the 1.04 s that a wire needs."""
    master, slave = pty.openpty()
    try:
        tty.setraw(slave)
        with serial.Serial(os.ttyname(slave), 9600, timeout=5.0) as client:
            start = time.monotonic()
            os.write(master, bytes(1000))
            received = client.read(1000)
            seconds = time.monotonic() - start
    finally:
        os.close(master)
        os.close(slave)
    require_same("bytes received", len(received), 1000)
    require(seconds < 1000 * 10 / 9600, f"they took {seconds:.2f} s")
    return f"1000 bytes at 9600 baud in {seconds * 1e3:.1f} ms instead of 1042: the emulator paces them itself"


FAULT_CASES: Sequence[FaultCase] = (
    FaultCase("1 stuffing is never sent", "dynamixel-sdk", _stuffing_is_never_sent),
    FaultCase("1 removeStuffing loses bytes", "dynamixel-sdk", _remove_stuffing_is_lossy),
    FaultCase("1 stuffing is right", "rustypot", _rustypot_unstuffs),
    FaultCase("2 current -1, velocity 0xFD (#121) breaks", "rustypot-before-121", _vector_121_breaks),
    FaultCase("2 current -1, velocity 0xFD (#121)", "rustypot", _vector_121_holds),
    FaultCase("2 current -1, velocity 0xFD (#121)", "dynamixel-sdk", _vector_121_holds),
    FaultCase("3 broadcastPing waits 807 ms", "dynamixel-sdk", _broadcast_ping_waits),
    FaultCase("3 time-outs of 34 ms and more", "dynamixel-sdk", lambda peer: _gives_up_late(peer, "dynamixel")),
    FaultCase("3 time-outs of 34 ms and more", "feetech-servo-sdk", lambda peer: _gives_up_late(peer, "feetech")),
    FaultCase(
        "3 time-outs by the wall clock", "dynamixel-sdk", lambda p: _wall_clock_step_loses_the_answer(p, "dynamixel")
    ),
    FaultCase(
        "3 time-outs by the wall clock", "feetech-servo-sdk", lambda p: _wall_clock_step_loses_the_answer(p, "feetech")
    ),
    FaultCase("4 a stale packet is the answer", "feetech-servo-sdk", _stale_packet_is_returned),
    FaultCase(
        "4 sync read drops error bytes",
        "feetech-servo-sdk",
        lambda peer: _sync_read_drops_status(peer, "feetech", 0x20),
    ),
    FaultCase(
        "4 sync read drops error bytes", "dynamixel-sdk", lambda peer: _sync_read_drops_status(peer, "dynamixel", 0x80)
    ),
    FaultCase("4 sync read keeps error bytes", "rustypot", _rustypot_keeps_status),
)
