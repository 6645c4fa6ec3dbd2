"""Pictures of the report; all that they show comes out of flight logs and of what was fitted to them."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mpl_toolkits.mplot3d.axes3d import Axes3D

from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.monitor_settings import UncertaintySettings
from robot_mbrl.contracts.types import FloatArray, VerdictLevel
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.data.summary import seconds_since_start
from robot_mbrl.demo.journal import Event
from robot_mbrl.demo.legs import FlownLeg
from robot_mbrl.demo.models import PlannerFit
from robot_mbrl.learning.monitor_calibration import SCORES
from robot_mbrl.learning.monitor_report import few_log_ticks

BLUE, ORANGE, GREEN, GREY, INK = "#0072b2", "#d55e00", "#009e73", "#999999", "#333333"
"""Colours that people with colour blindness can tell apart (Okabe and Ito)."""
COLOUR_NAMES: Final = {BLUE: "blue", ORANGE: "orange", GREEN: "green"}
VERDICTS: Final = {VerdictLevel.SLOW: "#e6c84f", VerdictLevel.HOLD: "#f4a259", VerdictLevel.STOP: "#c1272d"}
_LATENESS_BINS: Final = 80
_LEAST_SCORE: Final = 1e-4


def draw_doubt(frames: FrameArray, thresholds: UncertaintySettings, events: Sequence[Event]) -> Figure:
    """Both scores of doubt over a flight's time, with thresholds, verdicts and what was done to the arm."""
    figure, axes = _figure(11.0, 6.4, 2)
    time, start_ns = seconds_since_start(frames), int(frames["wake_ns"][0])
    for axis, name in zip(axes, SCORES, strict=True):
        values = np.maximum(frames[name], _LEAST_SCORE)
        axis.plot(time, values, color=BLUE, linewidth=0.8, label=name)
        grades = getattr(thresholds, name)
        if grades is not None and grades.stop is not None:
            axis.axhline(grades.stop, color=VERDICTS[VerdictLevel.STOP], linestyle="--", linewidth=1.2)
            axis.annotate(
                f"stops above {grades.stop:.3g} for {grades.persistence:g} s",
                (0.005, grades.stop),
                xycoords=("axes fraction", "data"),
                fontsize=8,
                va="bottom",
                color=VERDICTS[VerdictLevel.STOP],
            )
        axis.set_yscale("log")
        for level, colour in VERDICTS.items():
            spoke = np.asarray(frames["verdict"] == level)
            axis.fill_between(
                time, 0.0, 1.0, where=spoke, step="post", color=colour, alpha=0.35, linewidth=0.0,
                transform=axis.get_xaxis_transform(),
            )  # fmt: skip
        latched = np.isin(frames["state"], (ControlState.STOPPED, ControlState.FAULT))
        axis.fill_between(
            time, 0.0, 1.0, where=latched, step="post", color=GREY, alpha=0.2, linewidth=0.0,
            transform=axis.get_xaxis_transform(),
        )  # fmt: skip
        disturbed = [event for event in events if event.kind == "disturbance"]
        for number, event in enumerate(disturbed, start=1):
            when = (event.stamp_ns - start_ns) * 1e-9
            axis.axvline(when, color=INK, linestyle=":", linewidth=1.2)
            axis.annotate(
                f" {number}", (when, 0.97), xycoords=axis.get_xaxis_transform(), va="top", fontsize=9, color=INK
            )
        axis.set_ylabel(name)
        axis.set_xlim(0.0, float(time[-1]))
    axes[-1].set_xlabel("time of the flight [s]")
    handles = [
        Patch(facecolor=colour, alpha=0.35, label=f"verdict {level.name.lower()}") for level, colour in VERDICTS.items()
    ]
    handles.append(Patch(facecolor=GREY, alpha=0.2, label="stopped, until the reset"))
    figure.legend(handles=handles, loc="outside upper right", ncols=4, frameon=False, fontsize=8)
    return figure


