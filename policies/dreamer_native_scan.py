"""The recurrent pass over replayed sequences and its gradient, by the native kernel; see `dreamer_scan`.

The kernel goes through all steps with bfloat16 weights, and back through them with what it kept on a tape. It gives the
gradients of all sums that weights take part in; those of the weights are one product each, for all steps at once.

Sequences b of t steps.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from robot_mbrl.policies.dreamer_model import LatentState, RecurrentModel
from robot_mbrl.policies.dreamer_native import NativeSteps
from robot_mbrl.policies.native_library import address

_TILE = 15
"""Rows behind the last one that a matrix tile may take with it."""

_ROUNDED = ("before", "seen", "core", "inner")
"""What is bfloat16 on the tape."""
_TAPE = (*_ROUNDED, "deter_in", "stoch_in", "core_in", "posterior_in", "gates")
_PULLED = ("deter_in", "stoch_in", "core_in", "gates", "posterior_in", "posterior_out")
_FINE = ("drive", "evidence")
_SUMS = (
    *("deter_gain", "stoch_gain", "core_gain", "posterior_gain"),
    *("deter_bias", "stoch_bias", "core_bias", "posterior_bias", "gates_bias", "out_bias"),
)


class _Tape(ctypes.Structure):
    """`Tape` of the source."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in _TAPE)


class _Pulled(ctypes.Structure):
    """`Pulled` of the source."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in (*_PULLED, *_FINE, *_SUMS))


class NativeScan:
    """`dreamer_scan.scan` of one recurrent model, by the kernel."""

    def __init__(self, steps: NativeSteps, dynamics: RecurrentModel) -> None:
        """Scan with `steps`' weights, which are those of `dynamics`."""
        self.steps, self.dynamics = steps, dynamics
        inputs = (dynamics.deter_in, dynamics.stoch_in)
        self._parameters = (
            *(part for layer in inputs for part in (layer.dense.weight, layer.dense.bias, layer.activation.norm.gain)),
            *(dynamics.core.weight, dynamics.core.bias, dynamics.core_activation.norm.gain),
            *(dynamics.gates.weight, dynamics.gates.bias),
            *(dynamics.posterior_in.weight, dynamics.posterior_in.bias, dynamics.posterior_activation.norm.gain),
            *(dynamics.posterior_out.weight, dynamics.posterior_out.bias),
        )

    def __call__(
        self, start: LatentState, keep: Tensor, drive: Tensor, evidence: Tensor, noise: Tensor
    ) -> tuple[LatentState, Tensor]:
        """See `dreamer_scan.scan`; with the weights that were last taken over."""
        inputs = (start.deter, start.stoch, keep, drive, evidence, noise)
        apply: Callable[..., tuple[Tensor, Tensor, Tensor]] = _Scan.apply
        deter, stoch, probabilities = apply(self, *inputs, *self._parameters)
        return LatentState(deter, stoch), probabilities

    def widths(self) -> dict[str, int]:
        """Numbers a row of everything that the kernel keeps and gives."""
        settings = self.dynamics.settings
        deter, hidden, stoch = settings.deter, settings.hidden, settings.stoch
        inner = dict.fromkeys(("inner", "deter_in", "stoch_in", "posterior_in", "evidence"), hidden)
        sums = dict.fromkeys(("deter_gain", "deter_bias", "stoch_gain", "stoch_bias"), hidden)
        sums |= dict.fromkeys(("posterior_gain", "posterior_bias"), hidden)
        sums |= {"core_gain": deter, "core_bias": deter, "gates_bias": 3 * deter, "out_bias": stoch}
        wide = {"before": deter + stoch, "seen": 2 * hidden, "core": deter, "core_in": deter, "drive": deter}
        return inner | sums | wide | {"gates": 3 * deter, "posterior_out": stoch}


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        scan: NativeScan,
        deter: Tensor,
        stoch: Tensor,
        *given: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        keep, drive, evidence, noise = (value.float().contiguous() for value in given[:4])
        steps, rows, latents = noise.shape
        widths = scan.widths()
        deters = torch.empty(steps + 1, rows, deter.shape[-1])
        stochs = torch.empty(steps + 1, rows, stoch.shape[-1])
        probabilities = torch.empty(steps, rows, latents, scan.dynamics.settings.classes)
        deters[0], stochs[0] = deter, stoch
        tape = [
            torch.empty(steps * rows + _TILE, widths[name], dtype=torch.bfloat16 if name in _ROUNDED else torch.float32)
            for name in _TAPE
        ]
        places = map(address, (keep, drive, evidence, noise, deters, stochs, probabilities))
        on_tape = _Tape(*(value.data_ptr() for value in tape))
        scan.steps.library.observe(scan.steps.network, steps, rows, *places, ctypes.byref(on_tape))
        ctx.scan = scan
        ctx.save_for_backward(keep, probabilities, deters[1:], *tape)
        return deters[1:], stochs[1:], probabilities

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scan: NativeScan = ctx.scan
        keep, probabilities, deters, *tape = ctx.saved_tensors
        steps, rows, _ = deters.shape
        count, widths = steps * rows, scan.widths()
        rounded = {name: torch.empty(count, widths[name], dtype=torch.bfloat16) for name in _PULLED}
        fine = {name: torch.empty(steps, rows, widths[name]) for name in _FINE}
        sums = {name: torch.zeros(widths[name]) for name in _SUMS}
        pulled = _Pulled(*(value.data_ptr() for value in (rounded | fine | sums).values()))
        on_tape = _Tape(*(value.data_ptr() for value in tape))
        given = [value.contiguous() for value in (keep, probabilities, *gradients)]
        places = map(address, given)
        records = ctypes.byref(on_tape), ctypes.byref(pulled)
        scan.steps.library.pull_back(scan.steps.network, steps, rows, *places, *records)
        kept = dict(zip(_TAPE, (value[:count] for value in tape), strict=True))
        weights = _weight_gradients(scan.dynamics, kept, rounded, deters.flatten(0, 1))
        parameters = (
            *(weights["deter_in"], sums["deter_bias"], sums["deter_gain"]),
            *(weights["stoch_in"], sums["stoch_bias"], sums["stoch_gain"]),
            *(weights["core"], sums["core_bias"], sums["core_gain"]),
            *(weights["gates"], sums["gates_bias"]),
            *(weights["posterior_in"], sums["posterior_bias"], sums["posterior_gain"]),
            *(weights["posterior_out"], sums["out_bias"]),
        )
        return None, None, None, None, fine["drive"], fine["evidence"], None, *parameters


