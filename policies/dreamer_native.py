"""Dreamer's steps through time in one call of a native kernel: each block of rows goes through all of them by itself.

Step by step, an update's rows pass dozens of operators, each of which is a sweep through memory and a meeting of
threads. `dreamer_kernel.cpp` (see `policies.native_library`) carries 48 rows at a time through all of them, with their
activations in the first-level cache and bfloat16 weights in the second-level one.

Rows n or b, steps h or t, features f, actions a.
"""

import ctypes
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.dreamer_layers import Dense, Hidden, Mlp
from robot_mbrl.policies.dreamer_model import DreamerModel
from robot_mbrl.policies.native_library import LANES, address, native_library, native_reason, rounded_up

KERNEL: Final = "dreamer_kernel.cpp"

_EVEN: Final = 32
"""Widths that the kernel takes are multiples of this."""


class _Dense(ctypes.Structure):
    """`Dense` of the source."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("gain", ctypes.c_void_p),
        ("inputs", ctypes.c_int32),
        ("outputs", ctypes.c_int32),
    )


class _Network(ctypes.Structure):
    """`Network` of the source."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("deter", "blocks", "latents", "classes", "actions", "actor_layers")),
        *((name, ctypes.c_float) for name in ("unimix", "deviation_low", "deviation_high")),
        ("actor", ctypes.POINTER(_Dense)),
        *((name, _Dense) for name in ("action_in", "deter_in", "stoch_in", "core_shared", "core_recurrent")),
        ("core_own", ctypes.POINTER(_Dense)),
        ("gates", ctypes.POINTER(_Dense)),
        ("prior", 3 * _Dense),
        *((name, _Dense) for name in ("posterior_in", "posterior_out")),
        *((name, _Dense) for name in ("deter_back", "stoch_back", "recurrent_back")),
        *((name, ctypes.POINTER(_Dense)) for name in ("own_back", "gates_back")),
        *((name, _Dense) for name in ("posterior_in_back", "posterior_out_back")),
    )


def native_reason_for(model: DreamerModel) -> str:
    """Why the kernel cannot do the steps of `model`, in words; empty when it can."""
    settings = model.settings
    if model.spaces.discrete:
        return "its actions are discrete"
    widths = settings.hidden, settings.units, settings.deter, settings.stoch
    if any(width % _EVEN for width in widths) or settings.deter // settings.blocks % LANES:
        return f"widths {widths} are no multiples of {_EVEN}, or blocks of deter none of {LANES}"
    return native_reason(KERNEL)


def native_steps(model: DreamerModel) -> "NativeSteps | None":
    """The kernel's steps for `model`, or None where it cannot do them."""
    return None if native_reason_for(model) else NativeSteps(model)


