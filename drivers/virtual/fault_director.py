"""Lets faults begin and end at their time."""

import heapq
import itertools
from collections.abc import Callable
from functools import singledispatchmethod
from typing import Protocol

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.virtual import faults
from robot_mbrl.drivers.virtual.arm import VirtualArm
from robot_mbrl.drivers.virtual.servo import EmulatedServo
from robot_mbrl.drivers.virtual.wire_faults import AnyWireFault, TimedFault

Undo = Callable[[], None] | None
"""What ends a fault; None for one that cannot be taken back."""


class Cable(Protocol):
    """The USB cable between host and adapter."""

    def plug(self) -> None:
        """Put it in."""

    def unplug(self) -> None:
        """Pull it. Idempotent."""


class FaultDirector:
    """Begins and ends faults of an emulated arm.

    A fault that ends puts back what there was before it began; where two of one kind overlap on one servo, the one
    that ends last decides.
    """

    def __init__(self, arm: VirtualArm, cable: Cable) -> None:
        self._arm = arm
        self._cable = cable
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._supply = float(arm.plant.state.voltage.max())
        self._friction = dict.fromkeys(arm.definition.joint_names, 1.0)
        self._payload = 0.0

    @property
    def next_ns(self) -> int | None:
        """When the next fault begins or ends [ns]; None if none is to."""
        return self._agenda[0][0] if self._agenda else None

    def schedule(self, fault: TimedFault, now_ns: int) -> None:
        """Let `fault` begin `fault.at` after `now_ns` [ns]; one that is due begins at once.

        Raises:
            ConfigError: the arm has no such servo.
        """
        for name in (getattr(fault, "servo", None), getattr(fault, "of", None)):
            if name is not None:
                self._servo(name)
        self._at(now_ns + to_ns(fault.at), lambda: self._begin(fault, now_ns + to_ns(fault.at)))
        self.run(now_ns)

    def run(self, now_ns: int) -> None:
        """Let all that is due by `now_ns` [ns] happen."""
        while self._agenda and self._agenda[0][0] <= now_ns:
            heapq.heappop(self._agenda)[2]()

    def _at(self, due_ns: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (due_ns, next(self._numbers), act))

    def _begin(self, fault: TimedFault, now_ns: int) -> None:
        undo = self._apply(fault)
        if undo is not None and fault.duration is not None:
            self._at(now_ns + to_ns(fault.duration), undo)

    @singledispatchmethod
    def _apply(self, fault: TimedFault) -> Undo:
        raise ConfigError(f"fault {type(fault).__name__}: the emulated arm does not know it")

    @_apply.register
    def _(self, fault: AnyWireFault) -> Undo:
        self._arm.faults.add(fault)
        return lambda: self._arm.faults.remove(fault)

    @_apply.register
    def _(self, fault: faults.UsbLatency) -> Undo:
        bus = self._arm.bus
        before, bus.usb_latency = bus.usb_latency, fault.seconds
        return lambda: setattr(bus, "usb_latency", before)

    @_apply.register
    def _(self, _fault: faults.Unplug) -> Undo:
        self._cable.unplug()
        self._arm.bus.clear()
        return self._cable.plug

    @_apply.register
    def _(self, _fault: faults.Replug) -> Undo:
        self._cable.plug()
        return None

    @_apply.register
    def _(self, fault: faults.BrownOut) -> Undo:
        self._arm.plant.set_supply(fault.voltage)
        return lambda: self._arm.plant.set_supply(self._supply)

    @_apply.register
    def _(self, fault: faults.Silent) -> Undo:
        servo = self._servo(fault.servo)
        servo.silent = True
        return lambda: setattr(servo, "silent", False)

    @_apply.register
    def _(self, fault: faults.Disconnect) -> Undo:
        servo = self._servo(fault.servo)
        servo.disconnect()
        return servo.connect

    @_apply.register
    def _(self, fault: faults.Connect) -> Undo:
        self._servo(fault.servo).connect()
        return None

    @_apply.register
    def _(self, fault: faults.DuplicateIdFault) -> Undo:
        servo = self._servo(fault.servo)
        before = servo.id
        servo.burn("id", self._servo(fault.of).id)
        return lambda: servo.burn("id", before)

    @_apply.register
    def _(self, fault: faults.Overload) -> Undo:
        self._servo(fault.servo).trip("overload")
        return None

    @_apply.register
    def _(self, fault: faults.Overheat) -> Undo:
        self._arm.plant.set_temperature(self._joint(fault.servo), fault.temperature)
        return None

    @_apply.register
    def _(self, fault: faults.Stuck) -> Undo:
        joint = self._joint(fault.servo)
        self._arm.plant.set_stuck(joint, stuck=True)
        return lambda: self._arm.plant.set_stuck(joint, stuck=False)

    @_apply.register
    def _(self, fault: faults.Payload) -> Undo:
        before = self._payload
        self._hang(fault.mass)
        return lambda: self._hang(before)

    @_apply.register
    def _(self, fault: faults.Push) -> Undo:
        self._arm.plant.push(self._joint(fault.servo), fault.torque, fault.duration)
        return None

    @_apply.register
    def _(self, fault: faults.Friction) -> Undo:
        before = self._friction[fault.servo]
        self._rub(fault.servo, fault.scale)
        return lambda: self._rub(fault.servo, before)

    def _hang(self, mass: float) -> None:
        self._payload = mass
        self._arm.plant.attach_payload(mass)

    def _rub(self, servo: str, scale: float) -> None:
        self._friction[servo] = scale
        self._arm.plant.set_friction_scale(self._joint(servo), scale)

    def _joint(self, name: str) -> int:
        names = self._arm.definition.joint_names
        if name not in names:
            raise ConfigError(f"{self._arm.definition.name} has no servo {name!r}: give one of {', '.join(names)}")
        return names.index(name)

    def _servo(self, name: str) -> EmulatedServo:
        return self._arm.servos[self._joint(name)]
