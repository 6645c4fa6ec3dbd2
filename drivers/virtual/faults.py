"""Faults of servos, supply, adapter and surroundings, as settings; those of the wire are in `wire_faults`."""

from typing import Annotated, Literal

from pydantic import Field

from robot_mbrl.contracts.config import Settings
from robot_mbrl.drivers.virtual.wire_faults import (
    Delay,
    Drop,
    Duplicate,
    Flip,
    Garbage,
    TimedFault,
    Truncate,
)

ServoName = Annotated[str, Field(min_length=1)]


class UsbLatency(TimedFault):
    """The adapter hands bytes over only every `seconds` [s]; 0.016 is an FTDI adapter's default, 0 is none."""

    fault: Literal["usb_latency"] = "usb_latency"
    seconds: float = Field(ge=0.0, le=1.0)


class Silent(TimedFault):
    """The servo neither hears nor answers, and holds what it held."""

    fault: Literal["silent"] = "silent"
    servo: ServoName


class Disconnect(TimedFault):
    """The servo is taken off the bus: no data and no power, so that it starts afresh when it is connected again."""

    fault: Literal["disconnect"] = "disconnect"
    servo: ServoName


class Connect(TimedFault):
    """The servo is put on the bus."""

    fault: Literal["connect"] = "connect"
    servo: ServoName


class Unplug(TimedFault):
    """The USB cable is pulled: the port goes away, and comes back after `duration` or on `replug`."""

    fault: Literal["unplug"] = "unplug"


class Replug(TimedFault):
    """The USB cable is plugged in again."""

    fault: Literal["replug"] = "replug"


class BrownOut(TimedFault):
    """The supply drops to `voltage` [V]; below 3 V the servos restart."""

    fault: Literal["brown_out"] = "brown_out"
    voltage: float = Field(default=0.0, ge=0.0, le=60.0)


class Overload(TimedFault):
    """The servo's overload protection trips."""

    fault: Literal["overload"] = "overload"
    servo: ServoName


class Overheat(TimedFault):
    """The servo gets `temperature` [°C] hot and cools down from there."""

    fault: Literal["overheat"] = "overheat"
    servo: ServoName
    temperature: float = Field(default=90.0, ge=-40.0, le=200.0)


class DuplicateIdFault(TimedFault):
    """The servo takes the ID of another one."""

    fault: Literal["duplicate_id"] = "duplicate_id"
    servo: ServoName
    of: ServoName


class Stuck(TimedFault):
    """The joint jams where it is."""

    fault: Literal["stuck"] = "stuck"
    servo: ServoName


class Payload(TimedFault):
    """A mass [kg] hangs at the tool; 0 takes it off."""

    fault: Literal["payload"] = "payload"
    mass: float = Field(ge=0.0, le=10.0)


class Push(TimedFault):
    """Somebody turns the joint with `torque` [N·m] for `duration` [s]."""

    fault: Literal["push"] = "push"
    servo: ServoName
    torque: float
    duration: float = Field(gt=0.0, le=60.0)


class Friction(TimedFault):
    """The joint's friction is multiplied by `scale`."""

    fault: Literal["friction"] = "friction"
    servo: ServoName
    scale: float = Field(ge=0.0, le=100.0)


Fault = Annotated[
    Drop
    | Flip
    | Truncate
    | Duplicate
    | Delay
    | Garbage
    | UsbLatency
    | Silent
    | Disconnect
    | Connect
    | Unplug
    | Replug
    | BrownOut
    | Overload
    | Overheat
    | DuplicateIdFault
    | Stuck
    | Payload
    | Push
    | Friction,
    Field(discriminator="fault"),
]
"""Any fault, told apart by its key `fault`."""


class Scenario(Settings):
    """A scenario file.

    Attributes:
        seed: of everything random in it: which bits flip, which packets are hit.
        events: the faults, in any order; `at` counts from the arm's start.
    """

    seed: int = Field(default=0, ge=0)
    events: tuple[Fault, ...] = ()
