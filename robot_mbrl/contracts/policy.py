"""The `Policy` protocol: NumPy in, NumPy out. A new policy is one file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from robot_mbrl.contracts.types import Action, FloatArray


class Policy(Protocol):
    """Something that answers an observation with an action and with its own doubt."""

    def reset(self) -> None:
        """Forget the episode so far."""
        ...

    def act(self, observation: Mapping[str, FloatArray]) -> Action:
        """Return the action for `observation`: named float64 arrays, as the task's observation space lists them.

        Raises:
            DeadlineTooShort: there was no time for an answer: the last action goes on, until it expires.
        """
        ...


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a planning policy means to do, and what it expects to come of it, in h steps.

    Attributes:
        begins_ns: when the first step takes effect [ns].
        period: of a step [s].
        goals: (h, n) of the joints at each step [rad]; the first is the action's.
        positions: (h, n) of the joints, expected at the end of each step [rad].
        disagreement: (h,) of the models on each step.
    """

    begins_ns: int
    period: float
    goals: FloatArray
    positions: FloatArray
    disagreement: FloatArray


@runtime_checkable
class PlanningPolicy(Policy, Protocol):
    """A policy that can tell what it means to do after its action."""

    def outlook(self) -> Outlook | None:
        """The plan behind the last action; None before the first."""
        ...
