"""Choices that Dreamer makes at random: of a latent's class, and of an action.

Chance comes in as numbers, not as a generator: uniform ones in 0..1 for a categorical variable, standard normal ones
for a continuous action. Without them the mode is taken, so that the same function can be exported and repeated.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from robot_mbrl.policies.dreamer_losses import mixed_probabilities, normal_entropy, normal_log_probability
from robot_mbrl.policies.dreamer_settings import DreamerSettings, DreamerSpaces


def one_hot_choice(probabilities: Tensor, uniform: Tensor | None) -> Tensor:
    """One-hot vectors (n, classes) drawn from `probabilities` (n, classes); the likeliest class without `uniform` (n,).

    Class k is drawn where cdf(k - 1) <= u < cdf(k). The last has no upper bound, however the cdf was rounded.
    """
    if uniform is None:
        chosen = probabilities.argmax(-1, keepdim=True)
    else:
        passed = uniform.unsqueeze(-1) >= probabilities.cumsum(-1)[..., :-1]
        chosen = passed.sum(-1, keepdim=True)
    return (chosen == torch.arange(probabilities.shape[-1], device=chosen.device)).to(probabilities.dtype)


def straight_through(choice: Tensor, probabilities: Tensor) -> Tensor:
    """`choice` in value, `probabilities` in gradient (Bengio 2013); both (n, classes)."""
    return choice + (probabilities - probabilities.detach())


@dataclass(frozen=True, slots=True)
class NormalActions:
    """Independent normal distributions of a continuous action's components, (n, a).

    Attributes:
        mean: in -1..1.
        deviation: standard.
    """

    mean: Tensor
    deviation: Tensor

    def choose(self, noise: Tensor | None) -> Tensor:
        """The action (n, a) that standard normal `noise` (n, a) picks; the mean without it. It may leave -1..1."""
        return self.mean if noise is None else self.mean + self.deviation * noise

    def log_probability(self, action: Tensor) -> Tensor:
        """(n,) of `action` (n, a)."""
        return normal_log_probability(self.mean, self.deviation, action)

    def entropy(self) -> Tensor:
        """(n,)."""
        return normal_entropy(self.deviation)


@dataclass(frozen=True, slots=True)
class OneHotActions:
    """A choice of one of a actions.

    Attributes:
        log_probabilities: (n, a), the uniform share mixed in.
    """

    log_probabilities: Tensor

    def choose(self, noise: Tensor | None) -> Tensor:
        """One-hot action (n, a) that uniform `noise` (n, 1) picks; the likeliest without it."""
        return one_hot_choice(self.log_probabilities.exp(), None if noise is None else noise.squeeze(-1))

    def log_probability(self, action: Tensor) -> Tensor:
        """(n,) of one-hot `action` (n, a)."""
        return (self.log_probabilities * action).sum(-1)

    def entropy(self) -> Tensor:
        """(n,)."""
        return -(self.log_probabilities.exp() * self.log_probabilities).sum(-1)


def action_outputs(spaces: DreamerSpaces) -> int:
    """How many numbers the actor gives for an action."""
    return spaces.actions if spaces.discrete else 2 * spaces.actions


def action_distribution(
    outputs: Tensor, spaces: DreamerSpaces, settings: DreamerSettings
) -> NormalActions | OneHotActions:
    """What the actor's `outputs` (n, action_outputs) stand for.

    Continuous: mean tanh(x), deviation (high - low) sigmoid(y + 2) + low. Discrete: softmax with a uniform share.
    """
    outputs = outputs.float()
    if spaces.discrete:
        return OneHotActions(mixed_probabilities(outputs, settings.unimix).log())
    mean, width = outputs.chunk(2, -1)
    low, high = settings.deviation_low, settings.deviation_high
    return NormalActions(torch.tanh(mean), (high - low) * torch.sigmoid(width + 2.0) + low)


def action_noise(leading: tuple[int, ...], spaces: DreamerSpaces, generator: torch.Generator) -> Tensor:
    """Chance for actions of shape `leading`: uniform (*leading, 1) for discrete ones, else normal (*leading, a)."""
    device = generator.device
    if spaces.discrete:
        return torch.rand((*leading, 1), generator=generator, device=device)
    return torch.randn((*leading, spaces.actions), generator=generator, device=device)
