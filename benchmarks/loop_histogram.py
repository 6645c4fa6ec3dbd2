"""Histograms of wake-up lateness, ours beside cyclictest's: as text and as a picture."""

import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

import numpy as np

from robot_mbrl.contracts.types import FloatArray, IntArray

EDGES: Final[FloatArray] = np.array([0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, np.inf])
"""Of the bins [µs]."""
_WIDTH: Final = 30


def counts(lateness: FloatArray) -> IntArray:
    """How many of `lateness` (k,) [µs] fall into each bin; what is early counts as 0."""
    found: IntArray = np.histogram(np.maximum(lateness, 0.0), EDGES)[0].astype(np.int64)
    return found


def text(title: str, columns: Mapping[str, FloatArray]) -> str:
    """Counts in columns, each with a bar on a logarithmic scale, so that single late ticks can be seen."""
    found = {name: counts(lateness) for name, lateness in columns.items()}
    used = [index for index in range(len(EDGES) - 1) if any(column[index] for column in found.values())]
    lines = [title, f"{'late by [µs]':>16}" + "".join(f"  {name:>10} {'':<{_WIDTH}}" for name in found)]
    for index in range(used[0] if used else 0, (used[-1] if used else -1) + 1):
        cells = "".join(
            f"  {column[index]:>10} {_bar(column[index], column.max()):<{_WIDTH}}" for column in found.values()
        )
        lines.append(f"{EDGES[index]:>7g}..{EDGES[index + 1]:<7g}{cells}")
    return "\n".join(line.rstrip() for line in lines)


def _bar(count: int, largest: int) -> str:
    if not count:
        return ""
    return "#" * max(1, round(_WIDTH * math.log1p(count) / math.log1p(largest)))


def draw(path: Path, panels: Mapping[str, Mapping[str, FloatArray]]) -> None:
    """Draw one panel for each title, with the share of ticks that were later than a given time, to a PNG at `path`."""
    # Loaded at the end: it takes a second, and must not be in the way of what is measured.
    figure = import_module("matplotlib.figure").Figure(figsize=(6.0 * len(panels), 4.5), layout="constrained")
    for axes, (title, columns) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for name, lateness in columns.items():
            late = np.sort(np.maximum(lateness, 0.1))
            axes.step(late, 1.0 - np.arange(len(late)) / len(late), where="post", label=f"{name} ({len(late)})")
        axes.set(xscale="log", yscale="log", title=title, xlabel="late by more than [µs]", ylabel="share of wake-ups")
        axes.grid(visible=True, which="major", alpha=0.4)
        axes.legend()
    figure.savefig(path, dpi=120)
