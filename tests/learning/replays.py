"""A small replay whose rows tell where they belong."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.types import IntArray
from robot_mbrl.learning.sequence_replay import ReplaySpaces, SequenceReplay

SPACES = ReplaySpaces(observation=(3,), action=2, deter=4, groups=2, classes=4)


def open_replay(
    folder: Path, *, streams: int = 2, capacity: int = 200, slack: int = 20, seed: int = 0
) -> SequenceReplay:
    """A replay of `SPACES` in `folder`."""
    return SequenceReplay(folder, SPACES, np.random.default_rng(seed), streams=streams, capacity=capacity, slack=slack)


def step(streams: IntArray, rows: IntArray) -> dict[str, NDArray[Any]]:
    """Rows that hold their stream and number; episodes of 10."""
    marks = np.stack([streams, rows, streams + rows], -1).astype(np.float32)
    return {
        "observation": marks,
        "action": marks[:, :2],
        "reward": marks[:, 1],
        "is_first": rows % 10 == 0,
        "is_last": rows % 10 == 9,
        "is_terminal": rows % 20 == 19,
    }


def latent(rows: IntArray) -> dict[str, NDArray[Any]]:
    """Latents that hold the number of their row (to 2048, half precision) and its classes."""
    classes = np.stack([rows % 4, (rows // 4) % 4], -1)
    one_hot = (np.arange(4) == classes[..., None]).astype(np.float32)
    deter = np.repeat(rows[:, None], 4, axis=1).astype(np.float32)
    return {"deter": deter, "stoch": one_hot.reshape(len(rows), -1)}


def fill(replay: SequenceReplay, number: int) -> None:
    """Add `number` rows to every stream."""
    for _ in range(number):
        rows = replay.counts
        streams = np.arange(len(rows))
        replay.add(streams, step(streams, rows), latent(rows))


def resident(path: Path) -> int:
    """Bytes of the file at `path` that are mapped into this process's memory."""
    sizes, within = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if "-" in line.split(" ", 1)[0]:
            within = line.endswith(f" {path}")
        elif within and line.startswith("Rss:"):
            sizes += int(line.split()[1]) * 1024
    return sizes
