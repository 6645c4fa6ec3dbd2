"""A control loop's bus traffic on an emulated arm: cycle time against the wire-time formula, and the emulator's cost.

Wire time of one read-and-write cycle, N servos, D bytes read, W bytes written, 10 bits a byte:
Feetech (8+N) + N(6+D) + (8+N(1+W)) bytes, Dynamixel (14+N) + N(11+D) + (14+N(1+W)) bytes; plus N turnarounds.

Three loops: one paced at 200 Hz, which counts failed cycles and late ticks; one that goes as fast as the line lets
it, where a cycle is measured from read to read, so that the time of the written bytes on the wire is measured too; and
the arm driver's own, with its slow rota, again at 200 Hz (`driver_loop`).
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from robot_mbrl.benchmarks import driver_loop
from robot_mbrl.contracts.clock import NANOSECONDS, MonotonicClock, Ticker
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.contracts.errors import BusError
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.drivers.bus import SerialTransport, ServoBus, open_bus
from robot_mbrl.drivers.line import BITS_PER_BYTE
from robot_mbrl.runtime.real_time import RealTime, RealTimeSettings
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess

RATE = 200.0
"""Of the paced loop [Hz]."""
SPIN = 200e-6
"""The loop sleeps until so long before a tick or an answer and spins the rest [s], as a control loop does."""
REAL_TIME = RealTimeSettings(priority=80, serial_priority=85, spin=SPIN)
"""The loop claims the machine as the control process does; what is refused is told with the figures."""
ARM_PRIORITY = 70
"""Of SCHED_FIFO, of the emulated arm: nothing on the computer would hold up a real one."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one cycle reads and writes.

    Attributes:
        arm: emulated arm.
        read_address: first register read.
        read_size: D, bytes read of each servo.
        write_address: first register written.
        write_size: W, bytes written to each servo.
        request_size: bytes of the sync read besides the IDs.
        answer_size: bytes of an answer besides its data.
    """

    arm: str
    read_address: int
    read_size: int
    write_address: int
    write_size: int
    request_size: int
    answer_size: int

    def wire_bytes(self, servos: int) -> int:
        """Bytes of a cycle with `servos` servos."""
        read = self.request_size + servos + servos * (self.answer_size + self.read_size)
        return read + self.request_size + servos * (1 + self.write_size)


TRAFFIC = {
    "feetech": Traffic("so101_follower", 56, 6, 42, 6, 8, 6),
    "dynamixel": Traffic("koch_follower", 126, 10, 116, 4, 14, 11),
}
"""Feetech: position, speed, load; goal position, time, speed. Dynamixel: current, velocity, position; goal position."""


def cpu_seconds(pid: int) -> float:
    """Processor time [s] that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Loop:
    """The bus traffic of a control loop on one emulated arm."""

    def __init__(self, bus: ServoBus, traffic: Traffic, ids: list[int]) -> None:
        self._bus = bus
        self._traffic = traffic
        self._ids = ids
        present = bus.sync_read(traffic.write_address, traffic.write_size, ids)
        self._goals = dict(present)
        self.failed = 0

    def cycle(self) -> None:
        """Read all, write all back."""
        traffic = self._traffic
        try:
            self._bus.sync_read(traffic.read_address, traffic.read_size, self._ids)
        except BusError:
            self.failed += 1
        self._bus.sync_write(traffic.write_address, self._goals)


def paced(loop: Loop, bus: ServoBus, seconds: float, clock: MonotonicClock) -> dict[str, Any]:
    """Run at `RATE` for `seconds` [s]; a cycle ends when its last written bit has left the wire."""
    ticker = Ticker(1.0 / RATE, clock)
    times: list[float] = []
    for _ in range(round(seconds * RATE)):
        ticker.wait()
        start = clock.now_ns()
        loop.cycle()
        times.append((bus.line_free_ns - start) / NANOSECONDS)
    cycles = np.array(times)
    return {
        "cycles": len(times),
        "failed_cycles": loop.failed,
        "missed_ticks": ticker.missed,
        "cycle_ms": {f"p{q:g}": float(np.percentile(cycles, q)) * 1e3 for q in (50, 99, 99.9, 100)},
    }


def saturated(loop: Loop, seconds: float, clock: MonotonicClock) -> dict[str, Any]:
    """Run as fast as the line lets it; cycles from start to start."""
    stamps = [clock.now_ns()]
    while stamps[-1] - stamps[0] < seconds * NANOSECONDS:
        loop.cycle()
        stamps.append(clock.now_ns())
    cycles = np.diff(np.array(stamps)) / NANOSECONDS
    return {"cycles": len(cycles), "cycle_ms": {f"p{q:g}": float(np.percentile(cycles, q)) * 1e3 for q in (50, 99)}}


