"""A small recurrent policy in torch, of the operations that learners use, for everything that exports and runs one."""

import torch
from torch import Tensor, nn

from robot_mbrl.policies.bundle_manifest import StateTensor

HIDDEN, CLASSES = 16, 4


class SmallStep(nn.Module):
    """A gated unit with normalisation, a one-hot latent that is chosen by its likeliest class, and heads on both."""

    def __init__(self, observation: int, actions: int, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.into = nn.Linear(observation + HIDDEN + CLASSES + actions, HIDDEN)
        self.norm = nn.RMSNorm(HIDDEN, eps=1e-4)
        self.gates = nn.Linear(HIDDEN, 2 * HIDDEN)
        self.latent = nn.Linear(HIDDEN, CLASSES)
        self.actor = nn.Linear(HIDDEN + CLASSES, actions)
        self.critic = nn.Linear(HIDDEN + CLASSES, 1)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(0.0, parameter.shape[-1] ** -0.5, generator=generator)

    def forward(
        self, observation: Tensor, is_first: Tensor, hidden: Tensor, latent: Tensor, action: Tensor
    ) -> tuple[Tensor, ...]:
        keep = (1.0 - is_first)[:, None]
        hidden, latent, action = hidden * keep, latent * keep, action * keep
        x = nn.functional.silu(self.norm(self.into(torch.cat([observation, hidden, latent, action], -1))))
        candidate, update = self.gates(x).chunk(2, -1)
        mixed = torch.sigmoid(update - 1.0)
        hidden = mixed * torch.tanh(candidate) + (1.0 - mixed) * hidden
        chances = self.latent(hidden).softmax(-1)
        latent = (chances.argmax(-1, keepdim=True) == torch.arange(CLASSES)).to(chances.dtype)
        features = torch.cat([hidden, latent], -1)
        action = torch.tanh(self.actor(features))
        return action, self.critic(features)[:, 0], chances.std(-1), hidden, latent, action.clamp(-1.0, 1.0)


def small_states(actions: int) -> tuple[StateTensor, ...]:
    """The state tensors of a `SmallStep`."""
    return (
        StateTensor(name="hidden", shape=(1, HIDDEN)),
        StateTensor(name="latent", shape=(1, CLASSES)),
        StateTensor(name="action", shape=(1, actions)),
    )
