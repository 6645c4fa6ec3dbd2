"""`FastPlanner`: planning on a learned ensemble many times a second, on a robot's computer.

An optimizer (`policies.icem`, or `policies.mppi`) proposes sequences of actions or, with a `policies.guide`, of what to
add to its policy; `policies.rollouts` says what they cost, and the best plan so far is there whenever the deadline
comes. The plan begins where the arm will be when it takes effect: behind the actions that are on their way already. The
rollouts have threads of their own; what the calling thread does is so little that torch should have one thread there
(`torch.set_num_threads(1)`).

Shapes: n candidates, h steps, d states, a actions.
"""

import math
from typing import Annotated, Protocol

import torch
from pydantic import Field
from torch import Tensor

from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.config import Settings
from robot_mbrl.policies.anytime import AnytimeBudget
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.guide import Guide
from robot_mbrl.policies.icem import Icem, IcemSettings
from robot_mbrl.policies.mppi import Mppi, MppiSettings
from robot_mbrl.policies.plan_parts import beginning, disagreement_along, require_match
from robot_mbrl.policies.rollouts import Outcome, Rollouts, RolloutSettings
from robot_mbrl.policies.task_model import Float32Array, Plan, TaskModel


class SequenceOptimizer(Protocol):
    """Searches sequences of actions, iteration by iteration. It keeps the last mean as the start of the next plan."""

    @property
    def answers_best(self) -> bool:
        """Whether the answer is the best candidate; otherwise it is the mean."""
        ...

    @property
    def iterations(self) -> int:
        """How many iterations a plan has."""
        ...

    @property
    def mean(self) -> Tensor:
        """(h, a) of the distribution that candidates are drawn from."""
        ...

    def reset(self) -> None:
        """Forget the last plan."""
        ...

    def begin(self, elapsed: int) -> None:
        """Begin a plan near the last one, `elapsed` control steps after it."""
        ...

    def propose(self, iteration: int) -> Tensor:
        """Candidates (n, h, a) of `iteration` (0, 1, ...)."""
        ...

    def update(self, candidates: Tensor, costs: Tensor) -> None:
        """Learn that `candidates` (n, h, a) have `costs` (n,)."""
        ...


class FastPlannerSettings(Settings):
    """What a fast planner does.

    Attributes:
        horizon: h.
        optimizer: and its numbers; `kind` says which.
        rollouts: how candidates are judged.
    """

    horizon: int = Field(default=20, ge=1)
    optimizer: Annotated[IcemSettings | MppiSettings, Field(discriminator="kind")] = IcemSettings()
    rollouts: RolloutSettings = RolloutSettings()


class FastPlanner:
    """A `policies.task_model.Planner` that keeps its deadlines.

    Attributes:
        settings: what it was made with.
    """

    def __init__(
        self,
        task: TaskModel,
        ensemble: ProbabilisticEnsemble,
        settings: FastPlannerSettings,
        generator: torch.Generator,
        clock: Clock,
        guide: Guide | None = None,
    ) -> None:
        """Plan for `task` on the present weights of `ensemble`, drawing from `generator`, with deadlines by `clock`.

        With a `guide` candidates are what is added to its policy, and plans end with its value. Where the ensemble's
        members disagree too much about what the policy does, nothing is added to it: such a plan has no iterations.

        Raises:
            ConfigError: the ensemble is another task's.
        """
        require_match(task, ensemble)
        self.settings = settings
        self._task, self._ensemble, self._guide = task, ensemble, guide
        self._rollouts = Rollouts(task, ensemble, settings.rollouts, generator, guide)
        self._optimizer = _optimizer(settings, task, generator, guided=guide is not None)
        self._budget = AnytimeBudget(clock)

    def reset(self) -> None:
        """Forget the last plan: an episode begins."""
        self._optimizer.reset()

    def refresh(self) -> None:
        """Take over the present weights of ensemble and guide: to be called after each fit."""
        self._rollouts.refresh()

    @torch.no_grad()
    def plan(
        self,
        state: Float32Array,
        deadline_ns: int | None = None,
        pending: Float32Array | None = None,
        elapsed: int = 1,
    ) -> Plan:
        """Plan from `state` (d,) on; see `policies.task_model.Planner`."""
        self._budget.start(deadline_ns)
        start = beginning(self._task, self._ensemble, state, pending)
        noise = self._rollouts.draw_noise(self.settings.horizon)
        if self._guide is not None:
            policy = self._judged(start, torch.zeros_like(self._optimizer.mean), noise)
            told = self._told(policy, iterations=0, finished=True)
            if not told.disagreement.mean() <= self._guide.trust:
                self._optimizer.reset()
                return told
        optimizer = self._optimizer
        optimizer.begin(elapsed)
        best: _Judged | None = None
        iterations = 0
        while iterations < optimizer.iterations and self._budget.allows(iterations):
            candidates = optimizer.propose(iterations)
            if self._guide is not None and iterations == 0:
                candidates[0] = 0.0  # the policy itself
            actions = self._rollouts.actions(start, candidates)
            outcome = self._rollouts(start, actions, noise)
            optimizer.update(candidates, outcome.costs)
            leader = _Judged(actions, outcome, int(outcome.costs.argmin()))
            best = leader if best is None or leader.cost < best.cost else best
            self._budget.count(iterations)
            iterations += 1
        # Where every candidate is as bad as the other, the best is any: the last plan goes on.
        if best is None or not optimizer.answers_best or not math.isfinite(best.cost):
            best = self._judged(start, optimizer.mean, noise)
        plan = self._told(best, iterations, finished=iterations == optimizer.iterations)
        self._budget.finish()
        return plan

    def _judged(self, start: Tensor, candidate: Tensor, noise: Tensor) -> "_Judged":
        """What becomes of one `candidate` (h, a)."""
        actions = self._rollouts.actions(start, candidate[None])
        return _Judged(actions, self._rollouts(start, actions, noise), 0)

    def _told(self, judged: "_Judged", iterations: int, *, finished: bool) -> Plan:
        """A plan of what was `judged`."""
        return Plan(
            actions=judged.actions.numpy().copy(),
            value=judged.value,
            disagreement=disagreement_along(self._task, self._ensemble, judged.states, judged.actions),
            states=judged.states.numpy().copy(),
            iterations=iterations,
            finished=finished,
        )


class _Judged:
    """One of an outcome's candidates."""

    def __init__(self, candidates: Tensor, outcome: Outcome, index: int) -> None:
        self.actions = candidates[index]
        self.cost, self.value = float(outcome.costs[index]), float(outcome.values[index])
        self.states = outcome.states[:, index]


def _optimizer(
    settings: FastPlannerSettings, task: TaskModel, generator: torch.Generator, *, guided: bool
) -> SequenceOptimizer:
    """Searches actions or, `guided`, what is added to them: up to half of their range."""
    half = (task.action_high - task.action_low) / 2.0
    low, high = (-half, half) if guided else (task.action_low, task.action_high)
    if isinstance(settings.optimizer, MppiSettings):
        return Mppi(settings.optimizer, settings.horizon, low, high, generator)
    return Icem(settings.optimizer, settings.horizon, low, high, generator)
