"""Pictures of open-loop prediction: what a world model expects from actions alone, beside what came.

The first `CONTEXT` rows of an episode are observed; everything after them is imagined.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from robot_mbrl.contracts.types import FloatArray

CONTEXT: Final = 5
"""Rows that are observed before the prediction begins."""
COLUMNS: Final = 4
MOST_DRAWN: Final = 11
"""Components of an observation that get a plot, spread evenly over it: each takes a tenth of a second."""
FRAME_MS: Final = 100
"""How long a frame of a video stays [ms]."""
_TRUE, _PREDICTED, _FAINT = "#0072b2", "#d55e00", "#d9d9d9"


def save_prediction(stem: Path, truth: Mapping[str, NDArray[Any]], predicted: Mapping[str, FloatArray]) -> list[Path]:
    """Write a plot, `.png`, and for images a video, `.gif`.

    Args:
        stem: of the files' names.
        truth: `observation` (b, t, ...) and `reward` (b, t).
        predicted: the same; images in 0..1.

    Returns:
        The files.
    """
    picture = stem.with_suffix(".png")
    draw(truth, predicted).savefig(picture, dpi=90)
    if truth["observation"].ndim < 5:
        return [picture]
    video = stem.with_suffix(".gif")
    frames = [Image.fromarray(frame) for frame in film(truth["observation"], predicted["observation"])]
    frames[0].save(video, save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0)
    return [picture, video]


def draw(truth: Mapping[str, NDArray[Any]], predicted: Mapping[str, FloatArray]) -> Figure:
    """The first sequence: the reward and, where observations are vectors, their components over time."""
    lines = [("reward", truth["reward"][0], predicted["reward"][0])]
    seen, expected = truth["observation"][0], predicted["observation"][0]
    if seen.ndim == 2:
        shown = np.unique(np.linspace(0, seen.shape[1] - 1, min(seen.shape[1], MOST_DRAWN)).round().astype(int))
        lines += [(f"observation[{index}]", seen[:, index], expected[:, index]) for index in shown.tolist()]
    rows = -(-len(lines) // COLUMNS)
    figure = Figure(figsize=(3.4 * COLUMNS, 1.9 * rows + 0.6), facecolor="white")
    FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.04, right=0.99, bottom=0.08, top=0.85, wspace=0.2, hspace=0.5)
    for place, (name, true, imagined) in enumerate(lines):
        axes: Axes = figure.add_subplot(rows, COLUMNS, place + 1)
        axes.plot(true, color=_TRUE, linewidth=1.2, label="true")
        axes.plot(imagined, color=_PREDICTED, linewidth=1.2, linestyle="--", label="predicted open-loop")
        axes.axvline(CONTEXT - 0.5, color=_FAINT, zorder=0)
        axes.set_title(name, fontsize=8, loc="left")
        axes.tick_params(labelsize=7)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(3))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", ncols=2, frameon=False, fontsize=8)
    return figure


def film(truth: NDArray[Any], predicted: FloatArray) -> NDArray[np.uint8]:
    """Frames (t, 3 h, b w, 3): the true images, the predicted ones, and their difference, sequences side by side.

    Args:
        truth: (b, t, h, w, channels) bytes.
        predicted: (b, t, h, w, channels) in 0..1.
    """
    true = truth.astype(np.float64) / 255.0
    expected = np.clip(predicted, 0.0, 1.0)
    stacked = np.concatenate([true, expected, (1.0 + expected - true) / 2.0], axis=2)
    rows = np.concatenate(list(stacked), axis=2)
    colours = np.repeat(rows, 3, axis=-1) if rows.shape[-1] == 1 else rows[..., :3]
    frames: NDArray[np.uint8] = np.round(255.0 * colours).astype(np.uint8)
    return frames
