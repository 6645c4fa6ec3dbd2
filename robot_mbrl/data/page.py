"""A flight as a web page of one file: figures, stops, notes, and pictures of the whole and of each stop."""

import dataclasses
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from robot_mbrl.contracts.clock import NANOSECONDS, to_ns
from robot_mbrl.data.html_page import heading, image, page, save, table
from robot_mbrl.data.plan_figures import PlanFigures
from robot_mbrl.data.plot import draw
from robot_mbrl.data.reader import FlightRecord
from robot_mbrl.data.summary import Stop, Summary, summarize

BEFORE_STOP: Final = 1.0
AFTER_STOP: Final = 0.5
"""What the picture of a stop shows [s]."""
MOST_PICTURED: Final = 10
"""Stops that get a picture of their own."""
_MOST_NOTES: Final = 500


def summary_rows(record: FlightRecord, summary: Summary) -> list[tuple[str, str]]:
    """The figures of a flight as (name, text)."""
    late = ", ".join(
        f"{name} {value * 1e6:.0f} µs"
        for name, value in zip(("p50", "p99", "p99.9", "max"), summary.lateness, strict=True)
    )
    header = record.header
    state = "closed properly" if record.complete else "broke off"
    unread = f", {record.unreadable} bytes cannot be read" if record.unreadable else ""
    return [
        ("flight", f"{header.flight}, {header.kind} {header.part}"),
        ("arm", f"{header.arm.name}, {len(header.arm.joints)} joints"),
        ("file", f"{record.path.stat().st_size / 1e6:.1f} MB, {state}{unread}"),
        ("frames", f"{summary.frames} in {summary.seconds:.2f} s, {summary.rate:.1f} Hz"),
        ("missing", f"{summary.missed_ticks} ticks skipped by the loop, {summary.lost_frames} frames lost on the way"),
        ("ticks began", f"{late} after their deadline"),
        ("states", ", ".join(f"{name} {seconds:.2f} s" for name, seconds in summary.state_seconds.items())),
        ("verdicts", ", ".join(f"{name} {count}" for name, count in summary.verdicts.items())),
        *([] if summary.plans is None else [("plans", _plans(summary.plans))]),
        ("versions", ", ".join(f"{name} {number}" for name, number in header.versions.items())),
    ]


def _plans(plans: PlanFigures) -> str:
    doubt = f"disagreement {plans.disagreement:.2g} (median), {plans.worst_disagreement:.2g} (largest)"
    told = f"{plans.count} at {plans.rate:.1f} Hz of up to {plans.steps} steps, {doubt}"
    return told if plans.error is None else f"{told}, angles after the first step off by {plans.error:.2g} rad (median)"


def render(record: FlightRecord) -> str:
    """The page of a log.

    Raises:
        ConfigError: it holds no frames.
    """
    summary = summarize(record)
    title = f"{record.header.arm.name}, flight {record.header.flight}"
    begin_ns = int(record.frames["wake_ns"][0]) if len(record.frames) else 0
    notes = [
        (f"{(note.stamp_ns - begin_ns) / NANOSECONDS:.3f}", note.level.name.lower(), note.text) for note in record.notes
    ]
    parts = [
        table((), summary_rows(record, summary)),
        heading("The whole log"),
        image(draw(record), "the whole log"),
        heading(f"Stops: {len(summary.stops)}"),
        table(("time [s]", "tick", "state", "cause", "braking"), [_stop_row(stop) for stop in summary.stops]),
        *(image(_around(record, stop), f"stop at {stop.time:.3f} s") for stop in summary.stops[:MOST_PICTURED]),
        heading(f"Notes: {len(notes)}"),
        table(("time [s]", "level", "note"), notes[:_MOST_NOTES]),
    ]
    return page(title, parts)


def save_page(record: FlightRecord, path: Path) -> None:
    """Write the page of a log to `path`.

    Raises:
        ConfigError: the log holds no frames, or the file cannot be written.
    """
    save(path, render(record))


def _stop_row(stop: Stop) -> tuple[str, ...]:
    return f"{stop.time:.3f}", str(stop.tick), stop.state, stop.cause, stop.braking


def _around(record: FlightRecord, stop: Stop) -> Figure:
    stop_ns = int(record.frames["wake_ns"][0]) + to_ns(stop.time)
    wake_ns = record.frames["wake_ns"]
    near = (wake_ns >= stop_ns - to_ns(BEFORE_STOP)) & (wake_ns <= stop_ns + to_ns(AFTER_STOP))
    title = f"around the stop at {stop.time:.3f} s: {stop.cause}"
    return draw(dataclasses.replace(record, frames=record.frames[near]), title)
