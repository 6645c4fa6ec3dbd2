"""Dreamers small enough to be trained in a test, and replayed sequences for them."""

import torch
from torch import Tensor

from robot_mbrl.policies.dreamer_settings import DreamerSettings, DreamerSpaces

SPACES = DreamerSpaces(vector=5, actions=2)
SETTINGS = DreamerSettings(
    deter=16, hidden=8, latents=3, classes=4, blocks=4, units=12, depth=2, imagination=4, precision="float32"
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sequences(
    spaces: DreamerSpaces = SPACES, settings: DreamerSettings = SETTINGS, rows: int = 3, steps: int = 6
) -> dict[str, Tensor]:
    """A batch of noise in which the first row has an episode's end after its third step."""
    random = generator(1)
    first = torch.zeros(rows, steps)
    last = torch.zeros(rows, steps)
    first[0, 3], last[0, 2] = 1.0, 1.0
    action = 2.0 * torch.rand((rows, steps, spaces.actions), generator=random) - 1.0
    if spaces.discrete:
        action = torch.nn.functional.one_hot(action.argmax(-1), spaces.actions).float()
    batch = {
        "action": action,
        "reward": torch.randn((rows, steps), generator=random),
        "is_first": first,
        "is_last": last,
        "is_terminal": last.clone(),
        "deter": 0.1 * torch.randn((rows, settings.deter), generator=random),
        "stoch": torch.zeros(rows, settings.stoch),
    }
    if spaces.vector:
        batch["observation"] = torch.randn((rows, steps, spaces.vector), generator=random)
    if spaces.image:
        shape = (rows, steps, spaces.image, 64, 64)
        batch["image"] = torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)
    return batch
