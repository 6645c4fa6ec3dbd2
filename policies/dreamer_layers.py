"""The layers that Dreamer is made of. Each computes in the precision of its input; parameters are float32.

n stands for any leading shape.
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

NORM_EPSILON = 1e-4

_TRUNCATION = 1.1368
"""1 / the standard deviation of a standard normal distribution cut off at ± 2, so that weights have the intended one
(rounded as in the published implementation)."""


def truncated_normal(shape: tuple[int, ...], fan_in: int, scale: float, generator: torch.Generator) -> nn.Parameter:
    """Weights of standard deviation scale / sqrt(fan_in), none further than two standard deviations out."""
    weight = torch.empty(shape)
    nn.init.trunc_normal_(weight, generator=generator)
    return nn.Parameter(weight * (_TRUNCATION * scale / math.sqrt(fan_in)))


class Dense(nn.Module):
    """y = W x + b: (n, inputs) -> (n, outputs)."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = truncated_normal((outputs, inputs), inputs, scale, generator)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) -> (n, outputs)."""
        return functional.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


class RmsNorm(nn.Module):
    """y = g x / sqrt(mean x² + 1e-4) over the last dimension; in float32 inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(n, width) -> (n, width)."""
        # Divided by the root, not multiplied by its reciprocal: this is the form that onnxruntime fuses.
        wide = x.float()
        mean_square = wide.pow(2.0).mean(-1, keepdim=True)
        return (wide / torch.sqrt(mean_square + NORM_EPSILON) * self.gain).to(x.dtype)


class NormedActivation(nn.Module):
    """SiLU after RMSNorm, as it follows every hidden layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = RmsNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width) -> (n, width)."""
        return functional.silu(self.norm(x))


class Hidden(nn.Module):
    """Dense layer, RMSNorm, SiLU."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.dense = Dense(inputs, outputs, generator)
        self.activation = NormedActivation(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) -> (n, outputs)."""
        activated: Tensor = self.activation(self.dense(x))
        return activated


class Mlp(nn.Module):
    """Hidden layers and a linear output; `scale` 0 starts the output at zero."""

    def __init__(
        self, inputs: int, units: int, layers: int, outputs: int, generator: torch.Generator, scale: float = 1.0
    ) -> None:
        super().__init__()
        widths = [inputs, *(layers * [units])]
        self.hidden = nn.Sequential(*(Hidden(a, b, generator) for a, b in itertools.pairwise(widths)))
        self.output = Dense(widths[-1], outputs, generator, scale)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) -> (n, outputs)."""
        outputs: Tensor = self.output(self.hidden(x))
        return outputs


class TwoHotMlp(Mlp):
    """An `Mlp` whose outputs are logits of bins in the order of `dreamer_losses.symexp_bins`, zero at first.

    The weights of the output lie in the order of rising values, as published ones do.
    """

    def __init__(self, inputs: int, units: int, layers: int, bins: int, generator: torch.Generator) -> None:
        super().__init__(inputs, units, layers, bins, generator, scale=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs) -> (n, bins)."""
        weight, bias = (_by_magnitude(value).to(x.dtype) for value in (self.output.weight, self.output.bias))
        return functional.linear(self.hidden(x), weight, bias)


def _by_magnitude(rising: Tensor) -> Tensor:
    middle = rising.shape[0] // 2
    return torch.cat([rising[middle:], rising[:middle].flip(0)])


class BlockDense(nn.Module):
    """A dense layer whose weights are block-diagonal, and which adds what all blocks see alike.

    The input of block g is [x_g, shared]; its output y_g = W_g [x_g, shared] + b_g. The weight has the fan-in of the
    layer as a whole, blocks (inputs + shared), not of one block: that is how the published sizes start.

    The weight lies as (inputs + shared, blocks, outputs): the part for `shared` is then one plain matrix for all blocks
    together, so that nothing is repeated per block.
    """

    def __init__(self, blocks: int, inputs: int, shared: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.blocks, self.inputs, self.outputs = blocks, inputs, outputs
        rows = inputs + shared
        self.weight = truncated_normal((rows, blocks, outputs), blocks * rows, 1.0, generator)
        self.bias = nn.Parameter(torch.zeros(blocks * outputs))

    def shared_part(self, shared: Tensor, start: int = 0) -> Tensor:
        """What inputs (n, s) that all blocks see add to the output: (n, blocks * outputs).

        They are inputs `start` to start + s of the shared ones.
        """
        first = self.inputs + start
        weight = self.weight[first : first + shared.shape[-1]].flatten(1)
        return shared @ weight.to(shared.dtype)

    def own_part(self, x: Tensor) -> Tensor:
        """W_g x_g + b_g of x (b, blocks * inputs): (b, blocks * outputs)."""
        return self.joined(self.by_block(x))

    def by_block(self, x: Tensor) -> Tensor:
        """The same, (blocks, b, outputs)."""
        weight = self.weight[: self.inputs].to(x.dtype).transpose(0, 1)
        bias = self.bias.view(self.blocks, 1, self.outputs)
        return torch.bmm(self.blocks_of(x), weight) + bias.to(x.dtype)

    def blocks_of(self, x: Tensor) -> Tensor:
        """(b, blocks * k) as (blocks, b, k)."""
        return x.reshape(x.shape[0], self.blocks, -1).transpose(0, 1)

    def joined(self, x: Tensor) -> Tensor:
        """The other way round."""
        return x.transpose(0, 1).reshape(x.shape[1], -1)
