"""What Dreamer learns from: batches of replayed sequences.

Rows: sequences b of t steps, o numbers of an observation, a of an action.
"""

from collections.abc import Mapping
from typing import Final

from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.dreamer_encoding import IMAGE, VECTOR
from robot_mbrl.policies.dreamer_settings import DreamerSettings, DreamerSpaces

Batch = Mapping[str, Tensor]
"""Replayed sequences.

    observation  (b, t, o)             with image (b, t, channels, 64, 64) where the spaces have one
    action       (b, t, a)             that led to the observation
    reward       (b, t)                that came with the observation
    is_first, is_last, is_terminal     (b, t)
    deter, stoch (b, ...)              stored latent of the step before the first (replay context 1)
"""

_STEP_FIELDS: Final = ("observation", IMAGE, "action", "reward", "is_first", "is_last", "is_terminal")


def require(batch: Batch, spaces: DreamerSpaces, settings: DreamerSettings) -> None:
    """Make sure that nothing is missing.

    Raises:
        ConfigError: the batch lacks a field, or one has another shape than the spaces and settings say.
    """
    if "reward" not in batch or batch["reward"].ndim != 2:
        raise ConfigError("Dreamer's batch has no reward of shape (b, t): give one")
    b, t = batch["reward"].shape
    wanted: dict[str, tuple[int, ...]] = dict.fromkeys(("is_first", "is_last", "is_terminal"), (b, t))
    wanted |= {"action": (b, t, spaces.actions)}
    wanted |= {"deter": (b, settings.deter), "stoch": (b, settings.stoch)}
    if spaces.vector:
        wanted["observation"] = (b, t, spaces.vector)
    for name, shape in wanted.items():
        if name not in batch or batch[name].shape != shape:
            found = tuple(batch[name].shape) if name in batch else "nothing"
            raise ConfigError(f"Dreamer's batch has {found} for {name}: give a tensor of shape {shape}")


def observations(seen: Batch) -> dict[str, Tensor]:
    """What the encoder takes of each step."""
    names = {VECTOR: "observation", IMAGE: IMAGE}
    return {key: seen[name] for key, name in names.items() if name in seen}


def time_first(batch: Batch) -> dict[str, Tensor]:
    """All fields of each step as (t, b, ...), in float32 but for images."""
    fields = {name: value.transpose(0, 1).contiguous() for name, value in batch.items() if name in _STEP_FIELDS}
    return {name: value if name == IMAGE else value.float() for name, value in fields.items()}
