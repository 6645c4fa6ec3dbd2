"""What a check says, and the grading that most checks share."""

from collections.abc import Sequence
from operator import truediv
from typing import NamedTuple, Protocol

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.monitor_settings import Grades
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.safety.frame_view import FrameView


class Judgement(NamedTuple):
    """One check's word on one tick; fields as in `contracts.types.Verdict`."""

    level: VerdictLevel
    scale: float = 1.0
    value: float = 0.0
    limit: float = 0.0
    joint: int = -1


PASS = Judgement(VerdictLevel.PASS)
"""What every check returns when it has nothing to say: this object, so that `is PASS` tells."""


class Check(Protocol):
    """A limit: a name and one method. State comes from the frames alone, so that a new object starts afresh."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def judge(self, view: FrameView) -> Judgement:
        """Judge one tick. Never raises, whatever the frame holds."""


class Persistence:
    """How long something has lasted without a break."""

    def __init__(self, seconds: float) -> None:
        self._duration_ns = to_ns(seconds)
        self._since_ns: int | None = None

    def reached(self, active: bool, now_ns: int) -> bool:
        """Whether it is `active` at `now_ns` [ns] and has been for the whole duration."""
        if not active:
            self._since_ns = None
            return False
        if self._since_ns is None:
            self._since_ns = now_ns
        return now_ns - self._since_ns >= self._duration_ns


class Accumulation:
    """How long something has been so in all, whatever lay between, until that is forgotten."""

    def __init__(self, seconds: float) -> None:
        self._duration_ns = to_ns(seconds)
        self._total_ns = 0
        self._since_ns: int | None = None

    def forget(self) -> None:
        """Begin anew."""
        self._total_ns, self._since_ns = 0, None

    def reached(self, active: bool, now_ns: int) -> bool:
        """Whether it is `active` at `now_ns` [ns] and has been for the whole duration, all its times together."""
        if not active:
            self._since_ns = None
            return False
        if self._since_ns is not None:
            self._total_ns += now_ns - self._since_ns
        self._since_ns = now_ns
        return self._total_ns >= self._duration_ns


class Grader:
    """Turns a value into a judgement by its `Grades`.

    Between `slow` and the next grade the scale falls in a straight line from 1 to the least scale. A value that is
    not a number exceeds every grade.

    Attributes:
        least: no value up to this one has any consequence.
        exceeded: whether the last value was above that.
    """

    def __init__(self, grades: Grades, min_scale: float) -> None:
        self._slow = grades.slow
        self._min_scale = min_scale
        given = ((VerdictLevel.HOLD, grades.hold), (VerdictLevel.STOP, grades.stop))
        self._hard = [(level, limit, Persistence(grades.persistence)) for level, limit in given if limit is not None]
        self._full = self._hard[0][1] if self._hard else None
        self.least = min(limit for limit in (grades.slow, self._full) if limit is not None)
        self.exceeded = False

    def judge(self, value: float, now_ns: int, joint: int = -1, unit: float = 1.0) -> Judgement:
        """Judge `value` at `now_ns` [ns]; the report gives value and limit times `unit`."""
        exceeded = not value <= self.least
        # A quiet value has nothing to start and, unless it has just become quiet, no persistence to end.
        if not exceeded and not self.exceeded:
            return PASS
        self.exceeded = exceeded
        judgement = PASS
        if self._slow is not None and not value <= self._slow:
            judgement = Judgement(VerdictLevel.SLOW, self._scale(value), value * unit, self._slow * unit, joint)
        for level, limit, persistence in self._hard:
            if persistence.reached(not value <= limit, now_ns):
                judgement = Judgement(level, 0.0, value * unit, limit * unit, joint)
        return judgement

    def _scale(self, value: float) -> float:
        assert self._slow is not None
        if self._full is None or not value < self._full:
            return self._min_scale
        return 1.0 - (1.0 - self._min_scale) * (value - self._slow) / (self._full - self._slow)


class JointGrader:
    """Grades the largest |value| of n joints as a share of each joint's limit; reports that joint's value and limit."""

    def __init__(self, grades: Grades, min_scale: float, limits: Sequence[float]) -> None:
        """Take shares of `limits` (n,), positive."""
        self._grader = Grader(grades, min_scale)
        self._limits = limits
        self._quiet = self._grader.least * min(limits)

    def judge(self, values: Sequence[float], now_ns: int) -> Judgement:
        """Judge `values` (n,) at `now_ns` [ns]."""
        # Nearly always nothing is anywhere near a limit: then the largest value of all says so, at a third of the cost.
        if not self._grader.exceeded and max(map(abs, values)) <= self._quiet:
            return PASS
        shares = [*map(truediv, map(abs, values), self._limits)]
        worst = max(shares)
        joint = shares.index(worst)
        return self._grader.judge(worst, now_ns, joint, self._limits[joint])
