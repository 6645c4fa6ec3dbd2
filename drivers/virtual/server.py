"""The event loop of an emulated arm: one thread for the pty, the bus, the physics and the control socket."""

import select
import time
from typing import Final

from robot_mbrl.contracts.clock import NANOSECONDS, to_ns
from robot_mbrl.drivers.virtual.arm import VirtualArm
from robot_mbrl.drivers.virtual.pty_port import PtyPort
from robot_mbrl.drivers.virtual.real_time import StepSchedule

_SPIN_NS: Final = to_ns(60e-6)
"""`select` wakes up to about this late, so the last stretch before an answer is spun away."""

_ATTENTION_NS: Final = to_ns(200e-6)
"""How long after an answer the loop polls without sleeping: the next instruction mostly comes at once, and waking up
would delay it by as much as ten bytes on the wire."""


class VirtualArmServer:
    """Runs an emulated arm in real time until it is told to stop.

    Answers leave at absolute times, so that lateness never accumulates; physics runs between them.
    """

    def __init__(self, arm: VirtualArm, port: PtyPort) -> None:
        self.arm = arm
        self.port = port
        self.stopping = False
        self._attentive_until_ns = 0
        self.schedule = StepSchedule(arm.plant.timestep, time.monotonic_ns())

    def run(self) -> None:
        """Serve until `stopping` is set."""
        self.schedule = StepSchedule(self.arm.plant.timestep, time.monotonic_ns())
        while not self.stopping:
            self._turn()

    def _turn(self) -> None:
        bus = self.arm.bus
        now_ns = time.monotonic_ns()
        event_ns = bus.next_event_ns()
        if event_ns is not None and event_ns <= now_ns:
            answers = bus.poll(now_ns)
            if answers:
                self.port.write(answers)
                self._attentive_until_ns = now_ns + _ATTENTION_NS
            event_ns = bus.next_event_ns()
        if event_ns is None and now_ns < self._attentive_until_ns:
            event_ns = self._attentive_until_ns
        schedule = self.schedule
        if schedule.may_step(now_ns, event_ns):
            self.arm.step()
            schedule.stepped(now_ns, time.monotonic_ns())
        self._wait(event_ns)

    def _wait(self, event_ns: int | None) -> None:
        """Sleep until bytes arrive or the next thing is due."""
        now_ns = time.monotonic_ns()
        wake_ns = self.schedule.next_ns
        if event_ns is not None and event_ns - _SPIN_NS < wake_ns:
            wake_ns = event_ns - _SPIN_NS
        timeout = (wake_ns - now_ns) / NANOSECONDS
        if now_ns < self._attentive_until_ns:
            timeout = 0.0
        readable, _, _ = select.select([self.port], (), (), max(timeout, 0.0))
        if readable:
            data = self.port.read()
            if data:
                self._attentive_until_ns = 0
                self.arm.bus.receive(data, self.port.baud(), time.monotonic_ns())
