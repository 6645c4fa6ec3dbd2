"""`Dreamer`: DreamerV3 (Hafner et al. 2023, revised 2025), learning all its parts from replay in one update.

An update: observe the sequences; learn to predict what was seen, the rewards and the ends; imagine on from every state
that was seen; learn actor and critic from what was imagined, and the critic from what was replayed too.

Rows: sequences b of t steps. What is imagined has n = t * b rows (time first) of h + 1 steps, also time first.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.profiler import record_function

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.dreamer_batch import Batch, observations, require, time_first
from robot_mbrl.policies.dreamer_encoding import Observation
from robot_mbrl.policies.dreamer_losses import (
    actor_loss,
    binary_loss,
    continue_target,
    critic_loss,
    imagination_weights,
    kl_losses,
    lambda_returns,
    pathwise_actor_loss,
    return_percentiles,
    return_scale,
    two_hot_loss,
    two_hot_mean,
)
from robot_mbrl.policies.dreamer_model import ActingStep, DreamerModel, LatentState, kept
from robot_mbrl.policies.dreamer_native import KERNEL, native_steps
from robot_mbrl.policies.dreamer_native_scan import NativeScan
from robot_mbrl.policies.dreamer_optimizer import LaProp
from robot_mbrl.policies.dreamer_sampling import action_noise
from robot_mbrl.policies.dreamer_scan import scan, scan_steps
from robot_mbrl.policies.dreamer_settings import DreamerSettings, DreamerSpaces
from robot_mbrl.policies.frozen import call_frozen, frozen
from robot_mbrl.policies.kept_memory import keep_freed_memory
from robot_mbrl.policies.native_library import native_instructions

Scan = Callable[[LatentState, Tensor, Tensor, Tensor, Tensor], tuple[LatentState, Tensor]]
"""`dreamer_scan.scan` of a model's steps."""

PHASES: Final = ("observe", "world losses", "imagine", "behaviour losses", "gradients", "optimizer")
"""Of an update, by the names under which `torch.profiler` finds them."""

_OBSERVE, _WORLD, _IMAGINE, _BEHAVIOUR, _GRADIENTS, _OPTIMIZE = PHASES


class Losses(NamedTuple):
    """What a batch says of the model.

    Attributes:
        scaled: by name, each () and with its weight; their sum is what an update reduces.
        figures: others by name, each () and without a gradient.
        latents: (b, t, ...) of every step.
        percentiles: the model's running ones with these returns in them.
    """

    scaled: dict[str, Tensor]
    figures: dict[str, Tensor]
    latents: LatentState
    percentiles: Tensor


class TrainingStep(NamedTuple):
    """What an update gives.

    Attributes:
        metrics: losses and other figures by name, each ().
        latents: (b, t, ...) of every step of the batch, to be stored with them.
    """

    metrics: dict[str, Tensor]
    latents: LatentState


class Imagined(NamedTuple):
    """Steps imagined from n states; step 0 is the state itself. Only the gradient "dynamics" goes back through them.

    Attributes:
        features: (h + 1, n, f).
        actions: (h + 1, n, a) chosen at each step.
    """

    features: Tensor
    actions: Tensor


