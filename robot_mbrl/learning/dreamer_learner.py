"""Dreamer as a `SequenceLearner`: NumPy to torch and back, files, and open-loop prediction."""

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from robot_mbrl.contracts.config import one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.sequence_learner import Float32Array, Latent, Update
from robot_mbrl.learning.vector_env import EnvSpaces
from robot_mbrl.policies.dreamer import Dreamer
from robot_mbrl.policies.dreamer_encoding import IMAGE, VECTOR
from robot_mbrl.policies.dreamer_losses import two_hot_mean
from robot_mbrl.policies.dreamer_model import LatentState, likeliest_latent
from robot_mbrl.policies.dreamer_settings import MAY_CHANGE, DreamerSettings, DreamerSpaces, dreamer_settings
from robot_mbrl.policies.tensor_file import read_tensors

SETTINGS_KEY: Final = "dreamer_settings"
SPACES_KEY: Final = "dreamer_spaces"
"""Where a file's metadata hold what the Dreamer in it is made of, as JSON."""
_SHAPING: Final = frozenset(
    {"deter", "hidden", "latents", "classes", "blocks", "units", "depth", "layers", "bins", "doubt_members"}
)
"""Settings that give the networks their shape; some of them can differ where the numbers of weights agree."""


def dreamer_spaces(spaces: EnvSpaces) -> DreamerSpaces:
    """What a Dreamer for environments with `spaces` sees and does."""
    return DreamerSpaces(
        vector=0 if spaces.pixels else spaces.observation[0],
        image=spaces.observation[-1] if spaces.pixels else 0,
        actions=spaces.actions,
        discrete=spaces.discrete,
        magnitudes=spaces.magnitudes,
        differences=spaces.differences,
    )


def resolved_settings(size: str, changes: dict[str, Any]) -> DreamerSettings:
    """The settings of `size` with some values replaced.

    Raises:
        ConfigError: there is no such size or key, or a value is out of range.
    """
    values = {**dreamer_settings(size).model_dump(), **changes}
    try:
        return DreamerSettings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(one_line(error, "dreamer")) from error


