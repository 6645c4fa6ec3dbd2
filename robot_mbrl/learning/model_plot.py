"""Draws a `ModelReport`: growth of the error over open-loop steps, and disagreement beside the true error."""

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from robot_mbrl.learning.model_analysis import ModelReport

_ENSEMBLE, _LINEAR, _PERSISTENCE, _DOUBT = "#0072b2", "#d55e00", "#999999", "#009e73"
"""Colours that people with colour blindness can tell apart (Okabe and Ito)."""
_MOST_POINTS: Final = 3000


def draw(report: ModelReport, title: str) -> Figure:
    """The picture: left the growth of the errors, right disagreement and error of each start after one step."""
    figure = Figure(figsize=(11.0, 4.4), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    growth, doubt = figure.subplots(1, 2)
    _draw_growth(growth, report)
    _draw_doubt(doubt, report)
    return figure


def _draw_growth(axes: Axes, report: ModelReport) -> None:
    steps = np.arange(1, len(report.cases) + 1)
    for name, values, colour, style in (
        ("persistence", report.persistence.rms, _PERSISTENCE, "-"),
        ("linear", report.linear.rms, _LINEAR, "-"),
        ("ensemble", report.ensemble.rms, _ENSEMBLE, "-"),
        ("ensemble, median", report.ensemble.median, _ENSEMBLE, ":"),
        ("disagreement", report.disagreement, _DOUBT, "--"),
    ):
        shown = np.where(np.isfinite(values) & (values > 0.0), values, np.nan)
        axes.plot(steps, shown, color=colour, linestyle=style, linewidth=1.5, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("open-loop steps")
    axes.set_ylabel("error, RMS [typical changes of one step]")
    axes.grid(visible=True, which="both", color="#e5e5e5", linewidth=0.5)
    axes.legend(frameon=False, fontsize=8)


def _draw_doubt(axes: Axes, report: ModelReport) -> None:
    points = report.one_step[:: max(1, len(report.one_step) // _MOST_POINTS)]
    points = points[(np.isfinite(points) & (points > 0.0)).all(axis=1)]
    axes.scatter(points[:, 0], points[:, 1], s=6, color=_ENSEMBLE, alpha=0.4, linewidths=0.0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("disagreement [typical changes]")
    axes.set_ylabel("true one-step error [typical changes]")
    axes.set_title(f"rank correlation {report.rank_correlation[0]:.2f}", fontsize=9)
    axes.grid(visible=True, which="major", color="#e5e5e5", linewidth=0.5)
