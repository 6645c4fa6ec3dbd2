"""`robot-mbrl log`."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import Progress
from rich.table import Table

from robot_mbrl.cli.options import Json
from robot_mbrl.cli.terminal import console
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.data.page import save_page, summary_rows
from robot_mbrl.data.plot import save_png
from robot_mbrl.data.reader import read_log
from robot_mbrl.data.replay import WARM_UP, Replay, build_monitor, flight_of, starts_flight
from robot_mbrl.data.replay import replay as replay_frames
from robot_mbrl.data.salvage import salvage as salvage_log
from robot_mbrl.data.salvage import salvaged_path
from robot_mbrl.data.summary import summarize

ABOUT: Final = "Read flight logs: figures, pictures, salvage, and the monitor's second opinion. Touches no hardware."
DIFFERENT: Final = 1
"""Exit code of a replay that found another verdict."""

app = typer.Typer(help=ABOUT, rich_markup_mode=None, no_args_is_help=True)

Log = Annotated[Path, typer.Argument(help="A flight log or incident file (.mcap), whole or broken off.")]


@app.callback()
def log() -> None:
    """Hold the commands below; what they share is said in `ABOUT`."""


@app.command("info", epilog="\b\nExample:\n  robot-mbrl log info logs/flight-20261121T115000123Z-0000.mcap")
def info(path: Log, as_json: Json = False) -> None:
    """Tell how long a flight was, its rate and missed ticks, its states, and each stop with its cause."""
    record = read_log(path)
    summary = summarize(record)
    if as_json:
        versions = record.header.versions
        known = {"file": str(path), "complete": record.complete, "unreadable": record.unreadable, "versions": versions}
        typer.echo(json.dumps(known | dataclasses.asdict(summary), indent=2))
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, text in summary_rows(record, summary):
        table.add_row(name, text)
    for stop in summary.stops:
        table.add_row("stop", f"at {stop.time:.3f} s (tick {stop.tick}), {stop.state}: {stop.cause}")
        if stop.braking:
            table.add_row("", stop.braking)
    for note in record.notes:
        if note.level > note.level.INFO:
            table.add_row(note.level.name.lower(), note.text)
    console().print(table, markup=False)


@app.command("salvage", epilog="\b\nExample:\n  robot-mbrl log salvage logs/flight-20261121T115000123Z-0000.mcap")
def salvage(
    path: Log,
    output: Annotated[
        Path | None, typer.Option(help="Where to write; the default is salvaged-NAME beside the original.")
    ] = None,
) -> None:
    """Make a good file of a log that broke off or was damaged, and say what was lost. The original stays as it is."""
    found = salvage_log(path, output or salvaged_path(path))
    saved = f"{found.frames} frames, {found.plans} plans and {found.notes} notes"
    typer.echo(f"{found.path}: {saved} of {found.chunks} whole chunks saved")
    if found.was_complete:
        typer.echo("the original was closed properly and nothing in it was damaged")
    else:
        holes = f"{found.holes} frames missing in between" if found.holes else "no frame missing in between"
        typer.echo(f"lost: {found.unreadable} bytes that no whole chunk was in; {holes}")


@app.command("plot", epilog="\b\nExample:\n  robot-mbrl log plot logs/incident-20261121T115000123Z-0000.mcap --html")
def plot(
    path: Log,
    output: Annotated[Path | None, typer.Option(help="Where to write; the default is beside the log.")] = None,
    as_page: Annotated[
        bool, typer.Option("--html", help="A web page with figures, stops and notes, not a PNG.")
    ] = False,
) -> None:
    """Draw joints with command and limits, states, verdicts and timing: a PNG, or a web page of one file."""
    target = output or path.with_suffix(".html" if as_page else ".png")
    if target.resolve() == path.resolve():
        raise ConfigError(f"{target} is the log itself: give another --output")
    (save_page if as_page else save_png)(read_log(path), target)
    typer.echo(str(target))


@app.command("replay", epilog="\b\nExample:\n  robot-mbrl log replay logs/flight-20261121T115000123Z-0000.mcap")
def replay(path: Log, as_json: Json = False) -> None:
    """Let the safety monitor judge a log's frames again: are its verdicts identical to the logged ones, bit for bit?

    Earlier files of the same flight in the same folder are read too. Ends with 1 when a verdict differs.
    """
    header, frames = flight_of(path)
    from_start = starts_flight(frames)
    with _progress("judging", len(frames)) as advance:
        result = replay_frames(frames, build_monitor(header), from_start=from_start, progress=advance)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(result) | {"from_start": from_start}, indent=2))
    else:
        for line in _told(result, from_start=from_start):
            typer.echo(line)
    if result.differing:
        raise typer.Exit(DIFFERENT)


def _told(result: Replay, *, from_start: bool) -> Iterator[str]:
    if not from_start:
        yield f"the log begins in mid-flight: levels are compared, from {WARM_UP} s on"
    if result.lost:
        yield f"{result.lost} frames that the monitor saw are not in the log: verdicts after them may differ for it"
    what = "verdicts" if from_start else "levels"
    if result.first is None:
        yield f"identical: {result.compared} {what} of {result.judged} frames"
        return
    first = result.first
    yield f"DIFFERENT: {result.differing} of {result.compared} {what}"
    yield f"first at tick {first.tick}: {first.field} was {first.logged!r}, is now {first.replayed!r}"


@contextmanager
def _progress(what: str, frames: int) -> Iterator[Callable[[float], None]]:
    """A bar on the terminal's error stream for what takes a while; nothing where there is no terminal."""
    screen = console()
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as bars:
        bar = bars.add_task(f"{what} {frames} frames", total=1.0)
        yield lambda share: bars.update(bar, completed=share)
