"""The probabilistic ensemble of PETS (Chua et al. 2018, arXiv:1805.12114, section 4 and appendix A). Knows no task.

Each of m members is a perceptron that gives a Gaussian over the target y (a change of state) for an input x:

    z = (x - input_mean) / input_deviation
    (μ, l) = W_k silu(... silu(W_1 z + b_1) ...) + b_k
    l' = max - softplus(max - l),   l'' = min + softplus(l' - min)                    (bounds, appendix A.1)
    mean = output_mean + output_deviation μ,   variance = output_deviation² exp(l'')

with learned bounds max and min (o,), shared by the members. Shapes: m members, b rows, i inputs, o outputs.
"""

import itertools
from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.errors import ConfigError

INITIAL_MAX_LOG_VARIANCE: Final = 0.5
INITIAL_MIN_LOG_VARIANCE: Final = -10.0
"""Both from the authors' code, `dmbrl/modeling/models/BNN.py`."""

_NonNegative = Annotated[float, Field(ge=0.0)]
_Width = Annotated[int, Field(ge=1)]


class EnsembleSettings(Settings):
    """Size of an ensemble and how it is fitted.

    Nets and decay are the published 7-DoF reacher's; `PUBLISHED` holds all settings as published. The defaults differ
    for speed and for data in rad and rad/s (`benchmarks.ensemble_fitting` compares both):

    - The likelihood's gradient of an output's mean shrinks with its variance. Positions are soon certain, so velocities
      go unlearned for dozens of epochs, and early stopping takes that for the end. `beta` balances them.
    - Weights start twice as large, or four layers of SiLU let next to nothing through at first.
    - Targets are scaled to unit deviation, because the bounds' start would otherwise stand for a least deviation of
      0.0067 rad, more than a servo moves in many a step.
    - Batches are twice as large at twice the learning rate, and fitting ends when held-out rows gain no more, as in
      MBPO (Janner et al. 2019).

    Attributes:
        members: m.
        elites: how many members predict: those with the least held-out error; all without held-out rows.
        hidden: widths of the hidden layers.
        weight_decay: of each layer's matrix, the output layer's last: adds decay / 2 times the squares to the loss.
        initial_deviation: of the weights at first, times the square root of the layer's inputs.
        learning_rate: Adam's.
        batch_size: rows that each member sees in one step.
        epochs: most passes over the data in `fit`.
        refit_epochs: most passes over the data in `refit`.
        held_out: share of the rows that no member is fitted to; 0 fits all rows for `epochs` passes.
        held_out_limit: most rows held out.
        patience: epochs without gain after which fitting ends.
        least_gain: share of the members' mean held-out error that an epoch must gain to count.
        bound_weight: of sum(max) - sum(min) of the log-variance bounds in the loss.
        beta: power of the predicted variance that weights the loss (Seitzer et al. 2022); 0 is the likelihood.
        scale_outputs: fit targets scaled to mean 0 and deviation 1.
        least_rows: fewer rows than these are refused.
    """

    members: int = Field(default=5, ge=1)
    elites: int = Field(default=5, ge=1)
    hidden: tuple[_Width, ...] = (200, 200, 200, 200)
    weight_decay: tuple[_NonNegative, ...] = (2.5e-4, 5e-4, 5e-4, 5e-4, 7.5e-4)
    initial_deviation: float = Field(default=1.0, gt=0.0)
    learning_rate: float = Field(default=1.5e-3, gt=0.0)
    batch_size: int = Field(default=64, ge=1)
    epochs: int = Field(default=200, ge=1)
    refit_epochs: int = Field(default=10, ge=1)
    held_out: float = Field(default=0.2, ge=0.0, le=0.5)
    held_out_limit: int = Field(default=5000, ge=1)
    patience: int = Field(default=15, ge=1)
    least_gain: float = Field(default=0.01, ge=0.0, lt=1.0)
    bound_weight: float = Field(default=0.01, ge=0.0)
    beta: float = Field(default=0.5, ge=0.0, le=1.0)
    scale_outputs: bool = True
    least_rows: int = Field(default=50, ge=10)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(self.weight_decay) != len(self.hidden) + 1:
            raise ValueError(
                f"{len(self.weight_decay)} numbers in weight_decay for {len(self.hidden)} hidden layers and an output "
                f"layer: give {len(self.hidden) + 1}"
            )
        if self.elites > self.members or (self.held_out == 0.0 and self.elites != self.members):
            raise ValueError(
                f"elites = {self.elites} of {self.members} members with {self.held_out:g} of the rows held out to "
                "choose them by: give no more elites than members, and all of them without held-out rows"
            )
        return self


