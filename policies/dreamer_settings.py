"""What a Dreamer is made of: its spaces, sizes and constants, those of DreamerV3 (Hafner et al. 2023, revised 2025)."""

from typing import Final, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.errors import ConfigError

SizeName = Literal["1M", "12M", "25M"]

MAY_CHANGE: Final = frozenset({"compiled"})
"""Settings that may change while a run goes on: how sums are rounded, and nothing else."""

_SIZES: Final[dict[str, dict[str, int]]] = {
    "1M": {"deter": 512, "hidden": 64, "classes": 4, "units": 64, "depth": 4},
    "12M": {"deter": 2048, "hidden": 256, "classes": 16, "units": 256, "depth": 16},
    "25M": {"deter": 3072, "hidden": 384, "classes": 24, "units": 384, "depth": 24},
}


class Difference(Settings):
    """Two parts of an observed vector whose difference counts, such as where a thing is and where it shall be.

    Attributes:
        minuend: index at which the one begins.
        subtrahend: index at which the other begins.
        length: of both.
        magnitude: typical size of the difference, by which it is divided.
    """

    minuend: int = Field(ge=0)
    subtrahend: int = Field(ge=0)
    length: int = Field(ge=1)
    magnitude: PositiveFloat


class DreamerSpaces(Settings):
    """What goes in and out.

    Attributes:
        vector: o, length of the flat observation; 0 when there are only images.
        image: channels of a 64x64 image beside it; 0 for none.
        actions: a, length of an action; of a one-hot vector when they are discrete.
        discrete: actions are a choice of one in `actions`; continuous ones lie in -1..1.
        magnitudes: (o,) typical size of each number of the vector, by which it is divided; empty divides none. Symlog
            tames what is large but leaves what is small: of a place in metres, a centimetre would not be learned.
        differences: that are seen, and predicted, besides the vector. What a reward is made of is then in the latent
            state as finely as the reward needs it; the difference of two predictions would have the errors of both.
    """

    vector: int = Field(default=0, ge=0)
    image: int = Field(default=0, ge=0, le=16)
    actions: int = Field(ge=1)
    discrete: bool = False
    magnitudes: tuple[PositiveFloat, ...] = ()
    differences: tuple[Difference, ...] = ()

    @property
    def seen(self) -> int:
        """Length of the vector with its differences."""
        return self.vector + sum(difference.length for difference in self.differences)

    @model_validator(mode="after")
    def _has_an_observation(self) -> Self:
        if self.vector == 0 and self.image == 0:
            raise ValueError("there is nothing to observe: give vector or image a size")
        if self.magnitudes and len(self.magnitudes) != self.vector:
            raise ValueError(f"{len(self.magnitudes)} magnitudes for {self.vector} numbers: give one for each, or none")
        for difference in self.differences:
            end = max(difference.minuend, difference.subtrahend) + difference.length
            if end > self.vector:
                raise ValueError(f"a difference reaches to index {end} of a vector of {self.vector} numbers")
        return self


