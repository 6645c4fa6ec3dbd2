"""What one sync read of six servos costs the host, in our bus and in other people's.

Every client talks to a process of its own that answers at once with canned bytes on an unpaced pty, so the wire,
the servos and the emulator cost nothing or the same. Clients take turns in short blocks within one run, so that a
change in the machine's load meets all of them. Two times are taken around each transaction: the round trip, and
the processor time of the client's thread, in which the responder has no part.

    python -m robot_mbrl.benchmarks.bus_host_cost [--json]
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robot_mbrl.benchmarks.crosscheck import environments
from robot_mbrl.benchmarks.crosscheck.peer_process import PeerProcess
from robot_mbrl.drivers.bus import bus_protocol
from robot_mbrl.drivers.dynamixel import codec as dynamixel
from robot_mbrl.drivers.feetech import codec as feetech

BAUD = 1_000_000
IDS = [1, 2, 3, 4, 5, 6]
OURS = "robot_mbrl"
CLIENTS = {
    "feetech": (OURS, "feetech-servo-sdk", "rustypot"),
    "dynamixel": (OURS, "dynamixel-sdk", "rustypot"),
}


@dataclass(frozen=True, slots=True)
class SyncRead:
    """What is read from each of `IDS`: position, velocity and load (Feetech) or current (Dynamixel)."""

    address: int
    size: int

    def request(self, protocol: str) -> bytes:
        """The instruction."""
        return bus_protocol(protocol).sync_read(self.address, self.size, IDS)

    def answer(self, protocol: str) -> bytes:
        """Six status packets."""
        status = feetech.status if protocol == "feetech" else dynamixel.status
        return b"".join(status(servo_id, 0, bytes(range(self.size))) for servo_id in IDS)


Announce = Callable[[str], None]
"""Gets one line that says what begins."""

READS = {"feetech": SyncRead(56, 6), "dynamixel": SyncRead(126, 10)}


@contextmanager
def canned_responder(request_size: int, answer: bytes) -> Iterator[str]:
    """Start a canned responder and give its port."""
    command = [sys.executable, "-m", "robot_mbrl.benchmarks.canned_responder", str(request_size), answer.hex()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def install_peers(root: Path, announce: Announce) -> None:
    """Make the peers' environments that are missing under `root`.

    Raises:
        subprocess.CalledProcessError: a peer cannot be installed.
    """
    for client in dict.fromkeys(client for clients in CLIENTS.values() for client in clients if client != OURS):
        if not environments.is_ready(client, root):
            announce(f"installing {client} into {root / client}")
            environments.prepare(client, root)


def _start(client: str, protocol: str, root: Path, stack: ExitStack) -> PeerProcess:
    """A running client with a responder of its own; its environment is there."""
    read = READS[protocol]
    port = stack.enter_context(canned_responder(len(read.request(protocol)), read.answer(protocol)))
    if client == OURS:
        python, module = Path(sys.executable), "robot_mbrl.benchmarks.crosscheck.our_client"
    else:
        python, module = environments.interpreter(client, root), environments.PEERS[client]
    process = stack.enter_context(PeerProcess(python, module))
    process.call("open", port=port, baud=BAUD, protocol=protocol)
    return process


def _quantiles(times_ns: list[int]) -> dict[str, float]:
    median, p99 = np.quantile(np.array(times_ns) / 1e3, (0.5, 0.99))
    return {"median": round(float(median), 1), "p99": round(float(p99), 1)}


def _measure_protocol(protocol: str, root: Path, blocks: int, block: int) -> dict[str, Any]:
    read = READS[protocol]
    times: dict[str, list[tuple[int, int]]] = {client: [] for client in CLIENTS[protocol]}
    with ExitStack() as stack:
        processes = {client: _start(client, protocol, root, stack) for client in CLIENTS[protocol]}
        for turn in range(blocks + 1):
            for client, process in processes.items():
                measured = process.call("stopwatch", rounds=block, ids=IDS, address=read.address, size=read.size)
                if turn > 0:  # The first block warms caches up.
                    times[client] += measured
        for process in processes.values():
            process.call("close")
    return {
        client: {
            "round_trip_us": _quantiles([wall for wall, _ in measured]),
            "cpu_us": _quantiles([cpu for _, cpu in measured]),
        }
        for client, measured in times.items()
    }


def measure(
    root: Path = environments.DEFAULT_ROOT, blocks: int = 100, block: int = 50, announce: Announce = lambda _: None
) -> dict[str, Any]:
    """Measure all clients on both protocols; makes the peers' environments under `root` where they are missing.

    Args:
        root: folder of the peers' environments.
        blocks: turns of each client.
        block: sync reads in a turn.
        announce: told what begins.

    Returns:
        By protocol and client, medians and 99 % quantiles [µs] of `round_trip_us` and `cpu_us`; under `transactions`
        how many sync reads each figure is made of.

    Raises:
        subprocess.CalledProcessError: a peer cannot be installed.
        PeerFailure: a client's transaction failed.
    """
    install_peers(root, announce)
    figures: dict[str, Any] = {}
    for protocol, clients in CLIENTS.items():
        announce(f"{protocol}: {blocks * block} sync reads each by {', '.join(clients)}")
        figures[protocol] = _measure_protocol(protocol, root, blocks, block)
    return {"transactions": blocks * block, "servos": len(IDS), **figures}


def table(figures: dict[str, Any]) -> str:
    """The figures as text."""
    row = "{:<10} {:<18} {:>12} {:>10} {:>18} {:>15}".format
    lines = [
        f"one sync read of {figures['servos']} on an unpaced pty, {figures['transactions']} per client, in turns; µs",
        row("bus", "client", "cpu median", "cpu p99", "round trip median", "round trip p99"),
    ]
    for protocol, clients in CLIENTS.items():
        for client in clients:
            cpu, wall = figures[protocol][client]["cpu_us"], figures[protocol][client]["round_trip_us"]
            lines.append(row(protocol, client, cpu["median"], cpu["p99"], wall["median"], wall["p99"]))
    return "\n".join(lines)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description="Host cost of one sync read of six servos, ours beside other people's."
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--environments", type=Path, default=environments.DEFAULT_ROOT, help="the peers' environments")
    arguments = parser.parse_args()
    figures = measure(arguments.environments, announce=lambda text: print(text, file=sys.stderr))
    print(json.dumps(figures) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
