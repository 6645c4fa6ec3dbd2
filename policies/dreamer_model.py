"""The networks of DreamerV3 (Hafner et al. 2023, revised 2025): recurrent state, world model, actor and critic.

The latent state of a step is h (`deter`, recurrent) and z (`stoch`, one-hot vectors of categorical variables):

    h_t = f(h_{t-1}, z_{t-1}, a_{t-1})      block GRU
    z_t ~ q(z | h_t, x_t)                   posterior, seeing the observation x_t
    z_t ~ p(z | h_t)                        prior, not seeing it

Decoder, reward, continue, actor and critic read the features [h, z]. Letters: b rows, a numbers of an action.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from robot_mbrl.policies.dreamer_doubt import LatentDoubt
from robot_mbrl.policies.dreamer_encoding import Decoder, Encoder, Observation, as_observation
from robot_mbrl.policies.dreamer_layers import BlockDense, Dense, Hidden, Mlp, NormedActivation, TwoHotMlp
from robot_mbrl.policies.dreamer_losses import mixed_probabilities, symexp_bins, two_hot_mean
from robot_mbrl.policies.dreamer_sampling import (
    NormalActions,
    OneHotActions,
    action_distribution,
    action_noise,
    action_outputs,
    one_hot_choice,
    straight_through,
)
from robot_mbrl.policies.dreamer_settings import DreamerSettings, DreamerSpaces


class LatentState(NamedTuple):
    """h and z of some rows; leading dimensions (b,) or (b, t).

    Attributes:
        deter: (b, deter) recurrent state.
        stoch: (b, latents * classes) one-hot vectors, one after the other.
    """

    deter: Tensor
    stoch: Tensor


class ActingNoise(NamedTuple):
    """Chance for one acting step.

    Attributes:
        latent: (b, latents) uniform in 0..1.
        action: (b, a) normal, or (b, 1) uniform for discrete actions.
    """

    latent: Tensor
    action: Tensor


class ActingStep(NamedTuple):
    """What a step of acting gives.

    Attributes:
        action: (b, a); one-hot when discrete, and else not cut off at ± 1.
        state: to be handed to the next step together with the action.
        value: (b,) of the state, in units of reward.
        doubt: (b,) disagreement about the latent that follows; see `LatentDoubt`.
    """

    action: Tensor
    state: LatentState
    value: Tensor
    doubt: Tensor


class RecurrentModel(nn.Module):
    """Block GRU, posterior and prior."""

    def __init__(self, tokens: int, actions: int, settings: DreamerSettings, generator: torch.Generator) -> None:
        super().__init__()
        deter, hidden, blocks = settings.deter, settings.hidden, settings.blocks
        self.settings = settings
        self.deter_in = Hidden(deter, hidden, generator)
        self.stoch_in = Hidden(settings.stoch, hidden, generator)
        self.action_in = Hidden(actions, hidden, generator)
        self.core = BlockDense(blocks, deter // blocks, 3 * hidden, deter // blocks, generator)
        self.core_activation = NormedActivation(deter)
        self.gates = BlockDense(blocks, deter // blocks, 0, 3 * deter // blocks, generator)
        self.posterior_in = Dense(deter + tokens, hidden, generator)
        self.posterior_activation = NormedActivation(hidden)
        self.posterior_out = Dense(hidden, settings.stoch, generator)
        self.prior_mlp = Mlp(deter, hidden, 2, settings.stoch, generator)

    def drive(self, action: Tensor) -> Tensor:
        """What actions (n, a) add to the core's input (n, deter); it needs no state, so a sequence's is found at once.

        Components beyond ± 1 are brought to ± 1: a / max(1, |a|).
        """
        bounded = action / action.detach().abs().clamp(min=1.0)
        return self.core.shared_part(self.action_in(bounded), 2 * self.settings.hidden)

    def evidence(self, tokens: Tensor) -> Tensor:
        """What tokens (n, width) add to the posterior's hidden layer (n, hidden)."""
        return functional.linear(tokens, self.posterior_in.weight[:, self.settings.deter :].to(tokens.dtype))

    def advance(self, deter: Tensor, stoch: Tensor, drive: Tensor) -> Tensor:
        """The block GRU: the next h (b, deter) from h (b, deter), z (b, stoch) and `drive` (b, deter).

        x = SiLU(norm(blocks(h) + W [h', z', a']))       with ' for each input's own hidden layer
        reset, candidate, update = blocks(x)
        h ← u tanh(sigmoid(reset) candidate) + (1 - u) h,  u = sigmoid(update - 1)
        """
        shared = self.core.shared_part(torch.cat([self.deter_in(deter), self.stoch_in(stoch)], -1))
        x = self.core_activation(self.core.own_part(deter) + shared + drive)
        # Block by block, as the gates come: rows are put together again once, not of each gate.
        reset, candidate, update = self.gates.by_block(x).chunk(3, -1)
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        update = torch.sigmoid(update - 1.0)
        before = self.gates.blocks_of(deter)
        return self.gates.joined(before + update * (candidate - before))

    def prior(self, deter: Tensor) -> Tensor:
        """Probabilities (n, latents, classes) of z, given h (n, deter) alone."""
        return mixed_probabilities(self._by_latent(self.prior_mlp(deter)), self.settings.unimix)

    def _posterior_logits(self, deter: Tensor, evidence: Tensor) -> Tensor:
        """Those (b, latents, classes) of z, given h and `evidence` (b, hidden)."""
        weight, bias = self.posterior_in.weight[:, : self.settings.deter], self.posterior_in.bias
        x = functional.linear(deter, weight.to(deter.dtype), bias.to(deter.dtype)) + evidence
        return self._by_latent(self.posterior_out(self.posterior_activation(x)))

    def _by_latent(self, logits: Tensor) -> Tensor:
        return logits.reshape(*logits.shape[:-1], self.settings.latents, self.settings.classes)

    def observe(
        self, state: LatentState, keep: Tensor, drive: Tensor, evidence: Tensor, noise: Tensor | None
    ) -> tuple[LatentState, Tensor]:
        """One step with an observation: the next state, z drawn from the posterior, and z's probabilities there.

        `keep` (b, 1) is 0 where an episode begins: there it starts from zeros, and `drive` must be that of a zero
        action. `noise` (b, latents) is uniform; without it z is the likeliest.
        """
        deter = self.advance(kept(state.deter, keep), kept(state.stoch, keep), drive)
        logits = self._posterior_logits(deter, evidence)
        probabilities = mixed_probabilities(logits, self.settings.unimix)
        # The likeliest class is that of the largest logit: a step that is exported needs no probabilities.
        stoch = likeliest_latent(logits) if noise is None else choose_latent(probabilities, noise)
        return LatentState(deter, stoch), probabilities

    def imagine(self, state: LatentState, drive: Tensor, noise: Tensor) -> LatentState:
        """One step without an observation: z (b, stoch) is drawn from the prior."""
        deter = self.advance(*state, drive)
        return LatentState(deter, choose_latent(self.prior(deter), noise).to(deter.dtype))


