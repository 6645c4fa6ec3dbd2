"""iCEM: the cross-entropy method for planning with few candidates.

Pinneri et al. 2020, "Sample-efficient Cross-Entropy Method for Real-time Planning", arXiv:2008.06389, algorithm 1. In
each control step, with a mean μ (h, a) and a standard deviation std (h, a) over sequences of actions:

    μ <- last μ, shifted in time (and continued, see `tail`);  std <- deviation times half of the actions' range
    for each iteration i:
        N_i = max(N / decay^i, 2 K)
        N_i candidates clip(μ + std ⊙ C^β), C^β noise whose power falls with frequency as 1 / f^β
        add the best ξ K elites: in i = 0 those of the last step, shifted, their last action as a candidate's;
        otherwise those of the iteration before
        in the last iteration, one candidate is μ itself
        elites = the K candidates of least cost
        μ <- k μ + (1 - k) mean(elites),  std <- k std + (1 - k) deviation(elites)
    execute the first action of the best candidate

Shapes: n candidates, h steps, a actions.
"""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from robot_mbrl.contracts.config import Settings


class IcemSettings(Settings):
    """The optimizer's numbers; the published ones but for the population.

    Attributes:
        kind: which optimizer this is.
        population: N, candidates of the first iteration.
        decay: by which the population shrinks from one iteration to the next.
        iterations: of the optimizer.
        cold_iterations: the same for the first plan of an episode, which has none to go on from; None takes
            `iterations`, as published.
        elites: K.
        kept: ξ, share of the elites that is kept.
        deviation: of the first iteration, in halves of the actions' range.
        warm_deviation: the same for a plan that goes on from a last one; None takes `deviation`, as published. A small
            population finds a plan with a large deviation and keeps to it with a small one.
        colour: β; 0 is white, 2 a random walk's noise. 2.5 for reaching.
        momentum: k.
        scouts: how many of a plan's first candidates do not follow the mean: each holds an action drawn from the whole
            range for a while, and then rests. They find the way out where all plans like the last one are worse.
        tail: what follows at the end of μ when it is shifted: "last", its last action again as published, or "rest",
            the middle of the actions' range. Where actions are velocities, a plan that comes near its goal goes past it
            with the first and stays there with the second.
    """

    kind: Literal["icem"] = "icem"
    population: int = Field(default=64, ge=2)
    decay: float = Field(default=1.25, ge=1.0)
    iterations: int = Field(default=3, ge=1)
    cold_iterations: int | None = Field(default=None, ge=1)
    elites: int = Field(default=10, ge=1)
    kept: float = Field(default=0.3, ge=0.0, le=1.0)
    deviation: float = Field(default=0.5, gt=0.0)
    warm_deviation: float | None = Field(default=None, gt=0.0)
    colour: float = Field(default=2.5, ge=0.0)
    momentum: float = Field(default=0.1, ge=0.0, lt=1.0)
    scouts: int = Field(default=0, ge=0)
    tail: Literal["last", "rest"] = "last"

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if 2 * self.elites > self.population:
            raise ValueError(f"elites = {self.elites} of a population of {self.population}: give half of it or fewer")
        if self.scouts > self.population:
            raise ValueError(f"scouts = {self.scouts} of a population of {self.population}: give fewer")
        return self


