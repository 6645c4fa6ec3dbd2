"""A flight as a web page of one file: figures, stops, notes, and pictures of the whole and of each stop."""

import base64
import dataclasses
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from robot_mbrl.contracts.clock import NANOSECONDS, to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.data.plot import draw
from robot_mbrl.data.reader import FlightRecord
from robot_mbrl.data.summary import Stop, Summary, summarize

BEFORE_STOP: Final = 1.0
AFTER_STOP: Final = 0.5
"""What the picture of a stop shows [s]."""
MOST_PICTURED: Final = 10
"""Stops that get a picture of their own."""
_MOST_NOTES: Final = 500

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #333; max-width: 1240px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; } td, th { text-align: left; padding: 0.25em 1.2em 0.25em 0; vertical-align: top; }
th { font-weight: 600; border-bottom: 1px solid #d9d9d9; } td { border-bottom: 1px solid #f0f0f0; }
img { max-width: 100%; }
"""


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
        ("versions", ", ".join(f"{name} {number}" for name, number in header.versions.items())),
    ]


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
        f"<h1>{html.escape(title)}</h1>",
        _table((), summary_rows(record, summary)),
        "<h2>The whole log</h2>",
        _image(draw(record), "the whole log"),
        f"<h2>Stops: {len(summary.stops)}</h2>",
        _table(("time [s]", "tick", "state", "cause"), [_stop_row(stop) for stop in summary.stops]),
        *(_image(_around(record, stop), f"stop at {stop.time:.3f} s") for stop in summary.stops[:MOST_PICTURED]),
        f"<h2>Notes: {len(notes)}</h2>",
        _table(("time [s]", "level", "note"), notes[:_MOST_NOTES]),
    ]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'


def save_page(record: FlightRecord, path: Path) -> None:
    """Write the page of a log to `path`.

    Raises:
        ConfigError: the log holds no frames, or the file cannot be written.
    """
    text = render(record)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: give a path that can be written") from error


def _stop_row(stop: Stop) -> tuple[str, ...]:
    return f"{stop.time:.3f}", str(stop.tick), stop.state, stop.cause


def _around(record: FlightRecord, stop: Stop) -> Figure:
    stop_ns = int(record.frames["wake_ns"][0]) + to_ns(stop.time)
    wake_ns = record.frames["wake_ns"]
    near = (wake_ns >= stop_ns - to_ns(BEFORE_STOP)) & (wake_ns <= stop_ns + to_ns(AFTER_STOP))
    title = f"around the stop at {stop.time:.3f} s: {stop.cause}"
    return draw(dataclasses.replace(record, frames=record.frames[near]), title)


def _image(figure: Figure, description: str) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    encoded = base64.b64encode(data.getvalue()).decode()
    return f'<p><img alt="{html.escape(description)}" src="data:image/png;base64,{encoded}"></p>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{line}</tr>" for line in ([head, *lines] if heads else lines))
    return f"<table>{body}</table>"
