"""The kinds of fault: how each is made on a stage, and when it first shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.benchmarks.stop_proof.criteria import Violation
from robot_mbrl.benchmarks.stop_proof.measures import verdict_time
from robot_mbrl.benchmarks.stop_proof.observation import Observation
from robot_mbrl.benchmarks.stop_proof.settling import Surroundings
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
        surroundings: makes it on the physics alone, if it is a fault of what surrounds the arm; how long the arm then
            takes to come to rest by itself is what a run is compared with.
        visible: where it shows later than it is made; None for at once.
        lasts: how long it forces the arm [s]; what the arm does meanwhile says nothing of its rest, which is judged
            from then on.
        force: why the arm cannot withstand it for so long; empty where nothing forces it.
        heartbeat: that the deployment asks of its console [s].
        excuses: what the arm cannot help, and why.
        harmless: whether the arm may also go on as if nothing had happened; the run then ends by an emergency stop.
    """

    name: str
    group: str
    what: str
    make: Make
    surroundings: Surroundings | None = None
    visible: Visible | None = None
    lasts: float = 0.0
    force: str = ""
    heartbeat: float | None = None
    excuses: Mapping[Violation, str] = field(default_factory=dict)
    harmless: bool = False

    def visible_ns(self, arm: ArmDefinition, seen: Observation, fault_ns: int) -> int:
        """When the fault made at `fault_ns` first showed [ns]; when it was made, if it never did.

        What was judged has been seen: a verdict that comes before a fault shows otherwise is what shows it.
        """
        if self.visible is None:
            return fault_ns
        later = seen.frames["wake_ns"] >= fault_ns
        before, after = seen.frames[~later], seen.frames[later]
        shows = self.visible(arm, before, after)
        stamps = [int(after["wake_ns"][shows.argmax()])] if shows.any() else []
        verdict_ns = verdict_time(seen, fault_ns)
        return min(stamps if verdict_ns is None else [*stamps, verdict_ns], default=fault_ns)
