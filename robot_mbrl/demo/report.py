"""The report of a demonstration: one page that needs nothing else, and its pictures as files of their own.

All figures come out of the flight logs, the journal of what was done to the arm, and what was fitted to the logs.
"""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.data.frame_codec import join_frames
from robot_mbrl.data.html_page import heading, image, page, paragraph, picture, save, table
from robot_mbrl.data.log_folder import FLIGHT_PATTERN
from robot_mbrl.data.page import summary_rows
from robot_mbrl.data.plot import draw
from robot_mbrl.data.reader import FlightRecord, read_log
from robot_mbrl.data.summary import Summary, summarize
from robot_mbrl.demo.arm_picture import render_arm, skeleton
from robot_mbrl.demo.changed_limits import changed_limits
from robot_mbrl.demo.journal import Event, read_journal
from robot_mbrl.demo.legs import FlownLeg, flown_legs
from robot_mbrl.demo.models import PlannerFit
from robot_mbrl.demo.pace import Pace
from robot_mbrl.demo.pictures import (
    COLOUR_NAMES,
    GREEN,
    draw_doubt,
    draw_growth,
    draw_paths,
    draw_targets,
    draw_timing,
    policy_colours,
    short_name,
)
from robot_mbrl.demo.reactions import Reaction, is_doubt, reactions
from robot_mbrl.demo.script import LET_PASS
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.learning.monitor_report import Calibration, draw_reliability, draw_scores
from robot_mbrl.policies.tour import load_tour
from robot_mbrl.runtime.monitor_setup import monitor_settings
from robot_mbrl.sim.geometry import MujocoGeometry
from robot_mbrl.sim.tasks import CONTROL_PERIOD
from robot_mbrl.sim.tasks.reach import ReachTask

REPORT: Final = "report.html"
JOURNAL: Final = "journal.jsonl"
PICTURES: Final = "pictures"
FLIGHTS: Final = ("explore", "nominal", "reach")
"""Folders of their logs, in the order in which they were flown."""
TOLERANCE: Final = ReachTask.tolerance


@dataclass(frozen=True, slots=True)
class Findings:
    """What the report needs beside the logs.

    Attributes:
        arm: that was flown.
        seed: that drew it.
        pace: how much there was of everything.
        fit: of the planner's model.
        calibration: of the monitor's doubt.
        bundle: whether a trained bundle took part.
    """

    arm: ArmDefinition
    seed: int
    pace: Pace
    fit: PlannerFit
    calibration: Calibration
    bundle: bool


@dataclass(frozen=True, slots=True)
class _Story:
    """The flights, read again from their logs.

    Attributes:
        records: of each of `FLIGHTS`.
        summaries: of each.
        events: of all of them.
        legs: of the last flight, before the first disturbance.
        reactions: to the disturbances.
    """

    records: dict[str, FlightRecord]
    summaries: dict[str, Summary]
    events: list[Event]
    legs: list[FlownLeg]
    reactions: list[Reaction]


def write_report(folder: Path, findings: Findings) -> list[str]:
    """Write the report of the demonstration in `folder`; returns what to tell of it, a line each.

    Raises:
        ConfigError: a log cannot be read, or the report not be written.
    """
    story = _read(folder, findings)
    drawing = _Drawing(folder / PICTURES)
    parts = [
        table((), _overview(story, findings)),
        *_arm_part(drawing, story, findings),
        heading("What happened when"),
        table(("time [s]", "what"), _timeline(story)),
        *_targets_part(drawing, story),
        *_disturbances_part(drawing, story, findings),
        *_models_part(drawing, findings),
        heading("Joints, states and verdicts of the last flight"),
        drawing.add("joints", draw(story.records["reach"]), "joint angles with commands and limits, states, verdicts"),
        heading("Timing of the control loop, all flights"),
        drawing.add(
            "timing",
            draw_timing(join_frames([record.frames for record in story.records.values()])),
            "histograms of the lateness of ticks",
        ),
        *_limits_part(story, findings),
        *_logs_part(story),
    ]
    path = folder / REPORT
    save(path, page(f"A demonstration of robot_mbrl: {findings.arm.name}, emulated, seed {findings.seed}", parts))
    return [*_conclusions(story), f"{path}: the report, with its pictures in {PICTURES} and the logs beside it"]


