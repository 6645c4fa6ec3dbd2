"""PETS as published: model-predictive control with CEM over particles of a probabilistic ensemble.

Chua et al. 2018, "Deep Reinforcement Learning in a Handful of Trials using Probabilistic Dynamics Models",
arXiv:1805.12114, and the authors' code. `policies.icem` is the planner for a robot; this one is what it is compared
with.

Trajectory sampling (section 5): P particles start in the present state and are carried through every candidate
sequence of actions, particle p by the net b(p, t) of the ensemble:

    s_{t+1}^p ~ N( mean_b(s_t^p, a_t), variance_b(s_t^p, a_t) ),    J(a) = - Σ_t Σ_p r(s_t^p, a_t, s_{t+1}^p) / P

TS1 draws b(p, t) anew in every step, TS∞ keeps b(p) for the whole horizon. Either way each net carries P / B of a
candidate's particles, as in the authors' code.

The cross-entropy method (algorithm 1, line 6) fits a diagonal Gaussian to the best candidates:

    a ~ N(μ, min(σ², (distance to the nearer bound / 2)²)), cut at two standard deviations
    μ <- k μ + (1 - k) mean(elites),    σ² <- k σ² + (1 - k) variance(elites),    k = 0.1 (the paper's alpha)

from σ² = range² / 16 on. It ends after the iterations, or when all variances are below 0.001, and answers μ, which
starts the next plan, shifted in time and filled with zeros.

Shapes: n candidates, p particles, e nets that predict (the elites; all of them as published), h steps, d states, a
actions.
"""

from typing import Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.anytime import AnytimeBudget
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.plan_parts import beginning, disagreement_along, require_match
from robot_mbrl.policies.task_model import Float32Array, Plan, TaskModel


class PetsSettings(Settings):
    """The published numbers for the 7-DoF arm.

    Attributes:
        horizon: h.
        population: n, candidates of an iteration.
        elites: the best of them, which the next Gaussian is fitted to.
        iterations: of CEM.
        particles: p; a multiple of the nets that predict.
        propagation: "TS1" or "TSinf".
        alpha: share of the old Gaussian in the new one.
        least_variance: CEM ends when no variance is above.
    """

    horizon: int = Field(default=25, ge=1)
    population: int = Field(default=400, ge=2)
    elites: int = Field(default=40, ge=1)
    iterations: int = Field(default=5, ge=1)
    particles: int = Field(default=20, ge=1)
    propagation: Literal["TS1", "TSinf"] = "TSinf"
    alpha: float = Field(default=0.1, ge=0.0, lt=1.0)
    least_variance: float = Field(default=0.001, ge=0.0)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.elites > self.population:
            raise ValueError(f"elites = {self.elites} of a population of {self.population}: give fewer")
        return self


class Gaussian(NamedTuple):
    """A diagonal Gaussian over sequences of actions, mean and variance (h, a)."""

    mean: Tensor
    variance: Tensor


