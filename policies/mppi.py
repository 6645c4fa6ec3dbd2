"""MPPI: the whole population, weighted by its costs, moves the mean.

Williams et al. 2017, "Information Theoretic MPC for Model-Based Reinforcement Learning", algorithm 2, with several
iterations a step and a deviation that is fitted as the mean is (Hansen et al. 2022, "Temporal Difference Learning for
Model Predictive Control", equation 4):

    candidates a_n = clip(μ + std ⊙ C^β)
    w_n = exp(-(J_n - min J) / λ) / Σ_n exp(-(J_n - min J) / λ)
    μ <- Σ_n w_n a_n,    std <- max(sqrt(Σ_n w_n (a_n - μ)²), least deviation)

The answer is μ. Candidates of infinite cost have no weight. Colour and the shift in time are iCEM's.

Shapes: n candidates, h steps, a actions.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from robot_mbrl.contracts.config import Settings
from robot_mbrl.policies.icem import colour_filter, shifted


class MppiSettings(Settings):
    """The optimizer's numbers.

    Attributes:
        kind: which optimizer this is.
        population: candidates of each iteration.
        iterations: of the optimizer.
        temperature: λ, in the unit of the reward.
        deviation: of the first iteration, in halves of the actions' range.
        least_deviation: in the same unit.
        colour: β of the noise; 0 is white, as published.
    """

    kind: Literal["mppi"] = "mppi"
    population: int = Field(default=96, ge=2)
    iterations: int = Field(default=3, ge=1)
    temperature: float = Field(default=0.5, gt=0.0)
    deviation: float = Field(default=0.5, gt=0.0)
    least_deviation: float = Field(default=0.05, ge=0.0)
    colour: float = Field(default=0.0, ge=0.0)


class Mppi:
    """A `policies.fast_planner.SequenceOptimizer`. Costs are minimised, infinity is the worst.

    Attributes:
        answers_best: the plan is the mean, not the best candidate.
    """

    answers_best = False

    def __init__(
        self, settings: MppiSettings, horizon: int, low: Tensor, high: Tensor, generator: torch.Generator
    ) -> None:
        """Search sequences of `horizon` actions between `low` and `high` (a,), drawing from `generator`."""
        self._settings, self._generator = settings, generator
        self._low, self._high = low.expand(horizon, -1), high.expand(horizon, -1)
        self._filter = colour_filter(horizon, settings.colour)
        self._half_range = (self._high - self._low) / 2.0
        self.reset()

    @property
    def iterations(self) -> int:
        """How many there are."""
        return self._settings.iterations

    @property
    def mean(self) -> Tensor:
        """(h, a) μ."""
        return self._mean

    def reset(self) -> None:
        """Forget the mean."""
        self._mean = (self._low + self._high) / 2.0
        self._deviation = self._settings.deviation * self._half_range
        self._begun = False

    def begin(self, elapsed: int) -> None:
        """Begin a plan near the last one, `elapsed` control steps after it."""
        if self._begun:
            self._mean = shifted(self._mean, elapsed, self._mean[-1:])
        self._deviation = self._settings.deviation * self._half_range
        self._begun = True

    def propose(self, iteration: int) -> Tensor:
        """Candidates (n, h, a); the first is the mean, so that a good one is not lost. `iteration` does not matter."""
        del iteration
        horizon, actions = self._mean.shape
        noise = torch.randn(self._settings.population, actions, horizon, generator=self._generator) @ self._filter
        candidates = (self._mean + self._deviation * noise.transpose(1, 2)).clamp(self._low, self._high)
        candidates[0] = self._mean
        return candidates

    def update(self, candidates: Tensor, costs: Tensor) -> None:
        """Move mean and deviation to the weighted `candidates` (n, h, a) of `costs` (n,)."""
        if not bool(costs.isfinite().any()):
            return
        weights = torch.softmax(-costs / self._settings.temperature, dim=0)[:, None, None]
        self._mean = (weights * candidates).sum(dim=0)
        variance = (weights * (candidates - self._mean).square()).sum(dim=0)
        self._deviation = torch.maximum(variance.sqrt(), self._settings.least_deviation * self._half_range)
