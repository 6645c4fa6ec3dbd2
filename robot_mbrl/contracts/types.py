"""Types that cross module boundaries: joint state and command, action, health, verdict.

`n` is the number of joints, in the order of the arm's definition. SI units: rad, rad/s, N·m, A, V, °C, s.
Time stamps are `int` nanoseconds of CLOCK_MONOTONIC, taken when the bytes arrived.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_JOINTS = 8
"""Joints that fit in a `Frame`; unused places hold NaN."""


class StopCategory(IntEnum):
    """Stop categories after IEC 60204-1. Under gravity `TORQUE_OFF` is a fall; `HOLD` is the default."""

    TORQUE_OFF = 0
    RAMP_OFF = 1
    HOLD = 2


class HardwareError(IntFlag):
    """Hardware errors of a servo, one vocabulary for both protocols."""

    NONE = 0
    VOLTAGE = 1
    ENCODER = 2
    OVERHEAT = 4
    OVERCURRENT = 8
    SHOCK = 16
    OVERLOAD = 32


class VerdictLevel(IntEnum):
    """What the safety monitor lets through, in rising severity."""

    PASS = 0
    SLOW = 1
    HOLD = 2
    STOP = 3


@dataclass(frozen=True, slots=True)
class JointState:
    """What the joints do, measured at `stamp_ns`.

    Attributes:
        stamp_ns: when the last byte of the answer arrived [ns].
        position: (n,) [rad], model frame.
        velocity: (n,) [rad/s], as the servos report it.
        load: (n,) in -1..1, motor effort as a fraction of the servo's maximum: PWM duty on STS3215 and
            XL430-W250, current over the largest measurable current on XL330-M288.
    """

    stamp_ns: int
    position: FloatArray
    velocity: FloatArray
    load: FloatArray


@dataclass(frozen=True, slots=True)
class JointCommand:
    """Goal positions for all joints.

    Attributes:
        position: (n,) [rad], model frame.
    """

    position: FloatArray


@dataclass(frozen=True, slots=True)
class Health:
    """What the slow rota last read of each servo; NaN and -1 where nothing was read yet.

    Attributes:
        stamp_ns: (n,) when each servo was last read [ns], -1 if never.
        temperature: (n,) [°C].
        voltage: (n,) [V].
        current: (n,) [A], magnitude with sign; NaN for servos that do not measure it.
        hardware_error: one flag set a joint.
    """

    stamp_ns: IntArray
    temperature: FloatArray
    voltage: FloatArray
    current: FloatArray
    hardware_error: tuple[HardwareError, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """A policy's answer: the command and what the policy knows of its own doubt.

    Attributes:
        position: (n,) goal positions [rad].
        disagreement: the ensemble's disagreement for this step, NaN when the policy has none.
        expires_ns: after this time [ns] the action must not be executed any more.
    """

    position: FloatArray
    disagreement: float
    expires_ns: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The safety monitor's answer for one tick.

    Attributes:
        level: pass, slow, hold or stop.
        speed_scale: 0..1, by which motion is slowed.
        check: index of the check that spoke, into the monitor's `check_names`; -1 on a pass.
        reason: its name, empty on a pass.
        joint: index of the joint that it is about, -1 for none.
        value: the value that was judged.
        limit: the limit that it was judged against.
        held: whether this is a hold that has lasted for too long.
    """

    level: VerdictLevel
    speed_scale: float = 1.0
    check: int = -1
    reason: str = ""
    joint: int = -1
    value: float = float("nan")
    limit: float = float("nan")
    held: bool = False
