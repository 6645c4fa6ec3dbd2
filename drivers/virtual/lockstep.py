"""An emulated arm without a pty and without waiting: time moves only while the driver waits for it.

The real driver runs against the emulated servos bit for bit as it does over a pty, as fast as the machine can, and the
same run gives the same bytes every time.
"""

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import PortLost
from robot_mbrl.drivers.virtual.arm import VirtualArm


class LockstepWire:
    """The transport to an emulated arm and the clock that drives it, in one object.

    Pass it to a `ServoBus` as both. Satisfies `drivers.bus.Transport` and `contracts.clock.Clock`.

    Attributes:
        arm: the emulated arm.
    """

    def __init__(self, arm: VirtualArm, name: str = "lockstep") -> None:
        """Put `arm` behind a wire called `name` in messages, at time 0."""
        self.arm = arm
        self._name = name
        self._baud = arm.definition.baud
        self._step_ns = to_ns(arm.plant.timestep)
        self._now_ns = 0
        self._next_step_ns = self._step_ns
        self._received = b""
        self._open = True

    @property
    def name(self) -> str:
        """Name for messages."""
        return self._name

    @property
    def baud(self) -> int:
        """Bits per second."""
        return self._baud

    def now_ns(self) -> int:
        """Simulated time [ns]."""
        return self._now_ns

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Let the arm live until `deadline_ns` [ns]."""
        while self._now_ns < deadline_ns:
            self._advance(deadline_ns)

    def write(self, data: bytes) -> None:
        """Hand `data` to the line."""
        self._require_open()
        self.arm.bus.receive(data, self._baud, self._now_ns)

    def read(self, deadline_ns: int, due_ns: int = 0) -> bytes:
        """What has arrived; lets time pass until something does or `deadline_ns` [ns] is reached."""
        del due_ns
        self._require_open()
        while not self._received and self._now_ns < deadline_ns:
            self._advance(deadline_ns)
        data, self._received = self._received, b""
        return data

    def discard(self) -> int:
        """Throw away what has arrived."""
        self._require_open()
        count, self._received = len(self._received), b""
        return count

    def close(self) -> None:
        """Give the wire up; `open` takes it again."""
        self._open = False

    def open(self) -> None:
        """Take the wire again after a `close`."""
        self._open = True

    def _require_open(self) -> None:
        if not self._open:
            raise PortLost(f"port {self._name} is closed: open it again")

    def _advance(self, limit_ns: int) -> None:
        """Move to the next physics step, the bus's next event or the limit, whichever comes first."""
        event_ns = self.arm.bus.next_event_ns()
        target_ns = min(limit_ns, self._next_step_ns)
        if event_ns is not None:
            target_ns = min(target_ns, max(event_ns, self._now_ns))
        self._now_ns = target_ns
        if target_ns == self._next_step_ns:
            self.arm.step()
            self._next_step_ns += self._step_ns
        self._received += self.arm.bus.poll(target_ns)
