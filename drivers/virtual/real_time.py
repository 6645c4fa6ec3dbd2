"""Keeps physics in step with the clock, and says so when it cannot."""

from dataclasses import dataclass
from typing import Final

from robot_mbrl.contracts.clock import NANOSECONDS, to_ns

_GIVE_UP_NS: Final = to_ns(0.05)
"""Lag [ns] beyond which the lost time is written off instead of being caught up."""
_LAZINESS_NS: Final = to_ns(0.004)
"""How far [ns] physics may trail while answers are due."""
_COST_WEIGHT: Final = 0.05


@dataclass(slots=True)
class Overruns:
    """Real time that was not kept.

    Attributes:
        count: how many times the emulator fell so far behind that it gave up catching up.
        lost: how much time was written off [s].
        worst_lag: the largest lag, caught up or not [s].
    """

    count: int = 0
    lost: float = 0.0
    worst_lag: float = 0.0


class StepSchedule:
    """When the next step of physics is due. It trails the clock by up to one timestep and never leads it.

    A step takes tens of microseconds, as long as a few bytes on the wire, so it is put between the answers: it is
    deferred when an answer is due before the step would be over, up to a few milliseconds.

    Attributes:
        overruns: real time that was not kept.
    """

    def __init__(self, timestep: float, now_ns: int) -> None:
        self.overruns = Overruns()
        self._period_ns = to_ns(timestep)
        self._next_ns = now_ns + self._period_ns
        self._cost_ns = to_ns(100e-6)

    @property
    def next_ns(self) -> int:
        """When the next step is due [ns]."""
        return self._next_ns

    def may_step(self, now_ns: int, event_ns: int | None) -> bool:
        """Whether to step now [ns], with the next event on the bus at `event_ns` [ns]."""
        lag_ns = now_ns - self._next_ns
        if lag_ns < 0:
            return False
        return event_ns is None or event_ns - now_ns > 2 * self._cost_ns or lag_ns > _LAZINESS_NS

    def stepped(self, started_ns: int, ended_ns: int) -> bool:
        """Note a step that ran from `started_ns` to `ended_ns`; True when lost time had to be written off."""
        self._next_ns += self._period_ns
        self._cost_ns += int(_COST_WEIGHT * (ended_ns - started_ns - self._cost_ns))
        lag_ns = ended_ns - self._next_ns
        overruns = self.overruns
        if lag_ns <= 0:
            return False
        overruns.worst_lag = max(overruns.worst_lag, lag_ns / NANOSECONDS)
        if lag_ns <= _GIVE_UP_NS:
            return False
        overruns.count += 1
        overruns.lost += lag_ns / NANOSECONDS
        self._next_ns = ended_ns + self._period_ns
        return True
