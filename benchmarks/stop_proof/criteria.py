"""What a stop must keep to: four criteria, of which a run may violate none that its kind of fault does not excuse.

An excuse names one criterion and the physics that forbids it. It holds for runs that the fault stopped: one that rode
through its fault was stopped by hand, and must stop as any other does. Nothing excuses an arm that ends unlatched.
"""

from enum import StrEnum
from typing import Final

from robot_mbrl.benchmarks.stop_proof.measures import REST_BOUND, Measures
from robot_mbrl.benchmarks.stop_proof.stage import ARM
from robot_mbrl.drivers.arms import load_arm

TOP_SPEED: Final = min(joint.velocity_limit for joint in load_arm(ARM).joints)
"""At which a servo that was turned away from its goal gets back there at best [rad/s]."""


class Violation(StrEnum):
    """One for each criterion; the text is what the table says of a run that violates it."""

    LATE = f"rest later than {REST_BOUND * 1e3:.0f} ms"
    TORQUE = "torque not as configured"
    MOVED = "moved after the latch"
    UNLATCHED = "ended unlatched"


def rest_due(found: Measures) -> float:
    """By when after the visible effect the arm is to rest [s].

    That is `REST_BOUND`, which begins when nothing forces the arm any more, and when the joint that was forced away the
    farthest can be back at its goal: `forced + way_back / TOP_SPEED + REST_BOUND`.
    """
    return found.forced + found.way_back / TOP_SPEED + REST_BOUND


def is_late(found: Measures) -> bool:
    """Whether the arm did not come to rest in time."""
    return found.to_rest is None or found.to_rest > rest_due(found)


def violations(found: Measures) -> tuple[Violation, ...]:
    """All that a run violates, excused or not."""
    wrong = {
        Violation.LATE: is_late(found),
        Violation.TORQUE: not found.torque_kept,
        Violation.MOVED: found.moved_after_latch,
        Violation.UNLATCHED: not found.latched,
    }
    return tuple(violation for violation, holds in wrong.items() if holds)
