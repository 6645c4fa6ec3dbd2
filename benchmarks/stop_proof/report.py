"""The stop proof as JSON and as one HTML page without anything from elsewhere."""

import dataclasses
import html
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from robot_mbrl.benchmarks.stop_proof.campaign import Run
from robot_mbrl.benchmarks.stop_proof.criteria import Violation, violations, within_bound
from robot_mbrl.benchmarks.stop_proof.kinds import Kind
from robot_mbrl.benchmarks.stop_proof.measures import REST_BOUND, REST_SPEED, Measures
from robot_mbrl.benchmarks.stop_proof.settling import NOTICE, Settling
from robot_mbrl.benchmarks.stop_proof.stage import ARM
from robot_mbrl.drivers.arms import load_arm

COLUMNS: Final = (
    "fault",
    "runs",
    "hidden ms",
    "to verdict ms",
    "to rest ms",
    "to stillness ms",
    "distance rad",
    "torque kept",
    "moved after latch",
    "ended latched",
    "verdict",
)


@dataclasses.dataclass(frozen=True, slots=True)
class Excuse:
    """What a kind of fault excuses.

    Attributes:
        violation: that is no failure.
        reason: the physics that forbids better.
        runs: how many needed it.
    """

    violation: Violation
    reason: str
    runs: int


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """All runs of one kind, worst values; None where one of them has none.

    Attributes:
        kind: the kind.
        runs: how many were made.
        errors: why others could not be made.
        hidden: from the fault to its first visible effect [s].
        to_verdict: from there to the verdict [s].
        to_rest: from there to rest [s].
        to_stillness: from there until nothing coasted in its gear's play any more [s].
        distance: travelled until rest [rad].
        torque_kept: in all runs.
        moved_after_latch: in any run.
        latched: in all runs.
        rode_through: in how many runs the fault was harmless.
        reasons: what was said of the stops, each once.
        late: one line for each run that was not at rest within the bound: which joint was last, how far it went, and
            how long the arm takes by itself.
        excuses: of the kind.
        failures: what is not as the stop proof wants it, and is not excused.
    """

    kind: Kind
    runs: int
    errors: tuple[str, ...]
    hidden: float | None
    to_verdict: float | None
    to_rest: float | None
    to_stillness: float | None
    distance: float | None
    torque_kept: bool
    moved_after_latch: bool
    latched: bool
    rode_through: int
    reasons: tuple[str, ...]
    late: tuple[str, ...]
    excuses: tuple[Excuse, ...]
    failures: tuple[str, ...]


def rows(kinds: Sequence[Kind], runs: Sequence[Run]) -> list[Row]:
    """One row for each kind that was run."""
    joints = load_arm(ARM).joint_names
    return [_row(kind, [run for run in runs if run.kind == kind.name], joints) for kind in kinds]


def _row(kind: Kind, runs: Sequence[Run], joints: Sequence[str]) -> Row:
    measured = [run.measures for run in runs if run.measures is not None]
    errors = tuple(run.error for run in runs if run.error)
    excused, failed = _judged(kind, runs)
    return Row(
        kind=kind,
        runs=len(measured),
        errors=errors,
        hidden=_worst(measured, "hidden"),
        to_verdict=_worst(measured, "to_verdict"),
        to_rest=_worst(measured, "to_rest"),
        to_stillness=_worst(measured, "to_stillness"),
        distance=_worst(measured, "distance"),
        torque_kept=all(one.torque_kept for one in measured),
        moved_after_latch=any(one.moved_after_latch for one in measured),
        latched=all(one.latched for one in measured),
        rode_through=sum(run.rode_through for run in runs),
        reasons=tuple(sorted({run.reason for run in runs if run.reason})),
        late=tuple(
            _lateness(run.seed, run.measures, run.settling, joints)
            for run in runs
            if run.measures and not within_bound(run.measures)
        ),
        excuses=tuple(Excuse(violation, why, excused[violation]) for violation, why in kind.excuses.items()),
        failures=(*errors, *(failed if measured else ["no run"])),
    )


def _judged(kind: Kind, runs: Sequence[Run]) -> tuple[Counter[Violation], list[Violation]]:
    """How many runs each excuse was needed in, and what is violated without one."""
    excused, failed = Counter[Violation](), set[Violation]()
    for run in runs:
        found = set() if run.measures is None else set(violations(run.measures, run.settling))
        # Nothing of the fault was left in a run that rode through it: what is measured is a stop like any other.
        forgiven = set() if run.rode_through else found & set(kind.excuses)
        excused.update(forgiven)
        failed |= found - forgiven
    return excused, [violation for violation in Violation if violation in failed]


def _lateness(seed: int, found: Measures, needs: Settling, joints: Sequence[str]) -> str:
    joint = "nothing" if found.last is None else joints[found.last]
    when = "never at rest" if found.to_rest is None else f"at rest after {_milliseconds(found.to_rest)} ms"
    bound = _milliseconds(found.forced + REST_BOUND)
    way = f"it went {found.late_way:.3f} rad after {bound} ms, its gear has {found.late_play:.3f} of play"
    itself = f"by itself this arm takes {_milliseconds(needs.best)} to {_milliseconds(needs.worst)} ms"
    return f"seed {seed}: {when}, {joint} last; {way}; {itself}"


