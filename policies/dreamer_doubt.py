"""`LatentDoubt`: how much predictors of the next latent differ, as in Plan2Explore (Sekar 2020).

m small networks, alike but for their random start, each learn to predict the probabilities of the next stochastic
state from the present features and the action. Where there were data they agree; where there were none they do not.
Learning them changes neither world model nor actor: their inputs and targets have no gradient.
"""

import torch
from torch import Tensor, nn

from robot_mbrl.policies.dreamer_layers import Dense, NormedActivation, truncated_normal


class _MemberDense(nn.Module):
    """A dense layer of each member: (m, n, inputs) -> (m, n, outputs)."""

    def __init__(self, members: int, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = truncated_normal((members, inputs, outputs), inputs, 1.0, generator)
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias.to(x.dtype), x, self.weight.to(x.dtype))


class LatentDoubt(nn.Module):
    """An ensemble of m one-step predictors of the stochastic state's s probabilities."""

    def __init__(
        self, members: int, features: int, actions: int, units: int, stoch: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.members = members
        self.first = Dense(features + actions, members * units, generator)
        self.first_activation = NormedActivation(units)
        self.second = _MemberDense(members, units, units, generator)
        self.second_activation = NormedActivation(units)
        self.output = _MemberDense(members, units, stoch, generator)

    def forward(self, features: Tensor, action: Tensor) -> Tensor:
        """What each member expects after `features` (n, f) and `action` (n, a): (m, n, s)."""
        inputs = torch.cat([features, action.to(features.dtype)], -1)
        x = self.first(inputs).unflatten(-1, (self.members, -1)).transpose(0, 1)
        x = self.second_activation(self.second(self.first_activation(x)))
        expected: Tensor = self.output(x)
        return expected.float()

    def loss(self, features: Tensor, action: Tensor, next_probabilities: Tensor) -> Tensor:
        """Squared error (n,), summed over the latents and averaged over the members, to probabilities (n, s)."""
        error = self(features.detach(), action) - next_probabilities.detach()
        return torch.square(error).sum(-1).mean(0)

    def disagreement(self, features: Tensor, action: Tensor) -> Tensor:
        """Root of the variance over members, averaged over the latents (n,); no unit, of a probability's scale."""
        expected = self(features, action)
        return torch.sqrt(torch.square(expected - expected.mean(0)).mean((0, -1)))
