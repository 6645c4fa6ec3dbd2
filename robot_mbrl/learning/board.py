"""Scalars for TensorBoard, continued without doubles where a run resumes."""

from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter


class Board:
    """Writes scalars into `folder`."""

    def __init__(self, folder: Path, step: int) -> None:
        """Go on at `step`: what an earlier process wrote from there on is no longer shown."""
        self._writer = SummaryWriter(str(folder), purge_step=step)
        self._gathered: dict[str, list[float]] = {}

    def scalar(self, name: str, value: float, step: int) -> None:
        """Write one value."""
        self._writer.add_scalar(name, value, step)

    def gather(self, figures: dict[str, float]) -> None:
        """Keep figures until `means`."""
        for name, value in figures.items():
            self._gathered.setdefault(name, []).append(value)

    def means(self, group: str, step: int) -> None:
        """Write the mean of each figure gathered since the last call."""
        for name, values in self._gathered.items():
            self._writer.add_scalar(f"{group}/{name}", float(np.mean(values)), step)
        self._gathered.clear()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