def kept(values: Tensor, keep: Tensor) -> Tensor:
    """`values` (..., n) where `keep` (..., 1) is 1, and zeros where it is 0: for what is not finite, too."""
    return torch.where(keep > 0.0, values, 0.0)


def choose_latent(probabilities: Tensor, noise: Tensor) -> Tensor:
    """The z (n, latents * classes) drawn by `one_hot_choice`, with straight-through gradients."""
    choice = one_hot_choice(probabilities.detach(), noise)
    return straight_through(choice, probabilities).flatten(-2)


def likeliest_latent(scores: Tensor) -> Tensor:
    """The z (n, latents * classes) of the largest of each latent's `scores` (n, latents, classes), such as logits.

    Scores that are no numbers make none: what cannot be seen must not be acted upon.
    """
    return (one_hot_choice(scores, None) + (scores - scores)).flatten(-2)


class WorldModel(nn.Module):
    """Encoder, recurrent model, decoder, reward, continue; and the ensemble that tells its doubt."""

    def __init__(self, spaces: DreamerSpaces, settings: DreamerSettings, generator: torch.Generator) -> None:
        super().__init__()
        self.features = settings.deter + settings.stoch
        self.encoder = Encoder(spaces, settings, generator)
        self.dynamics = RecurrentModel(self.encoder.width, spaces.actions, settings, generator)
        self.decoder = Decoder(self.features, spaces, settings, generator)
        self.reward = TwoHotMlp(self.features, settings.units, 1, settings.bins, generator)
        self.going_on = Mlp(self.features, settings.units, 1, 1, generator)
        self.doubt = LatentDoubt(
            settings.doubt_members, self.features, spaces.actions, settings.units, settings.stoch, generator
        )


