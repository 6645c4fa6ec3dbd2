"""What Dreamer sees: observations to tokens (encoder), and latent features back to observations (decoder).

An observation is a mapping with `vector` (n, o) and, where the spaces have one, `image` (n, channels, 64, 64) of
bytes; n stands for any leading shape. Vectors and their differences, s numbers in all, are divided by their magnitudes,
pass through symlog and are learned as such; images are scaled to -0.5..0.5 and learned as squared errors of 0..1.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from robot_mbrl.policies.dreamer_layers import Dense, Hidden, Mlp, RmsNorm, truncated_normal
from robot_mbrl.policies.dreamer_losses import symexp, symlog, symlog_square_loss
from robot_mbrl.policies.dreamer_settings import DreamerSettings, DreamerSpaces

VECTOR, IMAGE = "vector", "image"
IMAGE_SIZE = 64
"""Pixels along an image's edge."""

_MULTIPLIERS = (2, 3, 4, 4)
"""Channels of the four convolutions, as multiples of the settings' depth."""
_KERNEL = 5
_COARSE = IMAGE_SIZE // 2 ** len(_MULTIPLIERS)
"""Pixels along the edge of the coarsest map."""

Observation = Mapping[str, Tensor]


def as_observation(observation: Tensor | Observation) -> Observation:
    """A tensor stands for an observation that is a vector only."""
    return {VECTOR: observation} if isinstance(observation, Tensor) else observation


def vector_view(spaces: DreamerSpaces) -> Tensor:
    """(o, s) what a vector is multiplied by before anything else: its numbers and its differences over magnitudes."""
    scale = 1.0 / torch.tensor(spaces.magnitudes) if spaces.magnitudes else torch.ones(spaces.vector)
    blocks = [torch.diag(scale)]
    for difference in spaces.differences:
        block = torch.zeros(spaces.vector, difference.length)
        columns = torch.arange(difference.length)
        block[difference.minuend + columns, columns] += 1.0 / difference.magnitude
        block[difference.subtrahend + columns, columns] -= 1.0 / difference.magnitude
        blocks.append(block)
    return torch.cat(blocks, 1)


class Encoder(nn.Module):
    """Observations to tokens (n, width)."""

    view: Tensor

    def __init__(self, spaces: DreamerSpaces, settings: DreamerSettings, generator: torch.Generator) -> None:
        super().__init__()
        self.vector: nn.Module | None = None
        self.image: ImageEncoder | None = None
        self.width = 0
        self.register_buffer("view", vector_view(spaces), persistent=False)
        if spaces.vector:
            widths = (spaces.seen, *(settings.layers * (settings.units,)))
            self.vector = nn.Sequential(*(Hidden(a, b, generator) for a, b in pairwise(widths)))
            self.width += settings.units
        if spaces.image:
            self.image = ImageEncoder(spaces.image, settings.depth, generator)
            self.width += self.image.width

    def forward(self, observation: Observation) -> Tensor:
        """Tokens (n, width)."""
        parts = []
        if self.vector is not None:
            parts.append(self.vector(symlog(observation[VECTOR] @ self.view)))
        if self.image is not None:
            parts.append(self.image(observation[IMAGE]))
        return torch.cat(parts, -1)


class Decoder(nn.Module):
    """Features (n, f) to the mean of what is observed."""

    view: Tensor

    def __init__(
        self, features: int, spaces: DreamerSpaces, settings: DreamerSettings, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.vector: Mlp | None = None
        self.image: ImageDecoder | None = None
        self.register_buffer("view", vector_view(spaces), persistent=False)
        if spaces.vector:
            self.vector = Mlp(features, settings.units, settings.layers, spaces.seen, generator)
        if spaces.image:
            self.image = ImageDecoder(features, spaces.image, settings.depth, generator)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """`vector` (n, s), symlog of the scaled numbers, and `image` (n, channels, 64, 64) in 0..1."""
        decoded = {}
        if self.vector is not None:
            decoded[VECTOR] = self.vector(features)
        if self.image is not None:
            decoded[IMAGE] = self.image(features)
        return decoded

    def observed(self, vector: Tensor) -> Tensor:
        """(n, o) the numbers of an observation, in its own units, of which `vector` (n, s) is the decoded one."""
        numbers = self.view.shape[0]
        return symexp(vector[..., :numbers]) / self.view.diagonal()

    def loss(self, features: Tensor, observation: Observation) -> Tensor:
        """Squared errors (n,), summed over the numbers and pixels of an observation."""
        decoded = self(features)
        losses = []
        if VECTOR in decoded:
            losses.append(symlog_square_loss(decoded[VECTOR], observation[VECTOR] @ self.view))
        if IMAGE in decoded:
            error = decoded[IMAGE].float() - observation[IMAGE].float() / 255.0
            losses.append(torch.square(error).sum((-3, -2, -1)))
        return torch.stack(losses).sum(0)


class _Convolution(nn.Module):
    """A 5x5 convolution that keeps the size."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        fan_in = inputs * _KERNEL**2
        self.weight = truncated_normal((outputs, inputs, _KERNEL, _KERNEL), fan_in, 1.0, generator)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight.to(x.dtype), self.bias.to(x.dtype), padding=_KERNEL // 2)


class _ChannelActivation(nn.Module):
    """SiLU after RMSNorm over the channels of (b, channels, height, width)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = RmsNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(self.norm(x.movedim(1, -1)).movedim(-1, 1))


class ImageEncoder(nn.Module):
    """Four convolutions, each followed by a 2x2 maximum: 64x64 pixels to 4x4 tokens, flat."""

    def __init__(self, channels: int, depth: int, generator: torch.Generator) -> None:
        super().__init__()
        widths = [channels, *(depth * factor for factor in _MULTIPLIERS)]
        self.convolutions = nn.ModuleList(_Convolution(a, b, generator) for a, b in pairwise(widths))
        self.activations = nn.ModuleList(_ChannelActivation(width) for width in widths[1:])
        self.width = widths[-1] * _COARSE**2

    def forward(self, image: Tensor) -> Tensor:
        """(n, channels, 64, 64) bytes -> (n, width)."""
        leading = image.shape[:-3]
        x = image.reshape(-1, *image.shape[-3:]).float() / 255.0 - 0.5
        for convolution, activation in zip(self.convolutions, self.activations, strict=True):
            x = activation(functional.max_pool2d(convolution(x), 2))
        return x.reshape(*leading, self.width)


class ImageDecoder(nn.Module):
    """The encoder's mirror image: 4x4 from the features, four times doubled and convolved, sigmoid."""

    def __init__(self, features: int, channels: int, depth: int, generator: torch.Generator) -> None:
        super().__init__()
        widths = [depth * factor for factor in reversed(_MULTIPLIERS)]
        self.coarse = widths[0]
        self.spread = Dense(features, widths[0] * _COARSE**2, generator)
        self.activations = nn.ModuleList(_ChannelActivation(width) for width in widths)
        self.convolutions = nn.ModuleList(_Convolution(a, b, generator) for a, b in pairwise([*widths, channels]))

    def forward(self, features: Tensor) -> Tensor:
        """(n, f) -> (n, channels, 64, 64) in 0..1."""
        leading = features.shape[:-1]
        x = self.spread(features.reshape(-1, features.shape[-1])).reshape(-1, self.coarse, _COARSE, _COARSE)
        for activation, convolution in zip(self.activations, self.convolutions, strict=True):
            x = convolution(functional.interpolate(activation(x), scale_factor=2.0, mode="nearest"))
        return torch.sigmoid(x).reshape(*leading, *x.shape[1:])
