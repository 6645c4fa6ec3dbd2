"""One peer at one emulated arm, with a tap between the two and a view of the physics."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

from robot_mbrl.benchmarks.crosscheck.case import require_same
from robot_mbrl.benchmarks.crosscheck.peer_process import PeerProcess
from robot_mbrl.benchmarks.crosscheck.physics import Physics
from robot_mbrl.benchmarks.crosscheck.served_pty import Tap
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.drivers.bus import Answer, BusProtocol, ServoBus, bus_protocol, open_bus
from robot_mbrl.drivers.control_tables import control_table
from robot_mbrl.drivers.registers import ControlTable, Register

Result = TypeVar("Result")

LATENCY_MS = 1000.0
"""What peers allow for a slow adapter: the machine is shared, and how fast it is is no part of these cases."""
PATIENT = BusSettings(margin=1.0)


@dataclass(frozen=True)
class Bench:
    """One peer at one emulated arm.

    Attributes:
        name: of the peer.
        peer: the running peer; its port is open.
        arm: definition of the arm.
        tap: what stands between the two.
        physics: behind the arm.
    """

    name: str
    peer: PeerProcess
    arm: ArmDefinition
    tap: Tap
    physics: Physics

    @property
    def ids(self) -> list[int]:
        """IDs of the arm's servos."""
        return [joint.id for joint in self.arm.joints]

    @property
    def wire(self) -> BusProtocol:
        """Our side of the protocol."""
        return bus_protocol(self.arm.protocol)

    @property
    def table(self) -> ControlTable:
        """The first joint's control table; what is asked of all servos at once is the same in all of an arm's."""
        return control_table(self.arm.joints[0].servo)

    def register(self, name: str) -> Register:
        """A register that all the arm's servos have at the same place."""
        return self.table[name]

    def open(self) -> None:
        """Give the port to the peer."""
        self.peer.call(
            "open", port=self.tap.port, baud=self.arm.baud, protocol=self.arm.protocol, latency_ms=LATENCY_MS
        )

    def reset(self) -> None:
        """Give the port to the peer afresh, whatever the case before has left behind."""
        self.peer.call("close")
        self.tap.take(0)
        self.open()

    def exchange(
        self, verb: str, packets: Sequence[bytes], fast_size: int = 0, **arguments: object
    ) -> tuple[Any, list[Answer]]:
        """Let the peer carry out `verb`, and check that it sends `packets`, no more and no less.

        Args:
            verb: method of the peer.
            packets: our codec's bytes for what the verb should ask of the servos.
            fast_size: bytes of each servo in the answer to a fast sync read.
            arguments: of the verb.

        Returns:
            What the verb gave, and the answers that our decoder finds in what came back.
        """
        wanted = b"".join(packets)
        value = self.peer.call(verb, **arguments)
        recording = self.tap.take(len(wanted))
        require_same(f"bytes that {verb} sends", recording.sent, wanted)
        decoder = self.wire.decoder()
        decoder.fast_size = fast_size
        answers = decoder.feed(recording.received)
        require_same(f"bytes after {verb} that belong to no packet", decoder.garbage + len(decoder.flush()), 0)
        return value, answers

    def with_our_bus(self, ask: Callable[[ServoBus], Result]) -> Result:
        """Take the port from the peer, `ask` something over our own bus, and give the port back."""
        self.peer.call("close")
        with closing(open_bus(self.tap.port, self.arm.protocol, self.arm.baud, MonotonicClock(), PATIENT)) as bus:
            result = ask(bus)
        self.tap.take(0)
        self.open()
        return result