class Icem:
    """A `policies.fast_planner.SequenceOptimizer`. Costs are minimised, infinity is the worst.

    Attributes:
        answers_best: the plan is the best candidate, not the mean.
    """

    answers_best = True

    def __init__(
        self, settings: IcemSettings, horizon: int, low: Tensor, high: Tensor, generator: torch.Generator
    ) -> None:
        """Search sequences of `horizon` actions between `low` and `high` (a,), drawing from `generator`."""
        self._settings, self._generator = settings, generator
        self._low, self._high = low.expand(horizon, -1), high.expand(horizon, -1)
        self._filter = colour_filter(horizon, settings.colour)
        self.reset()

    @property
    def iterations(self) -> int:
        """How many the plan that was begun has."""
        cold = self._settings.cold_iterations
        return self._settings.iterations if cold is None or self._warm else cold

    @property
    def mean(self) -> Tensor:
        """(h, a) μ."""
        return self._mean

    def reset(self) -> None:
        """Forget mean and elites."""
        self._mean = (self._low + self._high) / 2.0
        self._deviation = torch.zeros_like(self._mean)
        self._elites = self._mean[None, :0].new_zeros(0, *self._mean.shape)
        self._begun = self._warm = False

    def begin(self, elapsed: int) -> None:
        """Begin a plan near the last one, `elapsed` control steps after it."""
        deviation = self._settings.deviation
        self._warm = self._begun
        if self._warm:
            tail = self._mean[-1:] if self._settings.tail == "last" else (self._low + self._high)[-1:] / 2.0
            self._mean = shifted(self._mean, elapsed, tail)
            deviation = self._settings.warm_deviation or deviation
        self._deviation = deviation * (self._high - self._low) / 2.0
        self._elites = self._shifted_elites(elapsed)
        self._begun = True

    def propose(self, iteration: int) -> Tensor:
        """Candidates (n, h, a) of `iteration` (0, 1, ...)."""
        count = population(self._settings, iteration)
        candidates = torch.cat((self._draw(count), self._elites[: self._kept]))
        if iteration == 0:
            candidates[: self._settings.scouts] = self._scouts()
        if iteration == self.iterations - 1:
            candidates[0] = self._mean
        return candidates

    def update(self, candidates: Tensor, costs: Tensor) -> None:
        """Fit mean and deviation to the elites among `candidates` (n, h, a) of `costs` (n,)."""
        count = min(self._settings.elites, int(costs.isfinite().sum()))
        self._elites = candidates[costs.argsort(stable=True)[:count]]
        if count == 0:
            return
        k = self._settings.momentum
        self._mean = k * self._mean + (1.0 - k) * self._elites.mean(dim=0)
        self._deviation = k * self._deviation + (1.0 - k) * self._elites.std(dim=0, correction=0)

    @property
    def _kept(self) -> int:
        return int(self._settings.kept * self._settings.elites)

    def _draw(self, count: int) -> Tensor:
        horizon, actions = self._mean.shape
        noise = torch.randn(count, actions, horizon, generator=self._generator) @ self._filter
        return (self._mean + self._deviation * noise.transpose(1, 2)).clamp(self._low, self._high)

    def _scouts(self) -> Tensor:
        """Candidates (scouts, h, a): one action each, held for a while, and then the middle of the range."""
        count, horizon = self._settings.scouts, len(self._mean)
        middle = (self._low + self._high) / 2.0
        share = torch.rand(count, 1, self._mean.shape[1], generator=self._generator)
        until = torch.randint(1, horizon + 1, (count, 1, 1), generator=self._generator)
        held = torch.arange(horizon)[None, :, None] < until
        return torch.where(held, self._low + share * (self._high - self._low), middle)

    def _shifted_elites(self, steps: int) -> Tensor:
        """The elites to keep, `steps` later; what is new at their ends is drawn as for a candidate."""
        elites = self._elites[: self._kept, steps:]
        count, known = elites.shape[:2]
        return torch.cat((elites, self._draw(count)[:, known:]), dim=1)


def population(settings: IcemSettings, iteration: int) -> int:
    """`N_i = max(N / decay^i, 2 K)`, rounded down."""
    return max(int(settings.population / settings.decay**iteration), 2 * settings.elites)


def shifted(actions: Tensor, steps: int, tail: Tensor) -> Tensor:
    """Actions (h, a) moved `steps` forward in time, followed by `tail` (1, a) as often as it takes."""
    return torch.cat((actions[steps:], tail.expand(min(steps, len(actions)), -1)))


def colour_filter(steps: int, colour: float) -> Tensor:
    """Matrix F (steps, steps) that turns white noise (..., steps) into noise @ F of variance 1, power `1 / f^colour`.

    After Timmer and König 1995, "On generating power law noise": the Fourier components at f = k / steps are scaled by
    f^(-colour / 2), the constant as the lowest frequency above it.
    """
    frequencies = torch.fft.rfftfreq(steps, dtype=torch.float64)
    frequencies[0] = 1.0 / steps
    scale = frequencies ** (-colour / 2.0)
    unscaled = torch.fft.irfft(torch.fft.rfft(torch.eye(steps, dtype=torch.float64)) * scale, steps)
    scaled: Tensor = unscaled / unscaled.square().sum(dim=0).sqrt()
    return scaled.float()
