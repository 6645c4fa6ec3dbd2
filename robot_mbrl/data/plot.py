"""Draws a flight: joints with command and limits, what the monitor said, and how the loop kept its time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray, VerdictLevel
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.data.log_header import LogHeader
from robot_mbrl.data.reader import FlightRecord
from robot_mbrl.data.story import check_name, spans, stops
from robot_mbrl.data.summary import seconds_since_start, summarize

MEASURED: Final = "#0072b2"
COMMANDED: Final = "#d55e00"
"""Colours that people with colour blindness can tell apart (Okabe and Ito)."""
_INK: Final = "#333333"
_FAINT: Final = "#d9d9d9"
_BEYOND: Final = "#f8d7da"
_STATE_COLOURS: Final = {
    "idle": "#e5e5e5",
    "armed": "#a6cee3",
    "running": "#7fbf7b",
    "slowed": "#e6c84f",
    "holding": "#f4a259",
    "stopped": "#c1272d",
    "fault": "#5c0a1a",
    "parking": "#9d8ec7",
}
_VERDICT_COLOURS: Final = {
    VerdictLevel.SLOW: "#e6c84f",
    VerdictLevel.HOLD: "#f4a259",
    VerdictLevel.STOP: "#c1272d",
}
_MOST_TOLD: Final = 3
"""Stops that the title has room for."""
_MOST_POINTS: Final = 3000
"""Points of a line: more than a picture has columns are not seen."""


def draw(record: FlightRecord, title: str | None = None) -> Figure:
    """The picture of a log.

    Raises:
        ConfigError: it holds no frames.
    """
    frames, header = record.frames, record.header
    if not len(frames):
        raise ConfigError(f"{record.path}: no frames in it: there is nothing to draw")
    joints = min(int(frames["joints"][0]), len(header.arm.joints))
    rows = -(-joints // 2)
    figure = Figure(figsize=(14.0, 1.9 * rows + 5.2), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows + 3, 2, height_ratios=[*[1.0] * rows, 0.42, 0.75, 0.75])
    time = seconds_since_start(frames)
    first: Axes | None = None
    for joint in range(joints):
        axes = figure.add_subplot(grid[joint // 2, joint % 2], sharex=first)
        first = first or axes
        _draw_joint(axes, time, frames, header, joint)
    strips = _full_width(figure, grid, rows, first)
    _draw_states(strips[0], time, frames)
    _draw_monitor(strips[1], time, frames, header)
    _draw_timing(strips[2], time, frames)
    for axes in figure.axes:
        _mark_stops(axes, time, frames)
    figure.axes[0].set_xlim(0.0, max(float(time[-1]), 1e-3))
    figure.suptitle(title or _title(record), x=0.008, ha="left", fontsize=12, color=_INK)
    figure.legend(handles=_legend(), loc="outside upper right", ncols=4, frameon=False, fontsize=9)
    return figure


def save_png(record: FlightRecord, path: Path, dots_per_inch: int = 110) -> None:
    """Draw a log into `path`.

    Raises:
        ConfigError: it holds no frames, or the file cannot be written.
    """
    figure = draw(record)
    try:
        figure.savefig(path, format="png", dpi=dots_per_inch)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: give a path that can be written") from error


def _full_width(figure: Figure, grid: GridSpec, rows: int, first: Axes | None) -> list[Axes]:
    return [figure.add_subplot(grid[rows + index, :], sharex=first) for index in range(3)]


def _title(record: FlightRecord) -> str:
    header = record.header
    part = f"part {header.part}" if header.kind == "flight" else f"incident {header.part}"
    found = summarize(record).stops
    told = [f"stopped at {stop.time:.2f} s by {stop.cause}" for stop in found[:_MOST_TOLD]]
    more = [f"and {len(found) - _MOST_TOLD} stops more"] if len(found) > _MOST_TOLD else []
    return "\n".join([f"{header.arm.name}, flight {header.flight}, {part}", *told, *more])


def _legend() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=MEASURED, linewidth=1.6, label="measured"),
        Line2D([], [], color=COMMANDED, linewidth=1.2, linestyle=(0, (4, 2)), label="commanded"),
        Patch(facecolor=_BEYOND, label="beyond the joint's limits"),
        Line2D([], [], color=_STATE_COLOURS["stopped"], linewidth=1.2, linestyle=":", label="stop"),
    ]


def _draw_joint(axes: Axes, time: FloatArray, frames: FrameArray, header: LogHeader, joint: int) -> None:
    definition = header.arm.joints[joint]
    low, high = definition.position_limits
    position, command = frames["position"][:, joint], frames["executed_position"][:, joint]
    seen = np.concatenate([position[np.isfinite(position)], command[np.isfinite(command)], [low, high]])
    margin = 0.08 * (seen.max() - seen.min())
    bottom, top = float(seen.min() - margin), float(seen.max() + margin)
    axes.axhspan(bottom, low, color=_BEYOND, linewidth=0)
    axes.axhspan(high, top, color=_BEYOND, linewidth=0)
    axes.plot(*_thinned(time, position), color=MEASURED, linewidth=1.6)
    axes.plot(*_thinned(time, command), color=COMMANDED, linewidth=1.2, linestyle=(0, (4, 2)))
    axes.set_ylim(bottom, top)
    axes.set_title(f"{definition.name} [rad]", loc="left", fontsize=10, color=_INK)
    _dress(axes)


def _draw_states(axes: Axes, time: FloatArray, frames: FrameArray) -> None:
    """One coloured bar for each stretch in a state, named where there is room."""
    start_ns, whole = int(frames["wake_ns"][0]), max(float(time[-1]), 1e-3)
    for span in spans(frames):
        begin, length = (span.start_ns - start_ns) * 1e-9, span.seconds
        colour = _STATE_COLOURS.get(span.state, _FAINT)
        axes.barh(0.0, length, left=begin, height=1.0, color=colour, linewidth=0)
        if length > 0.06 * whole:
            ink = "white" if span.state in {"stopped", "fault"} else _INK
            axes.text(
                begin + length / 2, 0.0, span.state, ha="center", va="center", color=ink, fontsize=9, clip_on=True
            )
    axes.set_ylim(-0.5, 0.5)
    axes.set_yticks([])
    seen = {span.state for span in spans(frames)}
    _legend_above(
        axes, [Patch(facecolor=colour, label=name) for name, colour in _STATE_COLOURS.items() if name in seen]
    )
    axes.set_title("state", loc="left", fontsize=10, color=_INK)
    _dress(axes, grid=False)


def _draw_monitor(axes: Axes, time: FloatArray, frames: FrameArray, header: LogHeader) -> None:
    """The speed scale as a line, and below it which check spoke when."""
    axes.plot(*_thinned(time, frames["speed_scale"]), color=_INK, linewidth=1.2, drawstyle="steps-post")
    spoke = frames["verdict"] > VerdictLevel.PASS
    for level, colour in _VERDICT_COLOURS.items():
        where = np.asarray(frames["verdict"] == level)
        axes.fill_between(time, 0.0, 1.0, where=where, step="post", color=colour, alpha=0.45, linewidth=0)
    reasons = [check_name(int(index), header) for index in np.unique(frames["reason"][spoke])]
    axes.set_ylim(0.0, 1.08)
    axes.set_yticks([0.0, 0.5, 1.0])
    told = f", and which checks spoke: {', '.join(reasons)}" if reasons else ", and no check spoke"
    axes.set_title(f"speed scale{told}", loc="left", fontsize=10, color=_INK)
    _legend_above(
        axes,
        [Patch(facecolor=colour, alpha=0.45, label=level.name.lower()) for level, colour in _VERDICT_COLOURS.items()],
    )
    _dress(axes)


def _draw_timing(axes: Axes, time: FloatArray, frames: FrameArray) -> None:
    """How late each tick began, and when its command was out, both after the deadline."""
    marks = []
    for name, colour, label in (("write_ns", "#999999", "command out"), ("wake_ns", MEASURED, "tick began")):
        late = np.where(frames[name] < 0, np.nan, np.maximum((frames[name] - frames["deadline_ns"]) * 1e-3, 0.1))
        axes.plot(*_thinned(time, late), ".", markersize=2.0, color=colour)
        marks.append(Line2D([], [], color=colour, marker=".", markersize=8, linestyle="", label=label))
    skipped = np.flatnonzero(np.diff(frames["missed_ticks"])) + 1
    if len(skipped):
        marks += axes.plot(
            time[skipped], np.ones(len(skipped)), "v", color=COMMANDED, markersize=6, label="ticks skipped"
        )
    axes.set_yscale("log")
    axes.set_title("after the tick's deadline [µs]", loc="left", fontsize=10, color=_INK)
    axes.set_xlabel("time [s]", color=_INK)
    _legend_above(axes, marks)
    _dress(axes)


def _legend_above(axes: Axes, handles: Sequence[Artist]) -> None:
    """A legend in the title's row, where it hides nothing."""
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1.0, 0.99),
        ncols=len(handles),
        fontsize=8,
        frameon=False,
        borderpad=0.0,
        handlelength=1.2,
    )


def _mark_stops(axes: Axes, time: FloatArray, frames: FrameArray) -> None:
    for index in stops(frames):
        axes.axvline(float(time[index]), color=_STATE_COLOURS["stopped"], linewidth=1.2, linestyle=":")


def _dress(axes: Axes, *, grid: bool = True) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_FAINT)
    axes.tick_params(colors=_INK, labelsize=8, length=3)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(color=_FAINT, linewidth=0.5)


def _thinned(time: FloatArray, values: NDArray[np.float64]) -> tuple[FloatArray, FloatArray]:
    """`time` and `values` (k,) with the lowest and highest of each stretch only, so that no spike is lost."""
    stretch = -(-2 * len(values) // _MOST_POINTS)
    if stretch <= 2:
        return time, values
    ends = len(values) // stretch * stretch
    blocks = values[:ends].reshape(-1, stretch)
    filled_low, filled_high = np.where(np.isnan(blocks), np.inf, blocks), np.where(np.isnan(blocks), -np.inf, blocks)
    chosen = np.stack([filled_low.argmin(axis=1), filled_high.argmax(axis=1)], axis=1)
    chosen.sort(axis=1)
    index = (chosen + np.arange(len(blocks))[:, None] * stretch).ravel()
    return time[index], values[index]