def torch_device(name: str) -> torch.device:
    """The device `name`, such as cpu or cuda.

    Raises:
        ConfigError: torch knows no such device, or cannot compute there.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"device {name!r}: torch cannot compute there ({reason}): give cpu, or cuda") from error
    return device


class DreamerLearner:
    """A Dreamer behind NumPy arrays.

    Attributes:
        dreamer: the learner itself.
    """

    def __init__(self, spaces: DreamerSpaces, settings: DreamerSettings, seed: int, device: str = "cpu") -> None:
        """Make a new one; its weights and all its chance come from `seed`, `device` is where torch computes.

        Raises:
            ConfigError: torch cannot compute there, or settings and spaces do not go together.
        """
        generator = torch.Generator()
        generator.manual_seed(seed)
        self.dreamer = Dreamer(spaces, settings, generator, torch_device(device))

    @classmethod
    def from_file(cls, path: Path, device: str = "cpu") -> Self:
        """The learner that `save` wrote.

        Raises:
            ConfigError: the file is none, or damaged.
        """
        spaces, settings, state = _read(path)
        learner = cls(spaces, settings, 0, device)
        learner.dreamer.load_state_dict(state)
        return learner

    def initial(self, count: int) -> Latent:
        """The latents with which episodes begin, (count, ...)."""
        return _latent(self.dreamer.initial(count))

    def act(
        self,
        latent: Latent,
        observation: NDArray[Any],
        action: Float32Array,
        is_first: NDArray[np.bool_],
        explore: bool,
    ) -> tuple[Float32Array, Latent]:
        """See `SequenceLearner.act`."""
        state = LatentState(self._tensor(latent.deter), self._tensor(latent.stoch))
        seen = self._seen(observation)
        step = self.dreamer.step(state, seen, self._tensor(action), self._tensor(is_first), sample=explore)
        return _array(step.action), _latent(step.state)

    def train(self, fields: dict[str, NDArray[Any]]) -> Update:
        """Take one training step on `SequenceBatch.fields`."""
        batch = {name: self._tensor(value) for name, value in fields.items() if name != "observation"}
        seen = self._seen(fields["observation"])
        names = {VECTOR: "observation", IMAGE: IMAGE}
        step = self.dreamer.train_step({**batch, **{names[key]: value for key, value in seen.items()}})
        figures = {name: float(value) for name, value in step.metrics.items()}
        return Update(_latent(step.latents), figures, made=math.isfinite(figures["gradient_norm"]))

    @torch.no_grad()
    def predict(self, fields: dict[str, NDArray[Any]], context: int) -> dict[str, FloatArray]:
        """See `SequenceLearner.predict`; every latent is the likeliest one."""
        world, dreamer = self.dreamer.model.world, self.dreamer
        state = LatentState(self._tensor(fields["deter"]), self._tensor(fields["stoch"]))
        features: list[Tensor] = []
        for row in range(fields["reward"].shape[1]):
            action, is_first = (self._tensor(fields[name][:, row]) for name in ("action", "is_first"))
            if row < context:
                seen = self._seen(fields["observation"][:, row])
                state = dreamer.step(state, seen, action, is_first, sample=False).state
            else:
                deter = world.dynamics.advance(*state, world.dynamics.drive(action))
                state = LatentState(deter, likeliest_latent(world.dynamics.prior(deter)))
            features.append(torch.cat(state, -1))
        sequence = torch.stack(features, 1)
        decoded, reward = world.decoder(sequence), two_hot_mean(world.reward(sequence), dreamer.model.bins)
        seen_vector = VECTOR in decoded
        shown = world.decoder.observed(decoded[VECTOR]) if seen_vector else decoded[IMAGE].movedim(-3, -1)
        return {"observation": _array(shown).astype(np.float64), "reward": _array(reward).astype(np.float64)}

    def save(self, path: Path) -> None:
        """Write parameters, optimizer, random state, sizes and spaces to `path`."""
        described = {SPACES_KEY: self.dreamer.spaces, SETTINGS_KEY: self.dreamer.settings}
        state = {name: value.detach().cpu().contiguous() for name, value in self.dreamer.state_dict().items()}
        save_file(state, path, {key: value.model_dump_json() for key, value in described.items()})

    def load(self, path: Path) -> None:
        """Go on from what `save` wrote.

        Raises:
            ConfigError: it is of a Dreamer with other settings or spaces, or damaged.
        """
        state = self._state_of(path, set(DreamerSettings.model_fields) - MAY_CHANGE)
        try:
            self.dreamer.load_state_dict(state)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error

    def begin_with(self, path: Path, *, behaviour: bool) -> None:
        """Take over the networks of what `save` wrote; chance and optimizer stay as they are.

        Args:
            path: the file. How its Dreamer learned does not count.
            behaviour: take actor and critic too, and not the world model alone.

        Raises:
            ConfigError: they are of a Dreamer of another size or with other spaces, or damaged.
        """
        state = self._state_of(path, _SHAPING)
        if not behaviour:
            own = self.dreamer.state_dict()
            state |= {name: value for name, value in own.items() if not name.startswith("model.world.")}
        self.dreamer.load_networks(state)

    def _state_of(self, path: Path, settings: Collection[str]) -> dict[str, Tensor]:
        """The tensors in `path`, of a Dreamer with this one's spaces and with the same values of `settings`."""
        spaces, made_with, state = _read(path)
        theirs = {**spaces.model_dump(), **made_with.model_dump(include=set(settings))}
        own = {**self.dreamer.spaces.model_dump(), **self.dreamer.settings.model_dump(include=set(settings))}
        differ = [f"{name} {theirs[name]} and not {own[name]}" for name in own if theirs[name] != own[name]]
        if differ:
            raise ConfigError(
                f"{path}: is of a Dreamer with {', '.join(differ)}: give one that agrees, or begin a new run"
            )
        return state

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.dreamer.device)

    def _seen(self, observation: NDArray[Any]) -> dict[str, Tensor]:
        tensor = self._tensor(observation)
        return {IMAGE: tensor.movedim(-1, -3)} if self.dreamer.spaces.image else {VECTOR: tensor}


def _read(path: Path) -> tuple[DreamerSpaces, DreamerSettings, dict[str, Tensor]]:
    metadata, state = read_tensors(path)
    try:
        spaces = DreamerSpaces.model_validate_json(metadata[SPACES_KEY])
        settings = DreamerSettings.model_validate_json(metadata[SETTINGS_KEY])
    except (KeyError, ValidationError) as error:
        raise ConfigError(f"{path}: is no Dreamer of this version: give a file that training wrote") from error
    wrong = next((name for name, tensor in state.items() if not tensor.isfinite().all()), None)
    if wrong is not None:
        raise ConfigError(f"{path}: {wrong} holds numbers that are not finite: give another checkpoint")
    return spaces, settings, state


def _array(values: Tensor) -> Float32Array:
    array: Float32Array = values.detach().float().cpu().numpy()
    return array


def _latent(state: LatentState) -> Latent:
    return Latent(_array(state.deter), _array(state.stoch))