class PetsPlanner:
    """The reference planner, a `policies.task_model.Planner`.

    Attributes:
        settings: what it was made with.
    """

    def __init__(
        self,
        task: TaskModel,
        ensemble: ProbabilisticEnsemble,
        settings: PetsSettings,
        generator: torch.Generator,
        clock: Clock,
    ) -> None:
        """Plan for `task` on `ensemble`, drawing from `generator` and keeping deadlines by `clock`.

        Raises:
            ConfigError: the ensemble is another task's, or the particles are no multiple of its elites.
        """
        require_match(task, ensemble)
        if settings.particles % len(ensemble.elites):
            raise ConfigError(
                f"particles = {settings.particles} for {len(ensemble.elites)} nets that predict: give a multiple"
            )
        self.settings = settings
        self._task, self._ensemble, self._generator = task, ensemble, generator
        self._budget = AnytimeBudget(clock)
        self._low = task.action_low.expand(settings.horizon, -1)
        self._high = task.action_high.expand(settings.horizon, -1)
        self._last: Tensor | None = None

    def reset(self) -> None:
        """Forget the last plan: the next begins with the middle of the actions' range."""
        self._last = None

    def refresh(self) -> None:
        """Take over the ensemble's present weights: it evaluates the ensemble itself, so there is nothing to do."""

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
        middle = (self._low + self._high) / 2.0
        mean = middle if self._last is None else shifted(self._last, elapsed).clamp(self._low, self._high)
        gaussian = Gaussian(mean, (self._high - self._low).square() / 16.0)
        iterations = 0
        converged = False
        while iterations < self.settings.iterations and not converged and self._budget.allows(iterations):
            candidates = truncated_normal(gaussian, self._low, self._high, self.settings.population, self._generator)
            returns, _ = self.rollout(start, candidates)
            gaussian = self.refit(gaussian, candidates, worst_if_not_finite(-returns))
            converged = bool(gaussian.variance.max() <= self.settings.least_variance)
            self._budget.count(iterations)
            iterations += 1
        self._last = gaussian.mean
        returns, states = self.rollout(start, gaussian.mean[None])
        plan = Plan(
            actions=gaussian.mean.numpy().copy(),
            value=-float(worst_if_not_finite(-returns)),
            disagreement=disagreement_along(self._task, self._ensemble, states[:, 0], gaussian.mean),
            states=states[:, 0].numpy(),
            iterations=iterations,
            finished=converged or iterations == self.settings.iterations,
        )
        self._budget.finish()
        return plan

    def rollout(self, start: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Mean return (n,) and mean states (h + 1, n, d) of the particles, from `start` (d,) by `actions` (n, h, a).

        Where a state is not finite, the return is NaN: a reward may be a number all the same.
        """
        n, p = len(actions), self.settings.particles
        states = start.expand(n, p, -1)
        returns, means = torch.zeros(n), [states.mean(dim=1)]
        for action in actions.unbind(1):
            if self.settings.propagation == "TS1":
                order = torch.rand(n, p, generator=self._generator).argsort(dim=1)
                states = states.gather(1, order[:, :, None].expand_as(states))
            repeated = action[:, None].expand(-1, p, -1)
            outputs = self._sample(self._task.model_inputs(states, repeated))
            following = self._task.next_state(states, repeated, outputs)
            returns += self._task.reward(states, repeated, following).mean(dim=1)
            states = following
            means.append(states.mean(dim=1))
            returns = torch.where(states.isfinite().all(dim=-1).all(dim=-1), returns, torch.nan)
        return returns, torch.stack(means)

    def refit(self, gaussian: Gaussian, candidates: Tensor, costs: Tensor) -> Gaussian:
        """CEM's update from `candidates` (n, h, a) of `costs` (n,); candidates of infinite cost are never elites."""
        count = min(self.settings.elites, int(costs.isfinite().sum()))
        if count == 0:
            return gaussian
        elites = candidates[costs.argsort(stable=True)[:count]]
        alpha = self.settings.alpha
        return Gaussian(
            alpha * gaussian.mean + (1.0 - alpha) * elites.mean(dim=0),
            alpha * gaussian.variance + (1.0 - alpha) * elites.var(dim=0, correction=0),
        )

    def _sample(self, inputs: Tensor) -> Tensor:
        """A draw (n, p, o) from the nets' Gaussians for inputs (n, p, i), the first p / e by the first net."""
        (n, p, i), elites = inputs.shape, self._ensemble.elites
        blocks = torch.zeros(self._ensemble.members, n * p // len(elites), i)
        blocks[elites] = inputs.view(n, len(elites), -1, i).transpose(0, 1).reshape(len(elites), -1, i)
        mean, log_variance = self._ensemble(blocks)
        noise = torch.randn(mean.shape, generator=self._generator)
        drawn: Tensor = (mean + (0.5 * log_variance).exp() * noise)[elites]
        return drawn.view(len(elites), n, -1, drawn.shape[-1]).transpose(0, 1).reshape(n, p, -1)


def truncated_normal(gaussian: Gaussian, low: Tensor, high: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draws (count, h, a) cut at two standard deviations, narrowed so that none passes `low` or `high` (h, a)."""
    mean, variance = gaussian
    nearer = torch.minimum(mean - low, high - mean) / 2.0
    deviation = torch.minimum(variance, nearer.square()).sqrt()
    draws = torch.empty(count, *mean.shape)
    torch.nn.init.trunc_normal_(draws, 0.0, 1.0, -2.0, 2.0, generator=generator)
    return mean + deviation * draws


def worst_if_not_finite(costs: Tensor) -> Tensor:
    """`costs` with infinity, the worst there is, for NaN and for either infinity."""
    return torch.where(costs.isfinite(), costs, torch.inf)


def shifted(actions: Tensor, steps: int) -> Tensor:
    """Actions (h, a) moved `steps` forward in time and filled with zeros."""
    rest = actions[steps:]
    return torch.cat((rest, actions.new_zeros(len(actions) - len(rest), actions.shape[1])))
