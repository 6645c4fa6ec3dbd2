"""`PackedEnsemble`: a copy of an ensemble's elites, laid out for the fastest evaluation on this processor.

The same function as `policies.ensemble` with the scalers' divisions folded into factors. Where the processor multiplies
bfloat16 (AVX512_BF16, better AMX_BF16), hidden layers run in it: sums are kept in float32 inside a product, and scaled
inputs go in as two bfloat16 parts, so that they keep 16 bits. The work is done by our own kernel
(`policies.native_kernel`) or, where that cannot be built, layer by layer by oneDNN with bias and SiLU fused into the
product.

Shapes: e elites, b rows, i inputs, o outputs; r particles an elite, n candidates, h steps.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble, bound_log_variance
from robot_mbrl.policies.native_kernel import KERNEL, WIDEST, Layers, NativeNets, Scales
from robot_mbrl.policies.native_library import has_fast_bfloat16, native_reason

Kernel = Literal["native", "bfloat16", "float32"]
"""Our own kernel, in bfloat16, or torch's operators in either type."""

ROWS: Final = 128
"""Rows that oneDNN packs weights for."""

_PACK: Final = "_reorder_linear_weight"
_FUSED: Final = "_linear_pointwise"
"""oneDNN's operators as torch's own compiler emits them for frozen weights; there is no other name for them."""


def best_kernel(ensemble: ProbabilisticEnsemble) -> Kernel:
    """The fastest kernel for `ensemble` on this computer."""
    if not has_fast_bfloat16():
        return "float32"
    if native_reason(KERNEL) or max(2 * ensemble.inputs, *(weights.shape[2] for weights in ensemble.weights)) > WIDEST:
        return "bfloat16"
    return "native"


class PackedEnsemble:
    """The elites of an ensemble as they were when it was made.

    Attributes:
        members: e.
        kernel: what evaluates the nets.
    """

    def __init__(self, ensemble: ProbabilisticEnsemble, kernel: Kernel | Literal["auto"] = "auto") -> None:
        """Copy the weights of `ensemble`; "auto" takes the fastest kernel that works here.

        Raises:
            ConfigError: "native" was asked for and cannot be had.
        """
        self.kernel: Kernel = best_kernel(ensemble) if kernel == "auto" else kernel
        if self.kernel == "native" and (reason := native_reason(KERNEL)):
            raise ConfigError(f"kernel native: {reason}; give auto, bfloat16 or float32")
        self.members = len(ensemble.elites)
        with torch.no_grad():
            nets = [_layers(ensemble, int(elite)) for elite in ensemble.elites]
            scales = Scales(
                input_factor=1.0 / ensemble.input_deviation,
                input_offset=-ensemble.input_mean / ensemble.input_deviation,
                output_mean=ensemble.output_mean.clone(),
                output_deviation=ensemble.output_deviation.clone(),
                max_log_variance=ensemble.max_log_variance.detach().clone(),
                min_log_variance=ensemble.min_log_variance.detach().clone(),
            )
            self._nets = NativeNets(nets, scales) if self.kernel == "native" else _TorchNets(nets, scales, self.kernel)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (e, b, o) of the targets, in the data's units, of inputs (e, b, i)."""
        return self._nets(x)

    def carry(self, start: Tensor, known: Tensor, matrix: Tensor, noise: Tensor) -> Tensor:
        """What is learned of a state, z (h + 1, e, r, n, o), along particles that each keep their elite.

            x_t = z_t B + u_t,   z_{t+1} = z_t + mean(x_t) + deviation(x_t) ε_t

        Args:
            start: (o,) z_0.
            known: (h, n, i) u.
            matrix: (o, i) B.
            noise: (h, e, r, n, o) ε; an axis may be expanded, it is not copied.
        """
        return self._nets.carry(start, known, matrix, noise)


def _layers(ensemble: ProbabilisticEnsemble, member: int) -> Layers:
    """Copies of one member's layers."""
    pairs = zip(ensemble.weights, ensemble.biases, strict=True)
    return [(weights[member].detach().clone(), biases[member, 0].detach().clone()) for weights, biases in pairs]


class _TorchNets:
    """The nets layer by layer; in bfloat16 the inputs come as two parts of 8 bits each, which meet the same weights."""

    def __init__(self, nets: Sequence[Layers], scales: Scales, kernel: Kernel) -> None:
        self._scales, self._splits = scales, kernel == "bfloat16"
        dtype = torch.bfloat16 if self._splits else torch.float32
        self._nets = []
        for net in nets:
            layers = []
            for index, (weight, bias) in enumerate(net):
                doubled = weight.repeat(2, 1) if index == 0 and self._splits else weight
                layers.append(_layer(doubled.t().contiguous().to(dtype), bias.to(dtype), index + 1 < len(net)))
            self._nets.append(layers)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scales, outputs = self._scales, len(self._scales.output_mean)
        z = torch.addcmul(scales.input_offset, x, scales.input_factor)
        if self._splits:
            high = z.bfloat16()
            z = torch.cat((high, (z - high).bfloat16()), dim=-1)
        heads = torch.empty(*x.shape[:-1], 2 * outputs)
        for head, rows, net in zip(heads, z, self._nets, strict=True):
            values = rows
            for layer in net:
                values = layer(values)
            head.copy_(values)
        mean, log_variance = heads[..., :outputs], heads[..., outputs:]
        bounded = bound_log_variance(log_variance, scales.max_log_variance, scales.min_log_variance)
        deviation = (0.5 * bounded).exp() * scales.output_deviation
        return torch.addcmul(scales.output_mean, mean, scales.output_deviation), deviation

    def carry(self, start: Tensor, known: Tensor, matrix: Tensor, noise: Tensor) -> Tensor:
        _, e, r, n, o = noise.shape
        learned = [start.expand(e, r, n, o)]
        for u, draw in zip(known, noise, strict=True):
            inputs = learned[-1] @ matrix + u
            mean, deviation = self(inputs.reshape(e, r * n, -1))
            learned.append(learned[-1] + torch.addcmul(mean.view(e, r, n, o), deviation.view(e, r, n, o), draw))
        return torch.stack(learned)


def _layer(weight: Tensor, bias: Tensor, is_hidden: bool) -> Callable[[Tensor], Tensor]:
    """`silu(x Wᵀ + b)`, without silu in the last layer; weight (outputs, inputs), bias (outputs,)."""
    operators = torch.ops.mkldnn
    if hasattr(operators, _PACK) and hasattr(operators, _FUSED):
        packed, fused = getattr(operators, _PACK)(weight, ROWS), getattr(operators, _FUSED)
        activation = "swish" if is_hidden else "none"
        return lambda x: fused(x, packed, bias, activation, [], "")
    if is_hidden:
        return lambda x: functional.silu(functional.linear(x, weight, bias))
    return lambda x: functional.linear(x, weight, bias)