class ActorCritic(nn.Module):
    """Actor, critic, and the critic's slow copy, which has no gradient."""

    def __init__(
        self, features: int, spaces: DreamerSpaces, settings: DreamerSettings, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.spaces, self.settings = spaces, settings
        units, layers = settings.units, settings.layers
        self.actor = Mlp(features, units, layers, action_outputs(spaces), generator, scale=0.01)
        self.critic = TwoHotMlp(features, units, layers, settings.bins, generator)
        self.slow_critic = TwoHotMlp(features, units, layers, settings.bins, generator)
        self.slow_critic.load_state_dict(self.critic.state_dict())
        self.slow_critic.requires_grad_(requires_grad=False)

    def policy(self, features: Tensor) -> NormalActions | OneHotActions:
        """Distribution of the action at features (n, f)."""
        return action_distribution(self.actor(features), self.spaces, self.settings)

    @torch.no_grad()
    def follow(self) -> None:
        """Let the slow critic go a step towards the critic."""
        for slow, fast in zip(self.slow_critic.parameters(), self.critic.parameters(), strict=True):
            slow.lerp_(fast, self.settings.slow_rate)


class DreamerModel(nn.Module):
    """All that acts: what is exported and deployed. Training is `dreamer.Dreamer`'s.

    Attributes:
        bins: (k,) values of the two-hot heads; see `dreamer_losses.symexp_bins`.
        percentiles: (2,) running 5th and 95th percentile of imagined returns.
    """

    bins: Tensor
    percentiles: Tensor

    def __init__(self, spaces: DreamerSpaces, settings: DreamerSettings, generator: torch.Generator) -> None:
        """Random weights drawn from `generator`, which must be the processor's."""
        super().__init__()
        self.spaces, self.settings = spaces, settings
        self.world = WorldModel(spaces, settings, generator)
        self.behaviour = ActorCritic(self.world.features, spaces, settings, generator)
        self.register_buffer("bins", symexp_bins(settings.bins), persistent=False)
        self.register_buffer("percentiles", torch.zeros(2))

    def initial(self, batch: int) -> LatentState:
        """The state before an episode's first observation: zeros (b, ...)."""
        deter = self.bins.new_zeros(batch, self.settings.deter)
        return LatentState(deter, self.bins.new_zeros(batch, self.settings.stoch))

    def acting_noise(self, batch: int, generator: torch.Generator) -> ActingNoise:
        """Chance for one step of `batch` rows."""
        latent = torch.rand((batch, self.settings.latents), generator=generator, device=generator.device)
        action = action_noise((batch,), self.spaces, generator)
        return ActingNoise(latent.to(self.bins.device), action.to(self.bins.device))

    def step(
        self,
        state: LatentState,
        observation: Tensor | Observation,
        previous_action: Tensor,
        is_first: Tensor,
        noise: ActingNoise | None = None,
    ) -> ActingStep:
        """See an observation and act.

        Args:
            state: of the step before; `initial` at first.
            observation: (b, o), or a mapping with `vector` and `image`.
            previous_action: (b, a) that led here.
            is_first: (b,) 1 or true where an episode begins: state and previous action do not count there.
            noise: chance; None takes the likeliest latent and action.
        """
        keep = 1.0 - is_first.to(previous_action.dtype).unsqueeze(-1)
        dynamics = self.world.dynamics
        evidence = dynamics.evidence(self.world.encoder(as_observation(observation)))
        latent_noise, chance = (None, None) if noise is None else noise
        state, _ = dynamics.observe(state, keep, dynamics.drive(kept(previous_action, keep)), evidence, latent_noise)
        features = torch.cat(state, -1)
        action = self.behaviour.policy(features).choose(chance)
        value = two_hot_mean(self.behaviour.critic(features), self.bins)
        return ActingStep(action, state, value, self.world.doubt.disagreement(features, action))