def _worst(measured: Sequence[Measures], name: str) -> float | None:
    """The largest value; None when there is none, or when one is missing, as never is worse than any."""
    values = [getattr(one, name) for one in measured]
    return None if not values or None in values else float(max(values))


def as_json(kinds: Sequence[Kind], runs: Sequence[Run]) -> dict[str, Any]:
    """Every run, and the worst of each kind."""
    table = []
    for row in rows(kinds, runs):
        plain = {field.name: getattr(row, field.name) for field in dataclasses.fields(row) if field.name != "kind"}
        plain["excuses"] = [dataclasses.asdict(excuse) for excuse in row.excuses]
        kind = row.kind
        plain |= {"kind": kind.name, "group": kind.group, "what": kind.what, "lasts": kind.lasts, "force": kind.force}
        table.append(plain)
    return {
        "rest_speed": REST_SPEED,
        "rest_bound": REST_BOUND,
        "kinds": table,
        "runs": [
            dataclasses.asdict(run) | {"violations": violations(run.measures, run.settling) if run.measures else ()}
            for run in runs
        ],
    }


def summary(kinds: Sequence[Kind], runs: Sequence[Run]) -> str:
    """One line."""
    table = rows(kinds, runs)
    good = sum(not row.failures for row in table)
    made = sum(row.runs for row in table)
    soon = sum(run.measures is not None and within_bound(run.measures) for run in runs)
    return (
        f"{good} of {len(table)} kinds of fault stop as they must; {made} of {len(runs)} runs were made, "
        f"{soon} at rest within {REST_BOUND * 1e3:.0f} ms"
    )


def as_html(kinds: Sequence[Kind], runs: Sequence[Run], machine: str) -> str:
    """The page."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in COLUMNS)
    body = "\n".join(_html_row(row) for row in rows(kinds, runs))
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Stop proof</title>
<style>
body {{ font: 14px sans-serif; margin: 2em; }} table {{ border-collapse: collapse; }}
th, td {{ border: 1px solid #ccc; padding: 0.3em 0.6em; text-align: left; vertical-align: top; }}
td.number {{ text-align: right; }} tr.bad {{ background: #fdd; }} small {{ color: #555; }}
</style>
<h1>Stop proof</h1>
<p>{html.escape(summary(kinds, runs))}. {html.escape(machine)}.</p>
<p>Worst of all runs of a kind. Times count from the fault's first visible effect; "hidden" is the time from the fault
to that. Still: all joints under {REST_SPEED} rad/s in the emulator's physics, for the last time. At rest: the same, but
for what coasts to and fro within the play of its own gear, where no servo can reach it. Bound for rest:
{REST_BOUND * 1e3:.0f} ms, where the fault forces the arm for a while from the end of that on; or, if that is longer,
what the arm takes by itself, after a verdict that may take {NOTICE * 1e3:.0f} ms of it. What is excused, and why,
stands with each kind; nothing is in a run in which the fault was harmless.</p>
<p>What an arm takes by itself is flown in simulated time, without a machine that can be late: a stop is asked for all
over its swing, in the surroundings of the kind, and nobody has to notice anything. The goals come to rest soon, along
their path and within the limits of the joints; servos trail their goals, by so much more the faster they go, and then
have to get there and settle in their gears. Without a fault: {html.escape(_by_itself(kinds, runs))}.</p>
<table><tr>{head}</tr>
{body}
</table></html>
"""


def _by_itself(kinds: Sequence[Kind], runs: Sequence[Run]) -> str:
    """What each arm takes without a fault of its surroundings."""
    unharmed = {kind.name for kind in kinds if kind.surroundings is None}
    needs = {run.seed: run.settling for run in runs if run.kind in unharmed}
    return ", ".join(
        f"seed {seed}: {_milliseconds(one.best)} to {_milliseconds(one.worst)} ms (median {_milliseconds(one.median)})"
        for seed, one in sorted(needs.items())
    )


def _html_row(row: Row) -> str:
    failures = "; ".join(row.failures)
    notes = [
        *(f"{excuse.violation}, excused in {excuse.runs} runs: {excuse.reason}" for excuse in row.excuses),
        f"judged from {row.kind.lasts * 1e3:.0f} ms after the fault on: {row.kind.force}" if row.kind.force else "",
        f"harmless in {row.rode_through} runs" if row.rode_through else "",
        *row.late,
        *row.reasons[:3],
    ]
    told = "<br>".join(html.escape(note) for note in notes if note)
    times = (row.hidden, row.to_verdict, row.to_rest, row.to_stillness)
    cells = [
        f"<td><b>{html.escape(row.kind.name)}</b><br><small>{html.escape(row.kind.what)}</small></td>",
        f'<td class="number">{row.runs}</td>',
        *(f'<td class="number">{_milliseconds(value)}</td>' for value in times),
        f'<td class="number">{"-" if row.distance is None else f"{row.distance:.3f}"}</td>',
        *(f"<td>{word}</td>" for word in _words((row.torque_kept, row.moved_after_latch, row.latched))),
        f"<td><b>{html.escape(failures) or 'ok'}</b><br><small>{told}</small></td>",
    ]
    return f'<tr class="{"bad" if failures else "good"}">{"".join(cells)}</tr>'


def _milliseconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds * 1e3:.0f}"


def _words(flags: Iterable[bool]) -> list[str]:
    return ["yes" if flag else "no" for flag in flags]