class _Drawing:
    """Pictures, each within the page and as a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def add(self, name: str, figure: Figure, description: str) -> str:
        figure.savefig(self._folder / f"{name}.png", dpi=110)
        return image(figure, description)

    def path(self, name: str) -> Path:
        return self._folder / f"{name}.png"


def _read(folder: Path, findings: Findings) -> _Story:
    records = {name: _flight(folder / "logs" / name) for name in FLIGHTS}
    events = read_journal(folder / JOURNAL)
    last, tour = records["reach"], load_tour(folder / "reach.yaml")
    legs = flown_legs(last.frames, tour, MujocoGeometry(findings.arm), len(findings.arm.joints))
    return _Story(
        records=records,
        summaries={name: summarize(record) for name, record in records.items()},
        events=events,
        # After them the tour begins again, for something to disturb.
        legs=[leg for leg in legs if leg.number < len(tour.legs)],
        reactions=reactions(last.frames, last.header, events),
    )


def _flight(folder: Path) -> FlightRecord:
    """The one flight in `folder`.

    Raises:
        ConfigError: there is none.
    """
    logs = sorted(folder.glob(FLIGHT_PATTERN))
    if not logs:
        raise ConfigError(f"{folder}: no flight log in it: run the demonstration again")
    return read_log(logs[0])


def _overview(story: _Story, findings: Findings) -> list[tuple[str, str]]:
    first, last = story.records["explore"].frames, story.records["reach"].frames
    start_ns = min([event.stamp_ns for event in story.events], default=int(first["wake_ns"][0]))
    seconds = (int(last["wake_ns"][-1]) - start_ns) / NANOSECONDS
    rows = [
        ("arm", f"{findings.arm.name}, emulated over a serial port, drawn with seed {findings.seed}"),
        ("took", f"{seconds:.0f} s, from the arm's start to its park pose"),
        *((f"reached by {policy}", told) for policy, told in _reached(story)),
    ]
    if not findings.bundle:
        rows.append(("Dreamer", "no trained bundle ships with this version: only the planner reached for targets"))
    # The planner and the fits run on torch, of which the control process knows nothing.
    versions = {**story.records["reach"].header.versions, "torch": version("torch")}
    return [*rows, ("versions", ", ".join(f"{name} {number}" for name, number in versions.items()))]


def _reached(story: _Story) -> list[tuple[str, str]]:
    """What came of each policy's targets."""
    rows = []
    for policy in policy_colours(story.legs):
        legs = [leg for leg in story.legs if short_name(leg.leg.policy) == policy]
        reached = [leg for leg in legs if leg.reached(TOLERANCE)]
        left = [1e3 * float(leg.distance[-1]) for leg in legs if not leg.cut_short]
        told = f"{len(reached)} of {len(legs)} targets, tool within {1e3 * TOLERANCE:.0f} mm at the end"
        if left:
            told += f"; {float(np.median(left)):.1f} mm left in the median, {max(left):.1f} mm at most"
        rows.append((policy, told))
    return rows


def _timeline(story: _Story) -> list[tuple[str, str]]:
    """Events, and the stops of all flights."""
    told = [(event.stamp_ns, event.text) for event in story.events]
    for name, record in story.records.items():
        begin_ns = int(record.frames["wake_ns"][0]) if len(record.frames) else 0
        told += [
            (begin_ns + round(stop.time * NANOSECONDS), f"{stop.state} ({name}): {stop.cause}")
            for stop in story.summaries[name].stops
        ]
    told.sort()
    start_ns = told[0][0]
    return [(f"{(stamp_ns - start_ns) / NANOSECONDS:.2f}", text) for stamp_ns, text in told]


def _arm_part(drawing: _Drawing, story: _Story, findings: Findings) -> list[str]:
    """Where the tool went, drawn by the physics' renderer where this machine has one."""
    poses = [leg.frames["position"][-1, : len(findings.arm.joints)] for leg in story.legs]
    parts = [heading("Where the tool went")]
    paths = draw_paths([skeleton(findings.arm, pose) for pose in poses], story.legs)
    trouble = render_arm(findings.arm, poses, story.legs, drawing.path("arm"))
    if trouble is None:
        parts.append(picture(drawing.path("arm").read_bytes(), "the arm at its last target, with the tool's paths"))
        ways = [f"in {COLOUR_NAMES[colour]} under {policy}" for policy, colour in policy_colours(story.legs).items()]
        parts.append(paragraph(f"Targets in {COLOUR_NAMES[GREEN]}; the tool's way {', '.join(ways)}."))
    else:
        parts.append(paragraph(f"No picture of the arm itself: {trouble}. Its joints are drawn as lines."))
    parts.append(drawing.add("paths", paths, "the tool's paths, the goals, and the arm's joints"))
    return [*parts, paragraph("Places follow from the measured joint angles by the arm's published kinematics.")]


def _limits_part(story: _Story, findings: Findings) -> list[str]:
    """Limits that were wider here than they are for such an arm, or narrower."""
    changed = changed_limits(monitor_settings(findings.arm), story.records["reach"].header.monitor)
    if not changed:
        return []
    return [
        heading("Limits that are not the arm's own"),
        table(("limit", "the arm's own", "in this demonstration"), changed),
        paragraph("The emulated arm, the control loop and the planner share this computer, and wait for each other."),
    ]