def draw_paths(skeleton: Sequence[FloatArray], legs: Sequence[FlownLeg]) -> Figure:
    """Where the tool went in `legs`, by policy, with the goals; `skeleton` has joints (m, 3) in some poses [m]."""
    figure = Figure(figsize=(8.0, 6.6), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(projection="3d")
    assert isinstance(axes, Axes3D)
    for index, points in enumerate(skeleton):
        faint = 0.9 if index == len(skeleton) - 1 else 0.15
        axes.plot(*points.T, "-o", color=INK, linewidth=3.0, markersize=4.0, alpha=faint)
    for policy, colour in policy_colours(legs).items():
        flown = [leg for leg in legs if short_name(leg.leg.policy) == policy]
        for index, leg in enumerate(flown):
            label = f"tool, moved by {policy}" if index == 0 else None
            axes.plot(*leg.tool.T, color=colour, linewidth=1.2, label=label)
    goals = np.array([leg.leg.goal for leg in legs if leg.leg.goal is not None]).reshape(-1, 3)
    axes.scatter(*goals.T, s=36, color=GREEN, label="goals")
    axes.set_xlabel("x [m]")
    axes.set_ylabel("y [m]")
    axes.set_zlabel("z [m]")
    axes.set_aspect("equal")
    axes.view_init(elev=22.0, azim=-55.0)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def draw_targets(legs: Sequence[FlownLeg], tolerance: float) -> Figure:
    """The way left to its goal over each leg's time, by policy."""
    colours = policy_colours(legs)
    figure, axes = _figure(11.0, 3.6, 1, len(colours))
    for axis, (policy, colour) in zip(axes, colours.items(), strict=True):
        for leg in legs:
            if short_name(leg.leg.policy) == policy:
                time = (leg.frames["wake_ns"] - leg.start_ns) * 1e-9
                axis.plot(time, 1e3 * leg.distance, color=colour, linewidth=1.1, alpha=0.8)
        axis.axhline(1e3 * tolerance, color=GREEN, linestyle="--", linewidth=1.2)
        axis.set_yscale("log")
        axis.set_title(policy, fontsize=10, loc="left")
        axis.set_xlabel("time since the goal was given [s]")
        axis.set_ylabel("tool to goal [mm]")
    return figure


def draw_growth(fit: PlannerFit, period: float) -> Figure:
    """How far the planner's models are off, against how far they look ahead in steps of `period` [s]."""
    figure, (axis,) = _figure(7.0, 3.8, 1)
    ahead = period * np.arange(1, len(fit.after) + 1)
    for values, colour, style, label in (
        (fit.persistence, GREY, "-", "nothing moves"),
        (fit.before, ORANGE, "-", "trained on the twin"),
        (fit.after, BLUE, "-", "fitted to the arm"),
    ):
        axis.plot(ahead, 1e3 * values, style, color=colour, linewidth=1.6, marker=".", label=label)
    axis.set_yscale("log")
    axis.set_xlabel("predicted ahead [s]")
    axis.set_ylabel("error of the joint angles, RMS [mrad]")
    axis.legend(frameon=False, fontsize=8)
    return figure


def draw_timing(frames: FrameArray) -> Figure:
    """Histograms of how late ticks began, and of when their command was out."""
    figure, axes = _figure(11.0, 3.4, 1, 2)
    late = (frames["wake_ns"] - frames["deadline_ns"]) * 1e-3
    written = frames["write_ns"] >= 0
    out = (frames["write_ns"][written] - frames["deadline_ns"][written]) * 1e-3
    for axis, values, label in ((axes[0], late, "tick began"), (axes[1], out, "command was out")):
        axis.set_xlabel(f"{label} after its deadline [µs]")
        axis.set_ylabel("ticks")
        if not len(values):
            continue
        shown = np.maximum(values, 1.0)
        bins = np.geomspace(shown.min(), shown.max() * 1.001, _LATENESS_BINS)
        axis.hist(shown, bins.tolist(), color=BLUE)
        for share, style in ((50.0, "-"), (99.0, "--"), (99.9, ":")):
            mark = float(np.percentile(shown, share))
            axis.axvline(mark, color=INK, linestyle=style, linewidth=1.0, label=f"{share:g} %: {mark:.0f} µs")
        axis.set_xscale("log")
        few_log_ticks(axis.xaxis, float(shown.min()), float(shown.max()))
        axis.set_yscale("log")
        axis.legend(frameon=False, fontsize=8)
    return figure


def policy_colours(legs: Sequence[FlownLeg]) -> dict[str, str]:
    """A colour for each policy of `legs`, in the order of their first legs."""
    names = dict.fromkeys(short_name(leg.leg.policy) for leg in legs)
    return dict(zip(names, (BLUE, ORANGE, GREEN), strict=False))


def short_name(policy: str) -> str:
    """What people call a policy that the registry knows by `policy`."""
    kind = policy.partition(":")[0]
    return {"pets": "planner", "bundle": "Dreamer", "scripted": "exploration"}.get(kind, kind)


def _figure(width: float, height: float, rows: int, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(rows * columns)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.grid(visible=True, which="major", color="#e5e5e5", linewidth=0.5)
    return figure, axes
