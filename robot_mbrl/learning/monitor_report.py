"""The report of a calibrated monitor: one web page with what was promised, what it is worth, and pictures of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from robot_mbrl.contracts.monitor_settings import Grades, UncertaintySettings
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.data.html_page import heading, image, page, paragraph, save, table
from robot_mbrl.learning.detection import roc_curve, wilson_interval
from robot_mbrl.learning.doubt_figures import COVERAGES, Detection, ShiftedGroup, coverage, detect, false_stops, ratios
from robot_mbrl.learning.monitor_calibration import SCORES, CalibrationSettings, ScoredEpisode

_NOMINAL: Final = "#0072b2"
_SHIFTED: Final = "#d55e00"
_INK: Final = "#333333"
"""Colours that people with colour blindness can tell apart (Okabe and Ito)."""
_BINS: Final = 40
_LEAST_RATE: Final = 1e-3
"""Left end of the ROC's axis."""
_DECADE: Final = 10.0
_TICKS: Final = 5
"""At most, on an axis that spans less than a decade."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """All that the report tells of.

    Attributes:
        arm: whose monitor it is.
        joint_names: (n,) of its joints.
        settings: what was promised.
        thresholds: that keep the promise.
        calibrated: nominal episodes that the thresholds were taken from.
        tested: further nominal episodes; empty without.
        shifted: episodes in which something went wrong; empty without.
        errors: (k, 2n) standardized errors of the model on nominal episodes.
    """

    arm: str
    joint_names: tuple[str, ...]
    settings: CalibrationSettings
    thresholds: UncertaintySettings
    calibrated: Sequence[ScoredEpisode]
    tested: Sequence[ScoredEpisode]
    shifted: Sequence[ShiftedGroup]
    errors: FloatArray

    @property
    def nominal(self) -> Sequence[ScoredEpisode]:
        """The nominal episodes that shifted ones are compared with: those that no threshold was taken from, if any."""
        return self.tested or self.calibrated

    def detections(self) -> list[Detection]:
        """One for each kind of shift."""
        return [detect(group, self.nominal, self.thresholds) for group in self.shifted]


def save_report(path: Path, calibration: Calibration) -> None:
    """Write the report to `path`.

    Raises:
        ConfigError: it cannot be written.
    """
    save(path, render(calibration))


def render(calibration: Calibration) -> str:
    """The report as HTML."""
    detections = calibration.detections()
    parts = [
        table((), _promise(calibration)),
        heading("Scores of the episodes"),
        image(draw_scores(calibration), "distribution of the episodes' scores, with thresholds"),
        heading("Reliability of the predicted variance"),
        paragraph("Share of measured changes that lie within the predicted Gaussian's central interval."),
        table(("", *(f"{share:.0%}" for share in COVERAGES)), _coverage_rows(calibration)),
        image(draw_reliability(calibration.errors), "observed against nominal coverage"),
    ]
    if detections:
        parts += [
            heading("Shifted episodes"),
            table(DETECTION_HEADS, detection_rows(detections)),
            image(draw_roc(calibration), "true against false stops"),
            image(draw_delays(detections), "time from the onset of the shift to the stop"),
        ]
    else:
        parts.append(paragraph("No shifted episodes were given: what the thresholds detect was not looked at."))
    return page(f"{calibration.arm}: calibration of the monitor's doubt", parts)


def _promise(calibration: Calibration) -> list[tuple[str, str]]:
    settings = calibration.settings
    seconds = [(episode.wake_ns[-1] - episode.wake_ns[0]) * 1e-9 for episode in calibration.calibrated]
    flights = len({episode.flight for episode in calibration.calibrated})
    rows = [
        ("promise", f"at most {settings.alpha:.2%} of nominal episodes are stopped by doubt"),
        (
            "episodes",
            f"{len(calibration.calibrated)} nominal ones of {flights} flights, {min(seconds):.1f} to "
            f"{max(seconds):.1f} s long",
        ),
        ("persistence", f"{settings.persistence:g} s"),
    ]
    for name in SCORES:
        grades: Grades | None = getattr(calibration.thresholds, name)
        rows.append((f"threshold of the {name}", "none" if grades is None else f"{grades.stop:.4g}"))
    if calibration.tested:
        count, total = false_stops(calibration.tested, calibration.thresholds), len(calibration.tested)
        low, high = wilson_interval(count, total)
        rows.append(
            ("tested on others", f"{count} of {total} stopped, {count / total:.2%} (95 %: {low:.2%} to {high:.2%})")
        )
    return rows


def _coverage_rows(calibration: Calibration) -> list[tuple[str, ...]]:
    columns = [coverage(calibration.errors, deviations) for deviations in COVERAGES.values()]
    names = [f"{kind} of {joint}" for kind in ("angle", "velocity") for joint in calibration.joint_names]
    rows = [(name, *(f"{column[index]:.1%}" for column in columns)) for index, name in enumerate(names)]
    return [("all", *(f"{column.mean():.1%}" for column in columns)), *rows]


DETECTION_HEADS: Final = (
    "shift",
    "episodes",
    "AUROC",
    "of disagreement",
    "of residual",
    "stopped",
    "95 % interval",
    "stopped before the onset",
    "median delay",
)


def detection_rows(detections: Sequence[Detection]) -> list[tuple[str, ...]]:
    """Rows under `DETECTION_HEADS`."""
    rows = []
    for found in detections:
        low, high = wilson_interval(found.stopped, found.episodes - found.early)
        delay = found.median_delay
        rows.append(
            (
                found.name,
                str(found.episodes),
                *(f"{found.auroc[name]:.3f}" for name in ("either", *SCORES)),
                f"{found.stop_rate:.0%}",
                f"{low:.0%} to {high:.0%}",
                str(found.early),
                f"{delay * 1e3:.0f} ms" if math.isfinite(delay) else "never",
            )
        )
    return rows


def draw_scores(calibration: Calibration) -> Figure:
    """Histograms of both scores of nominal and shifted episodes, with the thresholds."""
    figure, axes = _figure(len(SCORES), 1)
    shifted = [episode for group in calibration.shifted for episode in group.episodes]
    for axis, name in zip(axes, SCORES, strict=True):
        series = [
            [max(episode.score(name, calibration.settings.persistence), 1e-9) for episode in episodes]
            for episodes in (calibration.nominal, shifted)
        ]
        values = np.concatenate(series)
        bins = np.geomspace(values.min(), values.max() * 1.001, _BINS)
        for scores, colour, label in zip(series, (_NOMINAL, _SHIFTED), ("nominal", "shifted"), strict=True):
            if scores:
                weights = np.full(len(scores), 1.0 / len(scores))
                axis.hist(scores, bins.tolist(), weights=weights, color=colour, alpha=0.55, label=label)
        grades: Grades | None = getattr(calibration.thresholds, name)
        if grades is not None and grades.stop is not None:
            axis.axvline(grades.stop, color=_INK, linestyle="--", linewidth=1.2, label="threshold")
        axis.set_xscale("log")
        few_log_ticks(axis.xaxis, float(values.min()), float(values.max()))
        axis.set_xlabel(f"{name}, largest of an episode that lasted for {calibration.settings.persistence:g} s")
        axis.set_ylabel("share of episodes")
        axis.legend(frameon=False, fontsize=8)
    return figure


def few_log_ticks(axis: Axis, low: float, high: float) -> None:
    """Let a logarithmic axis from `low` to `high` have a few numbers, which do not overlap, for any span."""
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
    if high < _DECADE * low:
        axis.set_major_locator(MaxNLocator(_TICKS))
    elif high < _DECADE**3 * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 3.0)))


def draw_roc(calibration: Calibration) -> Figure:
    """One curve for each kind of shift, by the larger of both scores in terms of its threshold."""
    figure, (axis,) = _figure(1, 1)
    nominal = ratios(calibration.nominal, calibration.thresholds)
    for group in calibration.shifted:
        false, true = roc_curve(ratios(group.episodes, calibration.thresholds), nominal)
        axis.step(np.maximum(false, _LEAST_RATE), true, where="post", linewidth=1.4, label=group.name)
    axis.axvline(calibration.settings.alpha, color=_INK, linestyle="--", linewidth=1.0, label="promised rate")
    axis.set_xscale("log")
    axis.set_xlim(_LEAST_RATE, 1.0)
    axis.set_ylim(0.0, 1.02)
    axis.set_xlabel("nominal episodes stopped")
    axis.set_ylabel("shifted episodes stopped")
    axis.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def draw_delays(detections: Sequence[Detection]) -> Figure:
    """Share of each kind's episodes that were stopped, over the time since the onset."""
    figure, (axis,) = _figure(1, 1)
    for found in detections:
        counted = max(found.episodes - found.early, 1)
        times = np.concatenate([[0.0], np.sort(found.delays)])
        axis.step(1e3 * times, np.arange(len(times)) / counted, where="post", linewidth=1.4, label=found.name)
    axis.set_xlabel("since the onset [ms]")
    axis.set_ylabel("share stopped")
    axis.set_ylim(0.0, 1.02)
    axis.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def draw_reliability(errors: FloatArray) -> Figure:
    """Observed against nominal coverage of the central intervals, angles and velocities apart."""
    figure, (axis,) = _figure(1, 1, width=6.0)
    shares = np.linspace(0.0, 1.0, 51)[1:-1]
    # The Gaussian's quantiles, by turning over its own distribution on a grid.
    grid = np.linspace(0.0, 5.0, 2001)
    inside = np.array([math.erf(deviations / math.sqrt(2.0)) for deviations in grid])
    deviations = np.interp(shares, inside, grid)
    n = errors.shape[1] // 2
    for part, colour, label in ((errors[:, :n], _NOMINAL, "angles"), (errors[:, n:], _SHIFTED, "velocities")):
        observed = [float(np.mean(np.abs(part) <= limit)) for limit in deviations]
        axis.plot(shares, observed, color=colour, linewidth=1.6, label=label)
    axis.plot([0.0, 1.0], [0.0, 1.0], color=_INK, linestyle="--", linewidth=1.0, label="as predicted")
    for share in COVERAGES:
        axis.axvline(share, color="#d9d9d9", linewidth=0.8, zorder=0)
    axis.set_xlabel("predicted share within the interval")
    axis.set_ylabel("observed share")
    axis.legend(frameon=False, fontsize=8)
    return figure


def _figure(columns: int, rows: int, width: float = 11.0) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(rows * columns)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    return figure, axes