def _targets_part(drawing: _Drawing, story: _Story) -> list[str]:
    rows = []
    for leg in story.legs:
        arrived = leg.time_to(TOLERANCE)
        goal = ", ".join(f"{value:.3f}" for value in leg.leg.goal or ())
        end = "cut short by a stop" if leg.cut_short else f"{1e3 * float(leg.distance[-1]):.1f}"
        within = "-" if arrived is None or leg.cut_short else f"{arrived:.2f}"
        rows.append((short_name(leg.leg.policy), goal, f"{1e3 * float(leg.distance[0]):.0f}", end, within))
    return [
        heading("Targets"),
        drawing.add("targets", draw_targets(story.legs, TOLERANCE), "way left to the goal over the time of each leg"),
        table(
            (
                "policy",
                "goal [m]",
                "at first [mm]",
                "at the end [mm]",
                f"within {1e3 * TOLERANCE:.0f} mm and stayed after [s]",
            ),
            rows,
        ),
    ]


def _disturbances_part(drawing: _Drawing, story: _Story, findings: Findings) -> list[str]:
    last, calibration = story.records["reach"], findings.calibration
    rows = [
        (
            f"{number}. {reaction.event.text}",
            "; ".join(f"{name} after {1e3 * seconds:.0f} ms" for name, seconds in reaction.milder) or "-",
            "no" if reaction.stopped is None else f"after {1e3 * reaction.stopped:.0f} ms",
            reaction.cause or "-",
        )
        for number, reaction in enumerate(story.reactions, start=1)
    ]
    stopped = [
        (f"{stop.time:.2f}", stop.state, stop.cause, stop.braking or "no motion was commanded")
        for stop in story.summaries["reach"].stops
    ]
    return [
        heading("The monitor's doubt, and what was done to the arm"),
        paragraph(_promise(story, findings)),
        drawing.add(
            "doubt",
            draw_doubt(last.frames, calibration.thresholds, story.events),
            "both scores of doubt with thresholds, verdicts and the numbered disturbances",
        ),
        table(("disturbance", "slowed or held", "stopped", "by"), rows),
        heading("Stops of the last flight, planned and measured"),
        table(("time [s]", "state", "cause", "braking"), stopped),
    ]


def _promise(story: _Story, findings: Findings) -> str:
    pace, legs = findings.pace, story.legs
    causes = [_end_of(leg, story) for leg in legs if leg.cut_short]
    doubted = sum(is_doubt(told) for told in causes)
    return (
        f"Thresholds by split-conformal prediction from {len(findings.calibration.calibrated)} nominal legs of "
        f"{pace.dwell:g} s on this arm, which no model was fitted to: of further legs like those, doubt stops at most "
        f"{pace.alpha:.0%}, both scores together, in the mean over many arms. Here doubt ended {doubted} of "
        f"{len(legs)} undisturbed legs, and something else {len(causes) - doubted}. Legs of one flight follow each "
        "other on one arm: the promise is for more of the same, not for another arm, other goals or other policies."
    )


def _end_of(leg: FlownLeg, story: _Story) -> str:
    """What cut `leg` of the last flight short, empty where the run was over."""
    begin_ns, last_ns = int(story.records["reach"].frames["wake_ns"][0]), int(leg.frames["wake_ns"][-1])
    stops = story.summaries["reach"].stops
    return next((stop.cause for stop in stops if begin_ns + round(stop.time * NANOSECONDS) > last_ns), "")


def _models_part(drawing: _Drawing, findings: Findings) -> list[str]:
    fit, calibration = findings.fit, findings.calibration
    planned = "The fitted model planned." if fit.kept else "The twin's model stayed the better one, and planned."
    return [
        heading("What was learned of this arm"),
        paragraph(
            f"The planner's model was trained on the twin and fitted to {fit.rows} steps of this arm's exploration "
            f"and as many of the twin. The figure compares both on the part that was held out. {planned}"
        ),
        drawing.add("growth", draw_growth(fit, CONTROL_PERIOD), "error of the planner's models against the time ahead"),
        paragraph("Scores of the nominal legs by the monitor's model, with the thresholds that were taken from them:"),
        drawing.add("scores", draw_scores(calibration), "distribution of the nominal legs' scores, with thresholds"),
        paragraph("How often measured changes lie within the interval that the monitor's model predicts:"),
        drawing.add("reliability", draw_reliability(calibration.errors), "observed against predicted coverage"),
    ]


def _logs_part(story: _Story) -> list[str]:
    parts = [heading("The logs")]
    for name, record in story.records.items():
        parts += [paragraph(f"{name}: {record.path.name}"), table((), summary_rows(record, story.summaries[name]))]
    return parts


def _conclusions(story: _Story) -> list[str]:
    """The outcome in a few lines, for the terminal."""
    lines = [f"{policy}: {told}" for policy, told in _reached(story)]
    for reaction in story.reactions:
        answer = "; ".join(f"{name} after {1e3 * seconds:.0f} ms" for name, seconds in reaction.milder)
        if reaction.stopped is not None:
            answer = f"stopped after {1e3 * reaction.stopped:.0f} ms by {reaction.cause}"
        lines.append(f"{reaction.event.text}: {answer or LET_PASS}")
    return lines
