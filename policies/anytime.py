"""`AnytimeBudget`: how many iterations of an optimizer fit before a deadline."""

import math
from typing import Final

from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.errors import DeadlineTooShort

FORGETTING: Final = 0.1
"""Share of what an iteration took longer than ever that is forgotten each time it is refused."""


class AnytimeBudget:
    """Tells, before each iteration, whether it will be done in time, from how long the same one took before.

    The first iteration is refused only when it never was fast enough for the time that is left, so that one slow plan
    is not the end of planning; later ones already when they were not the last time, because then there is a plan to
    fall back on. One that is refused is measured no more, so that each refusal brings what is expected of it nearer to
    the least that it ever took: it was slow because the processor was somebody else's, and is tried again.
    """

    def __init__(self, clock: Clock) -> None:
        """Measure on `clock`."""
        self._clock = clock
        self._least_finishing: int | None = None
        self._finishing = 0
        self._least: dict[int, int] = {}
        self._latest: dict[int, float] = {}
        self._deadline_ns: int | None = None
        self._begun_ns = self._counted_ns = 0

    def start(self, deadline_ns: int | None) -> None:
        """Begin a plan that must be done by `deadline_ns` [ns]; None is no limit.

        Raises:
            DeadlineTooShort: the time left is too short for one iteration.
        """
        self._deadline_ns = deadline_ns
        self._begun_ns = self._clock.now_ns()
        if deadline_ns is None:
            return
        left = deadline_ns - self._begun_ns
        needed = self._least.get(0, 0) + (self._least_finishing or 0)
        if left <= 0 or left < needed:
            raise DeadlineTooShort(
                f"{left / 1e6:.1f} ms are left for the plan, one iteration takes {needed / 1e6:.1f} ms: "
                "give a later deadline, or plan with fewer candidates, particles or steps"
            )

    def allows(self, iteration: int) -> bool:
        """Whether `iteration` (0, 1, ...) will be done by the deadline; to be asked right before it begins.

        What is done from the plan's start to its first iteration counts as a part of that.
        """
        if iteration == 0:
            return True
        self._begun_ns = self._clock.now_ns()
        if self._deadline_ns is None:
            return True
        # One that was never run yet takes no longer than the one before: populations do not grow.
        expected = self._latest.get(iteration, self._latest.get(iteration - 1, math.inf))
        fits = self._begun_ns + expected + self._finishing <= self._deadline_ns
        if not fits and iteration in self._least:
            self._latest[iteration] = expected + FORGETTING * (self._least[iteration] - expected)
        return fits

    def count(self, iteration: int) -> None:
        """Note that `iteration` is done."""
        self._counted_ns = self._clock.now_ns()
        took = self._counted_ns - self._begun_ns
        self._latest[iteration] = took
        self._least[iteration] = _least(self._least.get(iteration), took)

    def finish(self) -> None:
        """Note that the plan is there: what came after its last iteration will be allowed for."""
        self._finishing = self._clock.now_ns() - self._counted_ns
        self._least_finishing = _least(self._least_finishing, self._finishing)


def _least(known: int | None, found: int) -> int:
    return found if known is None else min(known, found)