def _published(hidden: tuple[int, ...], weight_decay: tuple[float, ...], learning_rate: float) -> EnsembleSettings:
    return EnsembleSettings(
        hidden=hidden,
        weight_decay=weight_decay,
        initial_deviation=0.5,
        learning_rate=learning_rate,
        batch_size=32,
        beta=0.0,
        epochs=5,
        refit_epochs=5,
        held_out=0.0,
        scale_outputs=False,
    )


PUBLISHED: Final[dict[str, EnsembleSettings]] = {
    "cartpole": _published((500, 500, 500), (1e-4, 2.5e-4, 2.5e-4, 5e-4), 1e-3),
    "reacher": _published((200, 200, 200, 200), (2.5e-4, 5e-4, 5e-4, 5e-4, 7.5e-4), 7.5e-4),
}
"""As in the authors' code, `dmbrl/config/cartpole.py` and `reacher.py`: 5 epochs an iteration, batches of 32."""


class Prediction(NamedTuple):
    """What the elites say of b inputs, as a mixture of Gaussians (equal weights).

    Attributes:
        mean: (b, o) of the mixture.
        aleatoric: (b, o) mean of the members' variances: noise that more data cannot take away.
        epistemic: (b, o) variance of the members' means: what the members do not agree on for want of data.
    """

    mean: Tensor
    aleatoric: Tensor
    epistemic: Tensor

    @property
    def variance(self) -> Tensor:
        """(b, o) of the mixture, by the law of total variance."""
        return self.aleatoric + self.epistemic


