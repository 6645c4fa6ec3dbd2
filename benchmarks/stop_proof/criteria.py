"""What a stop must keep to: four criteria, of which a run may violate none that its kind of fault does not excuse.

Rest is due in time, or as soon as the arm can if that takes longer: see `rest_due`. An excuse names one criterion and
the physics that forbids it. It holds for runs that the fault stopped: one that rode through its fault was stopped by
hand, and must stop as any other does. Nothing excuses an arm that ends unlatched.
"""

from enum import StrEnum

from robot_mbrl.benchmarks.stop_proof.measures import REST_BOUND, Measures
from robot_mbrl.benchmarks.stop_proof.settling import NOTICE, Settling


class Violation(StrEnum):
    """One for each criterion; the text is what the table says of a run that violates it."""

    LATE = f"rest later than {REST_BOUND * 1e3:.0f} ms, and than the arm needs"
    TORQUE = "torque not as configured"
    MOVED = "moved after the latch"
    UNLATCHED = "ended unlatched"


def rest_due(found: Measures, settling: Settling) -> float:
    """By when after the visible effect the arm is to rest [s].

    That is `REST_BOUND`, from when on nothing forces the arm any more; or, where the arm needs longer for a stop that
    nobody has to notice, what it needs after the verdict, for which there is `NOTICE`:
    `forced + max(REST_BOUND, min(to_verdict - forced, NOTICE) + settling.worst)`.
    """
    noticed = NOTICE if found.to_verdict is None else min(max(found.to_verdict - found.forced, 0.0), NOTICE)
    return found.forced + max(REST_BOUND, noticed + settling.worst)


def within_bound(found: Measures) -> bool:
    """Whether the arm came to rest within `REST_BOUND`, whatever it needs."""
    return found.to_rest is not None and found.to_rest <= found.forced + REST_BOUND


def violations(found: Measures, settling: Settling) -> tuple[Violation, ...]:
    """All that a run violates, excused or not."""
    wrong = {
        Violation.LATE: found.to_rest is None or found.to_rest > rest_due(found, settling),
        Violation.TORQUE: not found.torque_kept,
        Violation.MOVED: found.moved_after_latch,
        Violation.UNLATCHED: not found.latched,
    }
    return tuple(violation for violation, holds in wrong.items() if holds)
