"""The arm driver's own cycle, `SerialArm.read` and `write` with a turn of the slow rota, paced as a control loop.

The wire time of a cycle is that of the formula in `bus_loop`, with what the driver reads and writes, and of the rota's
turn, whose bytes are counted where they pass into the port.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS, Clock, Ticker
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.contracts.errors import BusError
from robot_mbrl.contracts.types import FloatArray, JointCommand
from robot_mbrl.drivers.arm_checks import install_calibration
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.drivers.bus import ServoBus, Transport, bus_protocol
from robot_mbrl.drivers.calibration import nominal_calibration
from robot_mbrl.drivers.dialects import arm_servos, dialect_of
from robot_mbrl.drivers.line import BITS_PER_BYTE
from robot_mbrl.drivers.serial_arm import SerialArm
from robot_mbrl.drivers.units import servo_units


class CountingTransport:
    """A transport that counts the bytes that pass it, both ways."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.bytes = 0

    @property
    def name(self) -> str:
        """Name for messages."""
        return self._transport.name

    @property
    def baud(self) -> int:
        """Bits per second."""
        return self._transport.baud

    def write(self, data: bytes) -> None:
        """Count and pass on."""
        self.bytes += len(data)
        self._transport.write(data)

    def read(self, deadline_ns: int, due_ns: int = 0) -> bytes:
        """Pass on and count."""
        data = self._transport.read(deadline_ns, due_ns)
        self.bytes += len(data)
        return data

    def discard(self) -> int:
        """Pass on."""
        return self._transport.discard()

    def close(self) -> None:
        """Pass on."""
        self._transport.close()


@dataclass(frozen=True, slots=True)
class DriverLoop:
    """An arm that is connected and holds its pose, and the count of its bytes."""

    robot: SerialArm
    transport: CountingTransport
    arm: ArmDefinition
    clock: Clock

    def run(self, seconds: float, rate: float, turnaround: float) -> dict[str, Any]:
        """Read and write at `rate` [Hz] for `seconds` [s], servos answering after `turnaround` [s].

        Returns:
            `cycles`, `failed_cycles` (an error reached the caller), `late_cycles` (not over when the next was due),
            `missed_ticks`, `retries`, `cycle_ms` by percentile, `formula_ms` (state and goals), `rota_ms` (mean of
            what the rota's turns add) and `ratio`, the median of each cycle's time over its own wire time.
        """
        bus, statistics = self.robot.bus, self.robot.bus.statistics
        command = JointCommand(self._goal())
        retries, failed = statistics.retries, 0
        ticker = Ticker(1.0 / rate, self.clock)
        times, sizes = [], []
        for _ in range(round(seconds * rate)):
            ticker.wait()
            start, size = self.clock.now_ns(), self.transport.bytes
            try:
                self.robot.read()
                self.robot.write(command)
            except BusError:
                failed += 1
            times.append(bus.line_free_ns - start)
            sizes.append(self.transport.bytes - size)
        cycles = np.array(times) / NANOSECONDS
        wire = np.array(sizes) * BITS_PER_BYTE / self.arm.baud + (len(self.arm.joints) + 1) * turnaround
        formula = self.wire_bytes() * BITS_PER_BYTE / self.arm.baud + len(self.arm.joints) * turnaround
        return {
            "cycles": len(cycles),
            "failed_cycles": failed,
            "late_cycles": int((cycles > 1.0 / rate).sum()),
            "missed_ticks": ticker.missed,
            "retries": statistics.retries - retries,
            "cycle_ms": {f"p{q:g}": float(np.percentile(cycles, q)) * 1e3 for q in (50, 99, 99.9, 100)},
            "formula_ms": formula * 1e3,
            "rota_ms": float(wire.mean() - formula) * 1e3,
            "ratio": float(np.median(cycles / wire)),
        }

    def _goal(self) -> FloatArray:
        limits = np.array([joint.position_limits for joint in self.arm.joints])
        return np.clip(self.robot.read().position, limits[:, 0], limits[:, 1])

    def wire_bytes(self) -> int:
        """Bytes of reading all states and writing all goals."""
        words, servos = dialect_of(self.arm.protocol), arm_servos(self.arm)
        protocol, ids = bus_protocol(self.arm.protocol), [servo.id for servo in servos]
        block = words.state_block(servos[0].table, servo_units(servos[0].table.servo).load_register)
        goal = servos[0].register("goal_position")
        requests = (
            protocol.sync_read(block.address, block.size, ids),
            protocol.sync_write(goal.address, dict.fromkeys(ids, bytes(goal.size))),
        )
        return sum(map(len, requests)) + len(ids) * (protocol.overhead + block.size)


def hold(arm: ArmDefinition, transport: Transport, settings: BusSettings, clock: Clock) -> DriverLoop:
    """Install the nominal calibration in an emulated arm's servos, connect to it and let it hold its pose.

    Raises:
        BusError: the arm is not as its definition says.
    """
    counting = CountingTransport(transport)
    bus = ServoBus(counting, bus_protocol(arm.protocol), settings, clock)
    calibration = nominal_calibration(arm)
    install_calibration(bus, arm, calibration)
    robot = SerialArm(arm, bus, calibration, clock)
    robot.connect()
    robot.set_torque(enabled=True)
    return DriverLoop(robot, counting, arm, clock)