def measure_protocol(protocol: str, seconds: float, turnaround: float) -> dict[str, Any]:
    """All loops on one emulated arm, and the processor time of its process meanwhile."""
    traffic = TRAFFIC[protocol]
    arm = load_arm(traffic.arm)
    ids = [joint.id for joint in arm.joints]
    with (
        tempfile.TemporaryDirectory() as folder,
        VirtualArmProcess(
            traffic.arm, link=Path(folder) / "port", turnaround=turnaround, priority=ARM_PRIORITY
        ) as process,
        RealTime(REAL_TIME) as real_time,
    ):
        clock = real_time.clock()
        bus = open_bus(process.port, arm.protocol, arm.baud, clock, BusSettings(spin=SPIN))
        for servo_id in ids:
            if protocol == "dynamixel":
                bus.write(servo_id, 9, b"\x00")
        loop = Loop(bus, traffic, ids)
        used, start = cpu_seconds(process.pid), clock.now_ns()
        figures = paced(loop, bus, seconds, clock)
        wall = (clock.now_ns() - start) / NANOSECONDS
        cores = (cpu_seconds(process.pid) - used) / wall
        fast = saturated(loop, seconds / 6, clock)
        bus.close()
        driver = drive(process.port, arm, seconds, turnaround, clock)
        status = process.control.status()
    formula = traffic.wire_bytes(len(ids)) * BITS_PER_BYTE / arm.baud + len(ids) * turnaround
    return {
        "arm": traffic.arm,
        "turnaround_us": turnaround * 1e6,
        "formula_ms": formula * 1e3,
        "paced": figures,
        "saturated": fast,
        "driver": driver,
        "paced_ratio": figures["cycle_ms"]["p50"] / (formula * 1e3),
        "saturated_ratio": fast["cycle_ms"]["p50"] / (formula * 1e3),
        "emulator_cores": cores,
        "emulator": status,
        "warnings": real_time.warnings,
    }


def drive(port: str, arm: ArmDefinition, seconds: float, turnaround: float, clock: MonotonicClock) -> dict[str, Any]:
    """The arm driver's cycle at `RATE` for `seconds` [s]; see `driver_loop.DriverLoop.run`."""
    settings = BusSettings(spin=SPIN)
    transport = SerialTransport(port, arm.baud, clock, spin=SPIN)
    loop = driver_loop.hold(arm, transport, settings, clock)
    try:
        return loop.run(seconds, RATE, turnaround)
    finally:
        loop.robot.close()


def measure(
    seconds: float = 60.0, turnaround: float = 0.0, announce: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Both protocols, one after the other.

    Args:
        seconds: length of each of the paced loops [s]; the one without a pause takes a sixth of it.
        turnaround: what each servo waits before it answers [s].
        announce: told what begins. There is no moving progress bar: drawing it would take time from the loop.
    """
    figures: dict[str, Any] = {}
    for protocol in TRAFFIC:
        announce(
            f"{protocol}: {seconds:g} s at {RATE:.0f} Hz, {seconds / 6:g} s back to back, then {seconds:g} s of the "
            "arm driver's cycle"
        )
        figures[protocol] = measure_protocol(protocol, seconds, turnaround)
    return figures


def table(figures: dict[str, Any]) -> Table:
    """The figures as a table."""
    result = Table(title="Read-and-write cycle on an emulated arm, 6 servos, 1 Mbps")
    for heading in ("", *figures):
        result.add_column(heading, justify="right" if heading else "left")
    rows: dict[str, Callable[[dict[str, Any]], str]] = {
        "wire-time formula": lambda row: f"{row['formula_ms']:.3f} ms",
        "200 Hz: median": lambda row: f"{row['paced']['cycle_ms']['p50']:.3f} ms, x {row['paced_ratio']:.3f}",
        "200 Hz: p99, max": lambda row: "{p99:.3f}, {p100:.3f} ms".format(**row["paced"]["cycle_ms"]),
        "200 Hz: failed cycles": lambda row: f"{row['paced']['failed_cycles']} of {row['paced']['cycles']}",
        "200 Hz: missed ticks": lambda row: str(row["paced"]["missed_ticks"]),
        "back to back: median": lambda row: (
            f"{row['saturated']['cycle_ms']['p50']:.3f} ms, x {row['saturated_ratio']:.3f}"
        ),
        "driver at 200 Hz: wire time": lambda row: (
            f"{row['driver']['formula_ms']:.3f} + {row['driver']['rota_ms']:.3f} ms of the rota"
        ),
        "driver: median": lambda row: f"{row['driver']['cycle_ms']['p50']:.3f} ms, x {row['driver']['ratio']:.3f}",
        "driver: p99, max": lambda row: "{p99:.3f}, {p100:.3f} ms".format(**row["driver"]["cycle_ms"]),
        "driver: late, failed cycles": lambda row: (
            f"{row['driver']['late_cycles']}, {row['driver']['failed_cycles']} of {row['driver']['cycles']}"
        ),
        "driver: missed ticks, retries": lambda row: f"{row['driver']['missed_ticks']}, {row['driver']['retries']}",
        "emulator at 200 Hz": lambda row: f"{row['emulator_cores']:.2f} cores",
        "real-time measures refused": lambda row: str(len(row["warnings"])),
        "emulator's real time lost": lambda row: f"{row['emulator']['overruns']['lost']:.3f} s",
    }
    for title, text in rows.items():
        result.add_row(title, *(text(row) for row in figures.values()))
    return result


def main() -> None:
    """Print the figures as a table, or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the 200 Hz loop a bus")
    parser.add_argument("--turnaround", type=float, default=0.0, help="what each servo waits before it answers [s]")
    parser.add_argument("--json", action="store_true", help="machine-readable figures")
    arguments = parser.parse_args()
    figures = measure(arguments.seconds, arguments.turnaround, Console(stderr=True).print)
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        Console().print(table(figures))


if __name__ == "__main__":
    main()
