"""Actors that plan on one ensemble."""

from typing import TypeAlias

import torch

from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.episodes import PlannerActor
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.fast_planner import FastPlanner, FastPlannerSettings
from robot_mbrl.policies.guide import Guide
from robot_mbrl.policies.pets import PetsPlanner, PetsSettings
from robot_mbrl.policies.task_model import Planner, TaskModel

PlannerSettings: TypeAlias = FastPlannerSettings | PetsSettings


def require_horizon(actions_per_plan: int, settings: PlannerSettings) -> None:
    """Refuse plans that are shorter than what is to be executed of them.

    Raises:
        ConfigError: they are.
    """
    if actions_per_plan > settings.horizon:
        raise ConfigError(f"{actions_per_plan} actions of a plan of {settings.horizon}: give a longer horizon")


class PlannerActors:
    """Makes actors for episodes. One planner serves them all, so only one of them can act at a time."""

    def __init__(
        self,
        settings: PlannerSettings,
        model: TaskModel,
        ensemble: ProbabilisticEnsemble,
        actions_per_plan: int = 1,
        guide: Guide | None = None,
    ) -> None:
        """Plan for the task `model` on `ensemble`, without deadlines, anew after so many actions.

        The fast planner has a `guide` where there is one.

        Raises:
            ConfigError: the ensemble is another task's, or the planner's settings do not fit it.
        """
        require_horizon(actions_per_plan, settings)
        self._generator, self._actions_per_plan = torch.Generator(), actions_per_plan
        clock = MonotonicClock()
        self._planner: Planner
        if isinstance(settings, PetsSettings):
            self._planner = PetsPlanner(model, ensemble, settings, self._generator, clock)
        else:
            self._planner = FastPlanner(model, ensemble, settings, self._generator, clock, guide)

    def make(self, seed: int) -> PlannerActor:
        """An actor for one episode: the ensemble's present weights, random numbers that start from `seed`."""
        self._generator.manual_seed(seed)
        self.refresh()
        return PlannerActor(self._planner, self._actions_per_plan)

    def refresh(self) -> None:
        """Let who acts go on with the ensemble's present weights; the plan so far stays where the next one starts."""
        self._planner.refresh()