class DreamerSettings(Settings):
    """Sizes and constants; the defaults are those of size 1M on vector observations.

    Attributes:
        deter: width of the recurrent state h.
        hidden: width of the layers inside the recurrent model.
        latents: number of categorical variables of the stochastic state z.
        classes: of each of them.
        blocks: into which the recurrent weights are divided.
        units: width of encoder, decoder and heads.
        depth: channels of the image encoder's first layer, before its multipliers.
        layers: of encoder, decoder, actor and critic; the reward and continue heads have one.
        unimix: share of the uniform distribution in every categorical one.
        free_nats: below which a step's KL is not reduced further.
        dynamics_scale: weight of the KL that teaches the prior.
        representation_scale: weight of the KL that teaches the posterior.
        replay_value_scale: weight of the critic's loss on replayed states.
        bins: of the two-hot heads.
        horizon: the discount is 1 - 1 / horizon.
        imagination: steps imagined from each replayed state.
        trace: λ of the returns.
        entropy: weight of the actor's entropy.
        actor_gradient: "score" weighs what the actor did by its advantage (REINFORCE), as DreamerV3 does for all
            actions; "dynamics" goes back through the imagined steps, as DreamerV1 does, also through what the actor saw
            in them, which DreamerV2 leaves out. It learns smooth tasks with far fewer updates, each of which takes
            longer.
        deviation_low: least standard deviation of a continuous action.
        deviation_high: greatest.
        return_rate: of the running percentiles of the returns.
        slow_rate: at which the slow critic follows.
        slow_scale: weight of the pull towards the slow critic.
        doubt_members: predictors of the next latent whose spread is the doubt.
        learning_rate: after the warm-up.
        warmup: updates until the learning rate is reached.
        clip: greatest norm of a gradient, as a share of its parameter's norm.
        least_norm: below which a parameter's norm does not count less.
        rms_decay: of the running mean of squared gradients.
        rms_epsilon: keeps the division by their root finite.
        momentum: of the normalised gradients.
        precision: of imagination and heads; "auto" takes bfloat16 where the processor multiplies it natively. The
            parameters and all losses are float32 always, and so is the recurrent scan but for a native kernel's.
        compiled: have `torch.compile` fuse the update, and with bfloat16 on a processor that multiplies it a native
            kernel do the steps through time; takes a C++ compiler and minutes at the first update ever, and the process
            keeps memory that it frees.
    """

    deter: int = Field(default=512, gt=0)
    hidden: int = Field(default=64, gt=0)
    latents: int = Field(default=32, gt=0)
    classes: int = Field(default=4, gt=1)
    blocks: int = Field(default=8, gt=0)
    units: int = Field(default=64, gt=0)
    depth: int = Field(default=4, gt=0)
    layers: int = Field(default=3, gt=0)
    unimix: float = Field(default=0.01, ge=0.0, lt=1.0)
    free_nats: float = Field(default=1.0, ge=0.0)
    dynamics_scale: float = Field(default=1.0, ge=0.0)
    representation_scale: float = Field(default=0.1, ge=0.0)
    replay_value_scale: float = Field(default=0.3, ge=0.0)
    bins: int = Field(default=255, ge=3)
    horizon: float = Field(default=333.0, gt=1.0)
    imagination: int = Field(default=15, gt=0)
    trace: float = Field(default=0.95, ge=0.0, le=1.0)
    entropy: float = Field(default=3e-4, ge=0.0)
    actor_gradient: Literal["score", "dynamics"] = "score"
    deviation_low: float = Field(default=0.1, gt=0.0)
    deviation_high: float = Field(default=1.0, gt=0.0)
    return_rate: float = Field(default=0.01, gt=0.0, le=1.0)
    slow_rate: float = Field(default=0.02, gt=0.0, le=1.0)
    slow_scale: float = Field(default=1.0, ge=0.0)
    doubt_members: int = Field(default=5, ge=2)
    learning_rate: float = Field(default=4e-5, gt=0.0)
    warmup: int = Field(default=1000, ge=0)
    clip: float = Field(default=0.3, gt=0.0)
    least_norm: float = Field(default=1e-3, gt=0.0)
    rms_decay: float = Field(default=0.999, ge=0.0, lt=1.0)
    rms_epsilon: float = Field(default=1e-20, ge=0.0)
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compiled: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.deter % self.blocks:
            raise ValueError(f"deter {self.deter} is not divisible by blocks {self.blocks}")
        if self.bins % 2 == 0:
            raise ValueError(f"bins {self.bins} is even, so that none stands for zero")
        if self.deviation_low > self.deviation_high:
            raise ValueError(f"deviation_low {self.deviation_low} exceeds deviation_high {self.deviation_high}")
        return self

    @property
    def stoch(self) -> int:
        """Length of the stochastic state: all one-hot vectors, one after the other."""
        return self.latents * self.classes

    @property
    def discount(self) -> float:
        """1 - 1 / horizon; it is in the continue head's target (see `dreamer_losses.continue_target`)."""
        return 1.0 - 1.0 / self.horizon


def dreamer_settings(size: str) -> DreamerSettings:
    """The settings of a published size.

    Raises:
        ConfigError: there is no such size.
    """
    if size not in _SIZES:
        raise ConfigError(f"unknown Dreamer size {size!r}: give one of {', '.join(_SIZES)}")
    return DreamerSettings.model_validate(_SIZES[size])
