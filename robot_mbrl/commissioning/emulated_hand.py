"""A hand for emulated arms: it puts joints where a calibration wants them, by pushing them as a person would.

The hand is a spring of limited strength at each joint, whose rest position it leads along slowly. It feels its way:
against a stop, or the table, it gives way instead of breaking anything.
"""

from collections.abc import Callable
from typing import Final, Protocol

import numpy as np

from robot_mbrl.commissioning.operator import Reading
from robot_mbrl.contracts.clock import NANOSECONDS, Clock, to_ns
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.drivers.virtual.control_client import ControlClient
from robot_mbrl.drivers.virtual.faults import Push

STIFFNESS: Final = 2.7
"""[1/rad] of the joint's torque limit: an arm that weighs half of that on a joint hangs 0.2 rad low in this hand."""
DAMPING: Final = 0.17
"""[s/rad] of the joint's torque limit: a servo without torque hardly brakes, and the lighter ones are the weaker."""
STRENGTH: Final = 1.4
"""Largest torque, in torque limits of the joint."""
SPEED: Final = 4.0
"""How fast the hand leads a joint [rad/s]."""
PERIOD: Final = 0.01
"""Between two pushes [s]."""
LONGEST_PUSH: Final = 0.1
"""A late push lasts no longer than this [s]."""
REACH: Final = 0.3
"""How far past a stop the hand leads, so that its whole strength presses against it [rad]."""
DWELL: Final = 0.25
"""How long the hand holds what it has led a joint to [s]."""

# Where the other joints are held while one is led to its lower or upper stop, so that neither table nor arm is in its
# way: found by trying poses of the models. Joints that are not named are held in the middle.
_OUT_OF_THE_WAY: Final[dict[str, tuple[dict[str, float], dict[str, float]]]] = {
    "shoulder_lift": ({}, {"elbow_flex": -1.6}),
    "elbow_flex": ({}, {"shoulder_lift": -0.7, "wrist_flex": -1.4}),
}


class Arm(Protocol):
    """What the hand needs of an emulated arm."""

    def truth(self) -> tuple[FloatArray, FloatArray]:
        """(n,) where the joints are [rad] and how fast they move [rad/s]."""
        ...

    def push(self, joint: str, torque: float, duration: float) -> None:
        """Apply `torque` [N·m] to a joint for `duration` [s]."""
        ...


class ControlledArm:
    """An emulated arm behind its control socket."""

    def __init__(self, control: ControlClient) -> None:
        self._control = control

    def truth(self) -> tuple[FloatArray, FloatArray]:
        """(n,) where the joints are [rad] and how fast they move [rad/s]."""
        truth = self._control.truth()
        return truth.position, truth.velocity

    def push(self, joint: str, torque: float, duration: float) -> None:
        """Apply `torque` [N·m] to a joint for `duration` [s]."""
        self._control.fault(Push(servo=joint, torque=torque, duration=duration))


class EmulatedHand:
    """An `Operator` whose hands are pushes; it agrees to everything it is asked."""

    def __init__(self, definition: ArmDefinition, arm: Arm, clock: Clock, tell: Callable[[str], None]) -> None:
        """Take hold of nothing yet.

        Args:
            definition: names and limits of the joints.
            arm: the emulated arm.
            clock: for the pace of the hand.
            tell: where to say what it does.
        """
        self._definition = definition
        self._arm = arm
        self._clock = clock
        self._tell = tell
        self._limits = np.array([joint.position_limits for joint in definition.joints])
        self._torque_limit = np.array([joint.torque_limit for joint in definition.joints])
        self._lead = arm.truth()[0]
        self._pushed_ns = clock.now_ns()

    def tell(self, text: str) -> None:
        """Pass on what the procedure says."""
        self._tell(text)

    def confirm(self, question: str) -> bool:
        """Agree."""
        self._tell(f"{question} yes, says the emulated hand")
        return True

    def wait(self, request: str) -> None:
        """Go on."""
        self._tell(f"{request}: nothing to do on an emulated arm")

    def hold_middle(self, sample: Callable[[], Reading]) -> None:
        """Put every joint to the middle of its limits."""
        self._tell("the emulated hand holds every joint in the middle of its range")
        self._take_hold()
        self._lead_to(self._limits.mean(axis=1), sample)

    def sweep(self, joint: str, sample: Callable[[], Reading]) -> None:
        """Press one joint against both of its stops, the others out of its way."""
        self._tell(f"the emulated hand moves {joint} from stop to stop")
        self._take_hold()
        names = self._definition.joint_names
        index = names.index(joint)
        low, high = self._limits[index]
        for stop, elsewhere in zip((low - REACH, high + REACH), _OUT_OF_THE_WAY.get(joint, ({}, {})), strict=True):
            pose = self._limits.mean(axis=1)
            for name, position in elsewhere.items():
                pose[names.index(name)] = position
            self._lead_to(pose, sample)
            pose[index] = stop
            self._lead_to(pose, sample)

    def _take_hold(self) -> None:
        self._lead = self._arm.truth()[0]
        self._pushed_ns = self._clock.now_ns()

    def _lead_to(self, target: FloatArray, sample: Callable[[], Reading]) -> None:
        """Lead all joints to `target` (n,) [rad] and hold them there for a moment."""
        arrived_ns: int | None = None
        while arrived_ns is None or self._clock.now_ns() - arrived_ns < to_ns(DWELL):
            sample()
            elapsed = self._wait()
            self._lead += np.clip(target - self._lead, -SPEED * elapsed, SPEED * elapsed)
            self._push(elapsed)
            if arrived_ns is None and np.array_equal(self._lead, target):
                arrived_ns = self._clock.now_ns()

    def _wait(self) -> float:
        """Wait for the next push; the time since the last one [s], at most `LONGEST_PUSH`."""
        self._clock.sleep_until_ns(self._pushed_ns + to_ns(PERIOD))
        now = self._clock.now_ns()
        elapsed = (now - self._pushed_ns) / NANOSECONDS
        self._pushed_ns = now
        return min(elapsed, LONGEST_PUSH)

    def _push(self, duration: float) -> None:
        position, velocity = self._arm.truth()
        share = np.clip(STIFFNESS * (self._lead - position) - DAMPING * velocity, -STRENGTH, STRENGTH)
        torque = share * self._torque_limit
        for name, value in zip(self._definition.joint_names, torque.tolist(), strict=True):
            self._arm.push(name, value, duration)