def _weight_gradients(
    dynamics: RecurrentModel, tape: dict[str, Tensor], pulled: dict[str, Tensor], deters: Tensor
) -> dict[str, Tensor]:
    """Of each layer: the sum over all steps and rows of what went into its sums times their gradients."""
    settings = dynamics.settings
    own, shared = settings.deter // settings.blocks, 2 * settings.hidden
    before, z = torch.split(tape["before"], [settings.deter, settings.stoch], -1)
    core = torch.zeros_like(dynamics.core.weight)
    core[:own] = _by_blocks(before, pulled["core_in"], settings.blocks)
    core[own : own + shared] = (tape["seen"].T @ pulled["core_in"]).view(shared, settings.blocks, own)
    posterior = torch.zeros_like(dynamics.posterior_in.weight)
    posterior[:, : settings.deter] = pulled["posterior_in"].T @ deters.bfloat16()
    return {
        "deter_in": (pulled["deter_in"].T @ before).float(),
        "stoch_in": (pulled["stoch_in"].T @ z).float(),
        "core": core,
        "gates": _by_blocks(tape["core"], pulled["gates"], settings.blocks).float(),
        "posterior_in": posterior,
        "posterior_out": (pulled["posterior_out"].T @ tape["inner"]).float(),
    }


def _by_blocks(inputs: Tensor, gradients: Tensor, blocks: int) -> Tensor:
    """(inputs, blocks, outputs) of a block-diagonal layer."""
    rows = inputs.shape[0]
    x = inputs.reshape(rows, blocks, -1).permute(1, 2, 0)
    g = gradients.view(rows, blocks, -1).transpose(0, 1)
    return torch.bmm(x, g).transpose(0, 1)
