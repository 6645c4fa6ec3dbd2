"""A tour: policies that act one after the other, each for its time and with a goal of its own, for ever.

A leg of the tour is an episode of its own for the policy that acts in it: it begins with a reset, and its time begins
at 0. So one deployment can try several policies at many goals. An arm that was held or stopped does not go on with the
leg that was cut short: the next run begins with the next leg.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import Field

from robot_mbrl.contracts.config import Settings, load_settings
from robot_mbrl.contracts.policy import Outlook, PlanningPolicy, Policy
from robot_mbrl.contracts.types import Action, FloatArray


class Leg(Settings):
    """One episode of one policy.

    Attributes:
        policy: who acts, `NAME` or `NAME:FILE` as in `policies.registry`.
        seconds: for how long [s] of the episode's time.
        goal: where the tool shall come to, base frame [m]; None for policies that need none.
    """

    policy: str = Field(min_length=1)
    seconds: float = Field(gt=0.0, le=3600.0)
    goal: tuple[float, float, float] | None = None


class TourSettings(Settings):
    """The file.

    Attributes:
        legs: in order; after the last one the first one comes again.
    """

    legs: tuple[Leg, ...] = Field(min_length=1)


class TourClock:
    """Which leg of a tour is under way, from the time of the deployment's episodes.

    Attributes:
        number: of the leg that is under way, counted on from turn to turn.
        begun: the episode's time when it began [s].
    """

    def __init__(self, seconds: Sequence[float]) -> None:
        """Begin with leg 0; `seconds` [s] of each leg."""
        self._seconds = tuple(seconds)
        self._moved = False
        self.number, self.begun = 0, 0.0

    def restart(self) -> None:
        """An episode is about to begin: whatever was under way in the last one is over."""
        self.number += self._moved
        self._moved, self.begun = False, 0.0

    def advance(self, time: float) -> bool:
        """Go on to the leg at the episode's `time` [s]; returns whether that is another one."""
        before = self.number
        self._moved |= time > 0.0
        while time - self.begun >= self.seconds:
            self.begun += self.seconds
            self.number += 1
        return self.number != before

    @property
    def seconds(self) -> float:
        """How long the leg that is under way takes [s]."""
        return self._seconds[self.number % len(self._seconds)]


class TourPolicy:
    """Implements `contracts.policy.Policy`, and `PlanningPolicy` while one of those acts.

    A tour of several policies tells no doubt: each counts its own in another measure, if it does at all.
    """

    def __init__(self, settings: TourSettings, policies: Mapping[str, Policy]) -> None:
        """Go through the legs of `settings`, each by its policy out of `policies`."""
        self._legs = settings.legs
        self._policies = policies
        self._clock = TourClock([leg.seconds for leg in settings.legs])

    def reset(self) -> None:
        """An episode begins, with the leg after the one that was under way."""
        self._clock.restart()
        self._acting.reset()

    def act(self, observation: Mapping[str, FloatArray]) -> Action:
        """What the leg's policy answers to `observation`, with the leg's own time and goal in it."""
        time = float(observation["time"][0])
        if self._clock.advance(time):
            self._acting.reset()
        goal = self._leg.goal
        own = {} if goal is None else {"goal": np.array(goal)}
        action = self._acting.act({**observation, "time": np.array([time - self._clock.begun]), **own})
        return action if len(self._policies) == 1 else replace(action, disagreement=math.nan)

    def outlook(self) -> Outlook | None:
        """The acting policy's plan; None where it has none."""
        return self._acting.outlook() if isinstance(self._acting, PlanningPolicy) else None

    @property
    def _leg(self) -> Leg:
        return self._legs[self._clock.number % len(self._legs)]

    @property
    def _acting(self) -> Policy:
        return self._policies[self._leg.policy]


def load_tour(path: Path) -> TourSettings:
    """Read a tour.

    Raises:
        ConfigError: the file cannot be read, or is malformed.
    """
    return load_settings(path, TourSettings)
