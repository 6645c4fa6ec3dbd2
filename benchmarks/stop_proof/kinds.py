"""The kinds of fault: how each is made on a stage, and when it first shows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.benchmarks.stop_proof.observation import Observation
from robot_mbrl.benchmarks.stop_proof.stage import Stage
from robot_mbrl.drivers.arms import ArmDefinition

Continue = Callable[[], None]
"""Keeps a fault going; called at each look."""


class Visible(Protocol):
    """Tells when a fault shows that has no effect on the host at once."""

    def __call__(self, arm: ArmDefinition, before: NDArray[np.void], after: NDArray[np.void], /) -> NDArray[np.bool_]:
        """(m,) in which of the m frames `after` the fault it shows; `before` are frames of the motion without it."""
        ...


class Make(Protocol):
    """Makes a fault."""

    def __call__(self, stage: Stage) -> Continue | None:
        """Make it now, and return what keeps it going, if it needs that."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: short.
        group: where it comes from: wire, servo, policy, process, operator, motion.
        what: one line for the table.
        make: makes it.
        visible: where it shows later than it is made; None for at once.
        lasts: how long it forces the arm [s]; what the arm does meanwhile says nothing of its rest.
        heartbeat: that the deployment asks of its console [s].
        physics: why the arm cannot come to rest in time, or under torque; empty where it can.
        harmless: whether the arm may also go on as if nothing had happened; the run then ends by an emergency stop.
    """

    name: str
    group: str
    what: str
    make: Make
    visible: Visible | None = None
    lasts: float = 0.0
    heartbeat: float | None = None
    physics: str = ""
    harmless: bool = False

    def visible_ns(self, arm: ArmDefinition, seen: Observation, fault_ns: int) -> int:
        """When the fault made at `fault_ns` first showed [ns]; when it was made, if it never did."""
        if self.visible is None:
            return fault_ns
        later = seen.frames["wake_ns"] >= fault_ns
        before, after = seen.frames[~later], seen.frames[later]
        shows = self.visible(arm, before, after)
        return int(after["wake_ns"][shows.argmax()]) if shows.any() else fault_ns