class NativeSteps:
    """A model's weights as the kernel takes them, as they were when they were last taken over; and imagination by them.

    Attributes:
        library: the kernel.
    """

    def __init__(self, model: DreamerModel) -> None:
        """Do the steps of `model`, on torch's threads where there are rows enough.

        Raises:
            ConfigError: the kernel cannot be built, or not be used for this model.
        """
        if reason := native_reason_for(model):
            raise ConfigError(f"the native kernel cannot do this model's steps: {reason}")
        self.library, self._model = native_library(KERNEL), model
        self._step = self.library.input_multiple()
        # Kept, because the kernel is told their addresses.
        self._kept: list[Any] = []
        self._packings: list[tuple[Any, ...]] = []
        self._network = self._described()

    def take_over(self) -> None:
        """Take the model's weights as they are now."""
        for packing in self._packings:
            self.library.pack_matrix(*packing)

    @torch.no_grad()
    def imagine(self, features: Tensor, latent_noise: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
        """Imagine on from `features`, the actor choosing.

        Args:
            features: (n, f) of the states to begin with.
            latent_noise: (h, n, latents) uniform in 0..1.
            chance: (h + 1, n, a) standard normal.

        Returns:
            Features (h + 1, n, f) in bfloat16, the given ones first, and the action (h + 1, n, a) chosen at each.
        """
        steps, rows, _ = latent_noise.shape
        latent_noise, chance = latent_noise.contiguous(), chance.contiguous()
        visited = torch.empty(steps + 1, rows, features.shape[-1], dtype=torch.bfloat16)
        visited[0] = features
        actions = torch.empty_like(chance)
        places = [address(tensor) for tensor in (latent_noise, chance, visited, actions)]
        self.library.imagine(self.network, torch.get_num_threads(), steps, rows, *places)
        return visited, actions

    @property
    def network(self) -> Any:
        """Where the kernel finds sizes and weights."""
        return ctypes.byref(self._network)

    def _described(self) -> _Network:
        model, settings, dynamics = self._model, self._model.settings, self._model.world.dynamics
        own, blocks = settings.deter // settings.blocks, settings.blocks
        core, gates, seen = dynamics.core, dynamics.gates, dynamics.posterior_in
        gain = dynamics.core_activation.norm.gain
        shared, recurrent = (core.weight[own : own + count * settings.hidden].flatten(1) for count in (3, 2))
        each = range(blocks)
        gate_biases = gates.bias.view(blocks, 3 * own)
        posterior = seen.weight[:, : settings.deter]
        return _Network(
            *(settings.deter, blocks, settings.latents, settings.classes, model.spaces.actions, settings.layers),
            *(settings.unimix, settings.deviation_low, settings.deviation_high),
            self._array(self._perceptron(model.behaviour.actor)),
            *(self._hidden(layer) for layer in (dynamics.action_in, dynamics.deter_in, dynamics.stoch_in)),
            *(self._dense(weight, core.bias, gain) for weight in (shared, recurrent)),
            self._array([self._dense(core.weight[:own, block]) for block in each]),
            self._array([self._dense(gates.weight[:, block], gate_biases[block]) for block in each]),
            (3 * _Dense)(*self._perceptron(dynamics.prior_mlp)),
            self._dense(posterior.T, seen.bias, dynamics.posterior_activation.norm.gain),
            self._linear(dynamics.posterior_out),
            *(self._dense(layer.dense.weight) for layer in (dynamics.deter_in, dynamics.stoch_in)),
            self._dense(recurrent.T),
            self._array([self._dense(core.weight[:own, block].T) for block in each]),
            self._array([self._dense(gates.weight[:, block].T) for block in each]),
            *(self._dense(weight) for weight in (posterior, dynamics.posterior_out.weight)),
        )

    def _perceptron(self, mlp: Mlp) -> list[_Dense]:
        layers = [module for module in mlp.hidden if isinstance(module, Hidden)]
        return [*map(self._hidden, layers), self._linear(mlp.output)]

    def _hidden(self, layer: Hidden) -> _Dense:
        return self._dense(layer.dense.weight.T, layer.dense.bias, layer.activation.norm.gain)

    def _linear(self, layer: Dense) -> _Dense:
        return self._dense(layer.weight.T, layer.bias)

    def _dense(self, weight: Tensor, bias: Tensor | None = None, gain: Tensor | None = None) -> _Dense:
        """A layer whose `weight` (inputs, outputs), any view of a parameter, is packed by `take_over`."""
        weight, (inputs, outputs) = weight.detach(), weight.shape
        padded = rounded_up(inputs, max(self._step, 2)), rounded_up(outputs, LANES)
        packed = torch.empty(padded[0] * padded[1], dtype=torch.bfloat16)
        self._kept.append((weight, bias, gain, packed))
        self._packings.append(
            (
                address(weight),
                *map(ctypes.c_int64, weight.stride()),
                *(inputs, outputs, *padded),
                address(packed),
            )
        )
        places = [None if value is None else value.data_ptr() for value in (bias, gain)]
        return _Dense(packed.data_ptr(), *places, *padded)

    def _array(self, layers: Sequence[_Dense]) -> Any:
        array = (len(layers) * _Dense)(*layers)
        self._kept.append(array)
        return array
