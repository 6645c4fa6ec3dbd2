"""The event loop of an emulated arm: one thread for the pty, the bus, the physics and the control socket."""

import dataclasses
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from robot_mbrl.contracts.clock import NANOSECONDS, to_ns
from robot_mbrl.drivers.virtual.arm import VirtualArm
from robot_mbrl.drivers.virtual.control import Answer, Command, ControlSocket
from robot_mbrl.drivers.virtual.eeprom_store import EepromStore
from robot_mbrl.drivers.virtual.fault_director import FaultDirector
from robot_mbrl.drivers.virtual.pty_port import PtyPort
from robot_mbrl.drivers.virtual.real_time import StepSchedule
from robot_mbrl.drivers.virtual.wire_faults import TimedFault

_SPIN_NS: Final = to_ns(60e-6)
"""`select` wakes up to about this late, so the last stretch before an answer is spun away."""

_CHORES_NS: Final = to_ns(0.25)
"""Period of what is not urgent: saving the EEPROM, reporting overruns."""


class VirtualArmServer:
    """Runs an emulated arm in real time until it is told to stop.

    Answers leave at absolute times, so that lateness never accumulates; physics runs between them. When the machine
    is too slow for that, `report` is told so, and the lost time is written off.

    Attributes:
        director: begins and ends faults.
    """

    def __init__(
        self,
        arm: VirtualArm,
        port: PtyPort,
        control_path: Path,
        *,
        store: EepromStore | None = None,
        delivery_ns: int = 0,
        report: Callable[[str], None],
    ) -> None:
        """Open the control socket and plug the port in.

        Args:
            arm: what is behind the port.
            port: the pty.
            control_path: of the control socket.
            store: keeps the EEPROMs.
            delivery_ns: what the pty needs to deliver [ns], by which arrivals are dated back.
            report: told when the machine is too slow, or the EEPROM cannot be saved.

        Raises:
            PortError: the link or the socket cannot be made.
        """
        self._quit = False
        self.director = FaultDirector(arm, port)
        self._arm = arm
        self._port = port
        self._store = store
        self._report = report
        self._delivery_ns = delivery_ns
        self._line_seen_ns = time.monotonic_ns()
        self._schedule = StepSchedule(arm.plant.timestep, time.monotonic_ns())
        self._chores_ns = 0
        self._reported_overruns = 0
        self._save_failed = False
        self._control = ControlSocket(control_path, self._handle)
        try:
            port.plug()
        except BaseException:
            self._control.close()
            raise

    def run(self, interrupted: Callable[[], bool]) -> None:
        """Serve until `interrupted()`, asked at least once a millisecond, or until a client says quit.

        Raises:
            SimulationError: the physics diverged.
        """
        self._schedule = StepSchedule(self._arm.plant.timestep, time.monotonic_ns())
        while not (self._quit or interrupted()):
            self._turn()

    def close(self) -> None:
        """Save the EEPROM, take link and socket away. Idempotent."""
        self._save()
        self._port.unplug()
        self._control.close()

    def _turn(self) -> None:
        bus = self._arm.bus
        now_ns = time.monotonic_ns()
        event_ns = bus.next_event_ns()
        if event_ns is not None and event_ns <= now_ns:
            answers = bus.poll(now_ns)
            if answers and self._port.plugged:
                self._port.write(answers)
            event_ns = bus.next_event_ns()
        schedule = self._schedule
        if schedule.may_step(now_ns, event_ns):
            self._arm.step()
            schedule.stepped(now_ns, time.monotonic_ns())
        if now_ns >= self._chores_ns:
            self._do_chores(now_ns)
        next_fault_ns = self.director.next_ns
        if next_fault_ns is not None and next_fault_ns <= now_ns:
            self.director.run(now_ns)
        self._wait(event_ns)

    def _wait(self, event_ns: int | None) -> None:
        """Sleep until bytes arrive or the next thing is due, then take the bytes."""
        now_ns = time.monotonic_ns()
        wake_ns = self._schedule.next_ns
        if event_ns is not None and event_ns - _SPIN_NS < wake_ns:
            wake_ns = event_ns - _SPIN_NS
        timeout = max(wake_ns - now_ns, 0) / NANOSECONDS
        watched: list[Any] = [*self._control.waiting]
        if self._port.plugged:
            watched.append(self._port)
        readable, _, _ = select.select(watched, (), (), timeout)
        woken_ns = time.monotonic_ns()
        for ready in readable:
            if ready is not self._port:
                self._control.serve(ready)
            elif self._port.plugged:
                # Not before the line was last seen empty: since then the loop may have slept, or computed a step.
                self._receive(max(woken_ns - self._delivery_ns, self._line_seen_ns))
        self._line_seen_ns = woken_ns

    def _receive(self, arrival_ns: int) -> None:
        data = self._port.read()
        if data:
            self._arm.bus.receive(data, self._port.baud(), arrival_ns)

    def _do_chores(self, now_ns: int) -> None:
        self._chores_ns = now_ns + _CHORES_NS
        if self._arm.bus.next_event_ns() is None:
            self._save()
        overruns = self._schedule.overruns
        if overruns.count > self._reported_overruns:
            self._reported_overruns = overruns.count
            self._report(
                f"real time lost: {overruns.lost:.3f} s in {overruns.count} overruns so far, the machine is too slow "
                "or too busy for this arm"
            )

    def _save(self) -> None:
        """Save what changed. A file that cannot be written is reported once, and tried again with the next chores."""
        if self._store is None or not any(servo.eeprom_dirty for servo in self._arm.servos):
            return
        try:
            self._store.save(self._arm.servos)
        except OSError as error:
            if not self._save_failed:
                self._report(
                    f"{self._store.path}: the servos' EEPROM cannot be saved ({error.strerror}): make room or give "
                    "another state file; it is tried again"
                )
            self._save_failed = True
        else:
            self._save_failed = False

    def _handle(self, request: TimedFault | Command) -> Answer:
        if isinstance(request, TimedFault):
            self.director.schedule(request, time.monotonic_ns())
            return {}
        if request.command == "truth":
            return self._truth()
        if request.command == "status":
            return self._status()
        if request.command == "clear":
            self._arm.faults.clear()
        else:
            self._quit = True
        return {}

    def _truth(self) -> Answer:
        state = self._arm.plant.state
        return {
            "time_ns": time.monotonic_ns(),
            "time": state.time,
            "position": state.position.tolist(),
            "velocity": state.velocity.tolist(),
            "current": state.current.tolist(),
            "temperature": state.temperature.tolist(),
            "voltage": state.voltage.tolist(),
            "tick": [
                servo.shaft.ticks(position)
                for servo, position in zip(self._arm.servos, state.position.tolist(), strict=True)
            ],
            "torque": [bool(servo.get("torque_enable")) for servo in self._arm.servos],
        }

    def _status(self) -> Answer:
        bus = self._arm.bus
        return {
            "arm": self._arm.definition.name,
            "port": str(self._port.link),
            "plugged": self._port.plugged,
            "instructions": bus.instructions,
            "answers": bus.answers,
            "faults_hit": self._arm.faults.hits,
            "overflows": self._port.overflows,
            "overruns": dataclasses.asdict(self._schedule.overruns),
            "processor_time": time.process_time(),
            "servos": [
                {"name": servo.name, "id": servo.id, "powered": servo.powered, "listening": servo.listening}
                for servo in self._arm.servos
            ],
        }