class ProbabilisticEnsemble(nn.Module):
    """m members in one batch of products.

    Attributes:
        inputs: i.
        outputs: o.
        members: m.
        settings: what it was made with.
        input_names: (i,) of the inputs, for messages and files.
        output_names: (o,) of the outputs.
        weights: a layer's matrices (m, inputs of the layer, outputs), for each layer.
        biases: a layer's biases (m, 1, outputs), for each layer.
        max_log_variance: (o,) upper bound, of scaled targets.
        min_log_variance: (o,) lower bound, of scaled targets.
        input_mean: (i,) in the inputs' units, as `input_deviation`.
        output_mean: (o,) in the targets' units, as `output_deviation`; 0 and 1 when outputs are not scaled.
        target_deviation: (o,) of the fitted targets, in their units, also when outputs are not scaled; disagreement
            is counted in these.
        elites: (elites,) indices of the members that predict, the best first.
    """

    input_mean: Tensor
    input_deviation: Tensor
    output_mean: Tensor
    output_deviation: Tensor
    target_deviation: Tensor
    elites: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        settings: EnsembleSettings,
        generator: torch.Generator,
        *,
        input_names: Sequence[str] | None = None,
        output_names: Sequence[str] | None = None,
    ) -> None:
        """Make an ensemble that has seen no data, with weights drawn from `generator`.

        Raises:
            ConfigError: fewer than one input or output, or another number of names.
        """
        super().__init__()
        self.inputs, self.outputs, self.members, self.settings = inputs, outputs, settings.members, settings
        self.input_names = _names("input", inputs, input_names)
        self.output_names = _names("output", outputs, output_names)
        widths = (inputs, *settings.hidden, 2 * outputs)
        self.weights = nn.ParameterList(
            _matrix((self.members, rows, columns), settings.initial_deviation / rows**0.5, generator)
            for rows, columns in itertools.pairwise(widths)
        )
        self.biases = nn.ParameterList(
            nn.Parameter(torch.zeros(self.members, 1, columns, dtype=torch.float32)) for columns in widths[1:]
        )
        self.max_log_variance = nn.Parameter(torch.full((outputs,), INITIAL_MAX_LOG_VARIANCE, dtype=torch.float32))
        self.min_log_variance = nn.Parameter(torch.full((outputs,), INITIAL_MIN_LOG_VARIANCE, dtype=torch.float32))
        self.register_buffer("input_mean", torch.zeros(inputs, dtype=torch.float32))
        self.register_buffer("input_deviation", torch.ones(inputs, dtype=torch.float32))
        self.register_buffer("output_mean", torch.zeros(outputs, dtype=torch.float32))
        self.register_buffer("output_deviation", torch.ones(outputs, dtype=torch.float32))
        self.register_buffer("target_deviation", torch.ones(outputs, dtype=torch.float32))
        self.register_buffer("elites", torch.arange(settings.elites))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance (m, b, o) of the targets of inputs (m, b, i), a block a member, in the data's units."""
        mean, log_variance = self.scaled((x - self.input_mean) / self.input_deviation)
        return (
            self.output_mean + self.output_deviation * mean,
            log_variance + 2.0 * self.output_deviation.log(),
        )

    def scaled(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and bounded log-variance (m, b, o) of scaled targets, of scaled inputs (m, b, i)."""
        last = len(self.weights) - 1
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = torch.baddbmm(bias, z, weight)
            if index < last:
                z = silu(z)
        mean, log_variance = torch.split(z, self.outputs, dim=-1)
        return mean, bound_log_variance(log_variance, self.max_log_variance, self.min_log_variance)

    @torch.no_grad()
    def predict(self, x: Tensor) -> Prediction:
        """What the elites say of the targets of inputs (b, i), in the data's units."""
        mean, log_variance = self(x.expand(self.members, *x.shape))
        return mixture(mean[self.elites], log_variance[self.elites].exp())

    def disagreement(self, prediction: Prediction) -> Tensor:
        """(b,) spread of the elites' means in typical changes, the number that `OnnxEnsemble` gives as well."""
        spread: Tensor = prediction.epistemic / self.target_deviation.square()
        return spread.mean(dim=-1).sqrt()


def bound_log_variance(log_variance: Tensor, upper: Tensor, lower: Tensor) -> Tensor:
    """`log_variance` (..., o) drawn softly between `lower` and `upper` (o,): Chua 2018, appendix A.1.

    The second softplus lifts what the first one left, so values may pass `upper` by softplus(lower - upper) at most.
    """
    log_variance = upper - softplus(upper - log_variance)
    return lower + softplus(log_variance - lower)


def mixture(means: Tensor, variances: Tensor) -> Prediction:
    """Mean and both parts of the variance of an even mixture of m Gaussians, `means` and `variances` (m, b, o)."""
    mean = means.mean(dim=0)
    return Prediction(mean, variances.mean(dim=0), (means - mean).square().mean(dim=0))


def _matrix(shape: tuple[int, int, int], deviation: float, generator: torch.Generator) -> nn.Parameter:
    """Weights from a normal distribution of `deviation`, cut at two deviations as published."""
    matrix = torch.empty(shape, dtype=torch.float32)
    nn.init.trunc_normal_(matrix, 0.0, deviation, -2.0 * deviation, 2.0 * deviation, generator=generator)
    return nn.Parameter(matrix)


def _names(kind: str, count: int, names: Sequence[str] | None) -> tuple[str, ...]:
    if count < 1:
        raise ConfigError(f"ensemble with {count} {kind}s: give 1 or more")
    if names is None:
        return tuple(f"{kind} {index}" for index in range(count))
    if len(names) != count or len(set(names)) != count:
        raise ConfigError(f"ensemble {kind} names {', '.join(names)}: give {count} that differ")
    return tuple(names)
