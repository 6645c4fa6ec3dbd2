"""The ensemble's native kernel: all layers of all nets, and all steps, in one call instead of one by one.

`policies.native_library` builds `ensemble_kernel.cpp`. Without a compiler, or a processor that multiplies bfloat16,
`policies.packed_ensemble` goes on with torch's operators. Where there are matrix tiles (AMX_BF16), blocks of 8 rows and
more go through them: 5 nets of 4x200 take 480 rows 6 times as fast as with AVX512_BF16 on the same Xeon.

Shapes: e nets, b rows, i inputs, o outputs; r particles a net, n candidates, h steps.
"""

import ctypes
import math
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import torch
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.native_library import LANES, PANEL, address, addresses, native_library, rounded_up

KERNEL: Final = "ensemble_kernel.cpp"

WIDEST: Final = 1024
"""Columns of a layer that the kernel has room for."""


class Scales(NamedTuple):
    """What turns inputs into a net's and its outputs back: float32, in the order and with the meaning of the source.

    Attributes:
        input_factor: (i,) 1 / input_deviation.
        input_offset: (i,) -input_mean / input_deviation.
        output_mean: (o,).
        output_deviation: (o,).
        max_log_variance: (o,).
        min_log_variance: (o,).
    """

    input_factor: Tensor
    input_offset: Tensor
    output_mean: Tensor
    output_deviation: Tensor
    max_log_variance: Tensor
    min_log_variance: Tensor


Layers: TypeAlias = Sequence[tuple[Tensor, Tensor]]
"""Weight (inputs, outputs) and bias (outputs,) of each layer of a net, float32."""


class NativeNets:
    """Nets of equal sizes, packed for the kernel."""

    def __init__(self, nets: Sequence[Layers], scales: Scales) -> None:
        """Pack `nets`.

        Raises:
            ConfigError: the kernel cannot be built, or a layer is too wide.
        """
        library = native_library(KERNEL)
        self._evaluate, self._carry = library.evaluate_nets, library.carry_particles
        inputs, self._outputs = len(scales.input_factor), len(scales.output_mean)
        widths = [weight.shape[1] for weight, _ in nets[0]]
        if max(2 * inputs, *widths) > WIDEST:
            raise ConfigError(f"a layer of {max(2 * inputs, *widths)} columns: the native kernel has room for {WIDEST}")
        step = library.input_multiple()
        padded = [rounded_up(2 * inputs, step), *(rounded_up(width, math.lcm(step, LANES)) for width in widths)]
        # Kept, because the kernel is told their addresses.
        self._weights, self._biases, self._scales = [], [], [scale.contiguous() for scale in scales]
        for net in nets:
            for layer, (weight, bias) in enumerate(net):
                # The inputs come as two parts of 8 bits each, which meet the same weights.
                parts = weight.repeat(2, 1) if layer == 0 else weight
                self._weights.append(_packed(parts, padded[layer], padded[layer + 1]))
                self._biases.append(torch.nn.functional.pad(bias, (0, padded[layer + 1] - len(bias))))
        kept = (addresses(tensors) for tensors in (self._weights, self._biases, self._scales))
        self._taken = len(nets), inputs
        sizes = (len(nets), len(widths), inputs, self._outputs)
        self._nets = (*sizes, (ctypes.c_int32 * len(padded))(*padded), *kept)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation (e, b, o) for inputs (e, b, i). Frees the interpreter's lock while it computes.

        Raises:
            ConfigError: the inputs are of other nets.
        """
        x = x.float().contiguous()
        nets, rows, width = x.shape
        if (nets, width) != self._taken:
            raise ConfigError(f"inputs {tuple(x.shape)}: give {self._taken[0]} nets, rows, {self._taken[1]} inputs")
        mean, deviation = torch.empty(2, nets, rows, self._outputs).unbind()
        self._evaluate(*self._nets, address(x), rows, address(mean), address(deviation))
        return mean, deviation

    def carry(self, start: Tensor, known: Tensor, matrix: Tensor, noise: Tensor) -> Tensor:
        """See `packed_ensemble.PackedEnsemble.carry`. Frees the interpreter's lock while it computes."""
        steps, _, particles, candidates, _ = noise.shape
        if noise.stride(-1) != 1:
            noise = noise.contiguous()
        known, matrix = known.contiguous(), matrix.contiguous()
        learned = torch.empty(steps + 1, *noise.shape[1:])
        learned[0] = start
        strides = (ctypes.c_int64 * 4)(*noise.stride()[:4])
        given = (address(matrix), address(known), address(noise), strides)
        self._carry(*self._nets, *given, steps, particles, candidates, address(learned))
        return learned


def _packed(weight: Tensor, inputs: int, outputs: int) -> Tensor:
    """`weight` padded to (inputs, outputs), in bfloat16, panel by panel; a column's weights for two inputs adjoin."""
    padded = torch.nn.functional.pad(weight, (0, outputs - weight.shape[1], 0, inputs - weight.shape[0]))
    pairs = padded.view(inputs // 2, 2, outputs)
    panels = [pairs[..., first : first + PANEL].transpose(1, 2).reshape(-1) for first in range(0, outputs, PANEL)]
    return torch.cat(panels).bfloat16()
