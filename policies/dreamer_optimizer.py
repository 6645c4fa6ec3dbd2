"""Dreamer's optimizer: adaptive gradient clipping, then LaProp, with a linear warm-up.

For parameter θ with gradient g, at update n from 1:

    g ← g / max(1, |g| / (0.3 max(1e-3, |θ|)))           AGC (Brock 2021), one norm a parameter tensor
    s ← 0.999 s + 0.001 g²,  u = g / (sqrt(s / (1 - 0.999^n)) + 1e-20)
    m ← 0.9 m + 0.1 u                                     LaProp (Ziyin 2020): momentum of normalised gradients
    θ ← θ - η m / (1 - 0.9^n),  η = 4e-5 min(1, (n - 1) / 1000)

The first update of a warm-up leaves the parameters as they are: its learning rate is zero.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.dreamer_settings import DreamerSettings


class LaProp:
    """Updates parameters in place from their gradients. Its own state lies in two flat vectors, one number a weight.

    Attributes:
        updates: how many were made.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], settings: DreamerSettings) -> None:
        self._parameters = list(parameters)
        self._settings = settings
        self._sizes = [parameter.numel() for parameter in self._parameters]
        device = self._parameters[0].device
        self._lengths = torch.tensor(self._sizes, device=device)
        self._squares = torch.zeros(sum(self._sizes), device=device)
        self._momentum = torch.zeros_like(self._squares)
        self.updates = 0

    @property
    def learning_rate(self) -> float:
        """Of the next update."""
        warmup = self._settings.warmup
        share = min(1.0, self.updates / warmup) if warmup else 1.0
        return self._settings.learning_rate * share

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> Tensor:
        """Make one update from `gradients`, one a parameter and in their order.

        Returns:
            The norm () of all gradients together before clipping. When it is not finite, nothing was changed.
        """
        settings, rate = self._settings, self.learning_rate
        norms = _norms(gradients)
        total: Tensor = torch.linalg.vector_norm(norms)
        if not torch.isfinite(total):
            return total
        self.updates += 1
        limits = settings.clip * _norms(self._parameters).clamp(min=settings.least_norm)
        factors = 1.0 / (norms / limits).clamp(min=1.0)
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        flat *= factors.repeat_interleave(self._lengths, output_size=flat.numel())
        self._squares.mul_(settings.rms_decay).addcmul_(flat, flat, value=1.0 - settings.rms_decay)
        mean_squares = self._squares / (1.0 - settings.rms_decay**self.updates)
        flat /= mean_squares.sqrt_().add_(settings.rms_epsilon)
        self._momentum.lerp_(flat, 1.0 - settings.momentum)
        changes = self._momentum * (-rate / (1.0 - settings.momentum**self.updates))
        for parameter, change in zip(self._parameters, torch.split(changes, self._sizes), strict=True):
            parameter.add_(change.view_as(parameter))
        return total

    def state_dict(self) -> dict[str, Tensor]:
        """All that a resumed run needs besides the parameters."""
        return {"squares": self._squares, "momentum": self._momentum, "updates": torch.tensor(self.updates)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ConfigError: it is of a model of another size, or lacks something.
        """
        lacking = {"squares", "momentum", "updates"} - state.keys()
        if lacking:
            raise ConfigError(f"optimizer without {', '.join(sorted(lacking))}: give a whole checkpoint")
        for name, own in (("squares", self._squares), ("momentum", self._momentum)):
            if state[name].shape != own.shape:
                raise ConfigError(
                    f"optimizer {name} of {state[name].numel()} numbers: this model has {own.numel()} weights; resume "
                    "with the settings that the run was started with"
                )
            own.copy_(state[name])
        self.updates = int(state["updates"])


def _norms(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors])