class Dreamer:
    """Acts and learns.

    Attributes:
        model: the networks; what is exported.
        settings: sizes and constants.
        spaces: what goes in and out.
        device: where it computes.
    """

    def __init__(
        self,
        spaces: DreamerSpaces,
        settings: DreamerSettings,
        generator: torch.Generator,
        device: str | torch.device = "cpu",
    ) -> None:
        """Random weights and all further chance come from `generator`, the processor's.

        Raises:
            ConfigError: the actor is to learn through the dynamics, and its actions are discrete.
        """
        self.spaces, self.settings, self.device = spaces, settings, torch.device(device)
        self.model = DreamerModel(spaces, settings, generator).to(self.device)
        self._generator = generator
        if self._pathwise and spaces.discrete:
            raise ConfigError("actor_gradient dynamics: a discrete action has no gradient: give score")
        self._parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self._optimizer = LaProp(self._parameters, settings)
        self._precision = compute_precision(settings, self.device)
        compiler = _compiler(settings)
        self._torch_scan = scan_steps(self.model.world.dynamics, compiler)
        self._prepare = compiler(self._prepare_inputs)
        self._world_losses = compiler(self._losses_of_world)
        self._behaviour_losses = compiler(self._losses_of_behaviour)
        self._imagine_step = compiler(self._imagine_one)
        self.step_natively(enabled=settings.compiled)

    @property
    def updates(self) -> int:
        """How many were made."""
        return self._optimizer.updates

    @property
    def kernel(self) -> str:
        """What does the steps through time: "torch", or the native kernel's instructions."""
        return "torch" if self._native is None else native_instructions(KERNEL)

    def step_natively(self, *, enabled: bool) -> None:
        """Observe and imagine by the kernel of `dreamer_native` where it can; `compiled` in the settings chose."""
        able = self.device.type == "cpu" and self._precision is torch.bfloat16
        self._native = native_steps(self.model) if enabled and able else None
        self._scan: Scan = partial(scan, self._torch_scan)
        if self._native is not None:
            self._scan = NativeScan(self._native, self.model.world.dynamics)

    def initial(self, batch: int) -> LatentState:
        """The state before an episode's first observation: zeros (b, ...)."""
        return self.model.initial(batch)

    @torch.no_grad()
    def step(
        self,
        state: LatentState,
        observation: Tensor | Observation,
        previous_action: Tensor,
        is_first: Tensor,
        *,
        sample: bool = True,
    ) -> ActingStep:
        """`DreamerModel.step`, with latent and action drawn at random unless `sample` is false."""
        noise = self.model.acting_noise(previous_action.shape[0], self._generator) if sample else None
        return self.model.step(state, observation, previous_action, is_first, noise)

    def train_step(self, batch: Batch) -> TrainingStep:
        """Make one update from `batch`. When its gradient is not finite, nothing is changed: see `gradient_norm`.

        Raises:
            ConfigError: the batch lacks a field, or one has another shape than the spaces say.
        """
        losses = self.losses(batch)
        with record_function(_GRADIENTS):
            total = torch.stack(list(losses.scaled.values())).sum()
            gradients = torch.autograd.grad(total, self._parameters)
        with record_function(_OPTIMIZE):
            norm = self._optimizer.step(gradients)
            if torch.isfinite(norm):
                self.model.percentiles.copy_(losses.percentiles)
                self.model.behaviour.follow()
        metrics = {f"loss/{name}": value.detach() for name, value in losses.scaled.items()}
        return TrainingStep(metrics | losses.figures | {"gradient_norm": norm}, losses.latents)

    def losses(self, batch: Batch) -> Losses:
        """All losses of `batch`, drawing chance but changing nothing else.

        Raises:
            ConfigError: the batch lacks a field, or one has another shape than the spaces say.
        """
        require(batch, self.spaces, self.settings)
        rows, steps = batch["reward"].shape
        noise = self._random(steps, rows, self.settings.latents)
        start, seen = LatentState(batch["deter"], batch["stoch"]), time_first(batch)
        with record_function(_OBSERVE):
            keep, drive, evidence = self._prepare(seen)
            if self._native is not None:
                self._native.take_over()
            states, posterior = self._scan(start, keep, drive, evidence, noise)
            features = torch.cat(states, -1)
        with record_function(_WORLD):
            world = self._world_losses(seen, features, states.deter, posterior)
        with record_function(_IMAGINE), torch.set_grad_enabled(self._pathwise), frozen(self.model.world):
            imagined = self._imagine(features.detach().flatten(0, 1))
        with record_function(_BEHAVIOUR), frozen(self.model.world):
            behaviour, figures, percentiles = self._behaviour_losses(seen, features, imagined, self.model.percentiles)
        latents = LatentState(*(value.detach().transpose(0, 1) for value in states))
        return Losses(world | behaviour, figures, latents, percentiles)

    @property
    def _pathwise(self) -> bool:
        return self.settings.actor_gradient == "dynamics"

    def _random(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator).to(self.device)

    def _prepare_inputs(self, seen: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """What the scan needs of all steps, time first: keep, drive, evidence."""
        world = self.model.world
        keep = 1.0 - seen["is_first"].unsqueeze(-1)
        drive = world.dynamics.drive(kept(seen["action"], keep))
        evidence = world.dynamics.evidence(world.encoder(observations(seen)))
        return keep, drive, evidence

    def _losses_of_world(self, seen: Batch, features: Tensor, deter: Tensor, posterior: Tensor) -> dict[str, Tensor]:
        """Means over all steps, scaled, of what teaches the world model and its doubt; everything time first."""
        world, settings = self.model.world, self.settings
        narrow = features.to(self._precision)
        prior = world.dynamics.prior(deter.to(self._precision))
        kl = kl_losses(posterior.log(), prior.log(), settings.free_nats)
        target = continue_target(seen["is_terminal"], settings.discount)
        within = 1.0 - seen["is_first"][1:]
        action = seen["action"][1:]
        probabilities = posterior.flatten(-2)
        doubt = world.doubt.loss(narrow[:-1].flatten(0, 1), action.flatten(0, 1), probabilities[1:].flatten(0, 1))
        return {
            "reconstruction": world.decoder.loss(narrow, observations(seen)).mean(),
            "reward": two_hot_loss(world.reward(narrow), seen["reward"], self.model.bins).mean(),
            "continue": binary_loss(world.going_on(narrow).squeeze(-1), target).mean(),
            "dynamics": settings.dynamics_scale * kl.dynamics.mean(),
            "representation": settings.representation_scale * kl.representation.mean(),
            "doubt": (within.flatten() * doubt).mean(),
        }

    def _imagine(self, features: Tensor) -> Imagined:
        """Imagine on from `features` (n, f), the actor choosing; the caller says whether gradients are kept."""
        settings, rows = self.settings, features.shape[0]
        latent_noise = self._random(settings.imagination, rows, settings.latents)
        chance = action_noise((settings.imagination + 1, rows), self.spaces, self._generator).to(self.device)
        if self._native is not None and not self._pathwise:
            return Imagined(*self._native.imagine(features, latent_noise, chance))
        visited, actions = [features.to(self._precision)], []
        for latent, choice in zip(latent_noise, chance, strict=False):
            action, following = self._imagine_step(visited[-1], latent, choice)
            actions.append(action)
            visited.append(following)
        actions.append(self.model.behaviour.policy(visited[-1]).choose(chance[-1]))
        return Imagined(torch.stack(visited), torch.stack(actions))

    def _imagine_one(self, features: Tensor, latent: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
        """The action that is chosen at `features` (n, f), and the features it leads to."""
        dynamics = self.model.world.dynamics
        action = self.model.behaviour.policy(features).choose(chance)
        deter, stoch = torch.split(features, [self.settings.deter, self.settings.stoch], -1)
        state = dynamics.imagine(LatentState(deter, stoch), dynamics.drive(action.to(features.dtype)), latent)
        return action, torch.cat(state, -1)

    def _losses_of_behaviour(
        self, seen: Batch, features: Tensor, imagined: Imagined, percentiles: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Losses of actor and critic, figures, and the running percentiles with these returns in them."""
        model, settings, behaviour = self.model, self.settings, self.model.behaviour
        # The critic must not learn to be right by changing what is imagined.
        visited = imagined.features.detach()
        logits = behaviour.critic(visited)
        with torch.set_grad_enabled(self._pathwise):
            rewards = two_hot_mean(model.world.reward(imagined.features), model.bins)
            continues = torch.sigmoid(model.world.going_on(imagined.features).squeeze(-1).float())
            judged = call_frozen(behaviour.critic, imagined.features) if self._pathwise else logits.detach()
            values = two_hot_mean(judged, model.bins)
            futures = lambda_returns(rewards, continues, values, settings.trace)
        returns, values = futures.detach(), values.detach()
        with torch.no_grad():
            slow = two_hot_mean(behaviour.slow_critic(visited[:-1]), model.bins)
        weights = imagination_weights(continues)[:-1]
        percentiles = percentiles.lerp(return_percentiles(returns), settings.return_rate)
        scale = return_scale(percentiles)
        advantage = (returns - values[:-1]) / scale
        policy = behaviour.policy(visited[:-1])
        entropy = policy.entropy()
        if self._pathwise:
            actor = pathwise_actor_loss(futures / scale, entropy, weights, settings.entropy)
        else:
            probability = policy.log_probability(imagined.actions[:-1])
            actor = actor_loss(probability, entropy, advantage, weights, settings.entropy)
        losses = {
            "actor": actor.mean(),
            "critic": critic_loss(logits[:-1], returns, slow, weights, model.bins, settings.slow_scale).mean(),
            "replay_critic": settings.replay_value_scale * self._replay_critic_loss(seen, features, returns[0]),
        }
        figures = {
            "return": returns.mean(),
            "value": values.mean(),
            "imagined_reward": rewards.mean().detach(),
            "entropy": entropy.mean().detach(),
            "advantage": advantage.abs().mean(),
            "return_scale": scale,
        }
        return losses, figures, percentiles

    def _replay_critic_loss(self, seen: Batch, features: Tensor, imagined_returns: Tensor) -> Tensor:
        """The critic on replayed states (t, b, f), whose gradient reaches the world model.

        Its λ-returns have replayed rewards and are bootstrapped by `imagined_returns` (t * b,) from each state.
        """
        model, settings = self.model, self.settings
        narrow = features.to(self._precision)
        logits = model.behaviour.critic(narrow)[:-1]
        bootstrap = imagined_returns.view(features.shape[:2])
        continues = continue_target(seen["is_terminal"], settings.discount)
        unbroken = 1.0 - seen["is_last"]
        returns = lambda_returns(seen["reward"], continues, bootstrap, settings.trace * unbroken)
        with torch.no_grad():
            slow = two_hot_mean(model.behaviour.slow_critic(narrow[:-1]), model.bins)
        return critic_loss(logits, returns, slow, unbroken[:-1], model.bins, settings.slow_scale).mean()

    def state_dict(self) -> dict[str, Tensor]:
        """All that a resumed run needs: model, optimizer, and the generator's state; tensors only."""
        state = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        state |= {f"optimizer.{name}": value for name, value in self._optimizer.state_dict().items()}
        return state | {"generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            ConfigError: it is of a model of another size, or lacks something.
        """
        if "generator" not in state:
            raise ConfigError("Dreamer without the state of its chance: give a whole checkpoint")
        self.load_networks(state)
        prefix = "optimizer."
        self._optimizer.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
        self._generator.set_state(state["generator"].cpu())

    def load_networks(self, state: Mapping[str, Tensor]) -> None:
        """Take over the model of what `state_dict` gave, and nothing else.

        Raises:
            ConfigError: it is of a model of another size.
        """
        weights = {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}
        try:
            self.model.load_state_dict(weights)
        except RuntimeError as error:
            raise ConfigError(f"Dreamer's weights do not fit these settings: {' '.join(str(error).split())}") from error


def compute_precision(settings: DreamerSettings, device: torch.device) -> torch.dtype:
    """bfloat16 where it is asked for, or left open and native to the processor; else float32."""
    if settings.precision == "auto":
        native = device.type == "cuda" or bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
        return torch.bfloat16 if native else torch.float32
    return torch.bfloat16 if settings.precision == "bfloat16" else torch.float32


def _compiler(settings: DreamerSettings) -> Callable[[Any], Any]:
    if not settings.compiled:
        return lambda function: function
    keep_freed_memory()
    options: dict[str, str | int | bool | Callable[..., Any]] = {
        # The vector library's hyperbolic tangent takes six times as long as one that is made of an exponential.
        "cpp.use_decompose_tanh": True,
        # Loops are compiled for a number of threads, which the compiler's cache forgets unless it is named here.
        "cpp.threads": torch.get_num_threads(),
    }
    return lambda function: torch.compile(function, fullgraph=True, dynamic=False, options=options)
