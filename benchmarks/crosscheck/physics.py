"""Where an emulated arm really is, and whether what a peer reads of it agrees."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from robot_mbrl.benchmarks.crosscheck.case import Mismatch, require
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import RAD_PER_TICK, JointDefinition
from robot_mbrl.drivers.virtual.control_client import Truth

SAMPLE_PERIOD = 0.001
"""How old [s] of simulated time a servo's own reading of its encoder may be."""
AT_REST = 0.1
"""Velocity [rad/s] below which a motion is over; joints may go on trembling within their backlash."""
ARRIVED = 0.2
"""How near [rad] proportional control brings a joint to its goal against gravity."""
LOOK_PERIOD = 0.01
"""[s]"""
ARRIVAL_DEADLINE = 60.0
"""[s]"""


@dataclass(frozen=True, slots=True)
class Physics:
    """The physics behind an emulated arm whose servos are mounted as drawn.

    Attributes:
        joints: of the arm.
        look: gives the present state.
    """

    joints: Sequence[JointDefinition]
    look: Callable[[], Truth]

    def read_at_rest(self, read: Callable[[], Sequence[int]], joints: slice = slice(None)) -> Sequence[int]:
        """Read positions while `joints` stand still in the physics, and check each against it, to one tick.

        What is read was so at some time between the two looks at the physics, or up to `SAMPLE_PERIOD` before them.
        Everything is read again until the joints are too slow, in both looks, to make half a tick in that time.

        Args:
            read: gives the positions of `joints` [ticks].
            joints: which of the arm's.

        Raises:
            Mismatch: a position is off by more than a tick, or the joints never stand still.
        """
        deadline = time.monotonic() + ARRIVAL_DEADLINE
        while time.monotonic() < deadline:
            before = self.look()
            ticks = read()
            after = self.look()
            fastest = max(np.abs(look.velocity[joints]).max() for look in (before, after))
            if fastest * (after.time - before.time + SAMPLE_PERIOD) < RAD_PER_TICK / 2:
                angles = after.position[joints].tolist()
                true = [j.nominal_map.to_tick(x) for j, x in zip(self.joints[joints], angles, strict=True)]
                off = max(abs(tick - wanted) for tick, wanted in zip(ticks, true, strict=True))
                require(off <= 1, f"positions read {list(ticks)}, in the physics {true}: {off} ticks apart")
                return ticks
        raise Mismatch(f"the arm did not stand still within {ARRIVAL_DEADLINE:g} s")

    def wait_for_arrival(self, goal: FloatArray) -> FloatArray:
        """Wait until the joints have come near `goal` [rad] in the physics and the motion is over; give where they are.

        Raises:
            Mismatch: that does not come to pass.
        """
        deadline = time.monotonic() + ARRIVAL_DEADLINE
        while time.monotonic() < deadline:
            look = self.look()
            if np.abs(look.position - goal).max() < ARRIVED and np.abs(look.velocity).max() < AT_REST:
                return look.position
            time.sleep(LOOK_PERIOD)
        raise Mismatch(f"after {ARRIVAL_DEADLINE:g} s the arm is at {look.position.round(3)}, not at {goal.round(3)}")
