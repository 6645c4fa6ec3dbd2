"""A flight in figures: how long, how fast, how late, in which states, and why it stopped."""

from dataclasses import dataclass

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.types import FloatArray, VerdictLevel
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.data.log_header import LogHeader
from robot_mbrl.data.plan_figures import PlanFigures, plan_figures
from robot_mbrl.data.reader import FlightRecord
from robot_mbrl.data.stop_figures import compare_stops, observed_stop, planned_stop
from robot_mbrl.data.story import cause, lost_between, spans, state_name, stops


@dataclass(frozen=True, slots=True)
class Stop:
    """One stop.

    Attributes:
        tick: of the first frame in the stopped state.
        time: since the log's first frame [s].
        state: that the arm came to.
        cause: who or what stopped it.
        planned_seconds: what braking was to take [s]; None where nothing was commanded.
        measured_seconds: what it took until all joints were at rest [s]; None where the log does not show that.
        braking: both and their distances in words, empty where nothing was commanded.
    """

    tick: int
    time: float
    state: str
    cause: str
    planned_seconds: float | None = None
    measured_seconds: float | None = None
    braking: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """What `robot-mbrl log info` tells.

    Attributes:
        frames: in the log.
        seconds: from the first tick to the last [s].
        rate: of the ticks that were due [Hz]: skipped ones count.
        missed_ticks: that the loop skipped.
        lost_frames: that the recorder did not get.
        lateness: p50, p99, p99.9 and maximum of how late ticks began [s].
        state_seconds: time in each state [s].
        verdicts: frames by verdict.
        stops: in order.
        plans: of a planning policy; None where there are none.
    """

    frames: int
    seconds: float
    rate: float
    missed_ticks: int
    lost_frames: int
    lateness: tuple[float, float, float, float]
    state_seconds: dict[str, float]
    verdicts: dict[str, int]
    stops: tuple[Stop, ...]
    plans: PlanFigures | None = None


_VERDICTS = {int(level): level.name.lower() for level in VerdictLevel}


def seconds_since_start(frames: FrameArray) -> FloatArray:
    """(k,) when each tick began, counted from the first [s]."""
    return np.asarray((frames["wake_ns"] - frames["wake_ns"][:1]) / NANOSECONDS, np.float64)


def summarize(record: FlightRecord) -> Summary:
    """The figures of a log; all zero for one without frames."""
    frames, header = record.frames, record.header
    if not len(frames):
        return Summary(0, 0.0, 0.0, 0, 0, (0.0, 0.0, 0.0, 0.0), {}, {}, ())
    first, last = frames[0], frames[-1]
    seconds = (int(last["wake_ns"]) - int(first["wake_ns"])) / NANOSECONDS
    due = (int(last["deadline_ns"]) - int(first["deadline_ns"])) / NANOSECONDS
    lost = lost_between(first, last, len(frames))
    missed = int(last["missed_ticks"]) - int(first["missed_ticks"])
    late = np.percentile((frames["wake_ns"] - frames["deadline_ns"]) / NANOSECONDS, [50, 99, 99.9, 100]).tolist()
    in_state: dict[str, float] = {}
    for span in spans(frames):
        in_state[span.state] = in_state.get(span.state, 0.0) + span.seconds
    levels, counts = np.unique(frames["verdict"], return_counts=True)
    return Summary(
        frames=len(frames),
        seconds=seconds,
        rate=(len(frames) - 1 + lost + missed) / due if due > 0 else 0.0,
        missed_ticks=missed,
        lost_frames=lost,
        lateness=(late[0], late[1], late[2], late[3]),
        state_seconds=in_state,
        verdicts={
            _VERDICTS.get(int(level), f"verdict {level}"): int(n) for level, n in zip(levels, counts, strict=True)
        },
        stops=tuple(_stop(frames, index, header) for index in stops(frames)),
        plans=plan_figures(record.plans, frames),
    )


def _stop(frames: FrameArray, index: int, header: LogHeader) -> Stop:
    time = (int(frames["wake_ns"][index]) - int(frames["wake_ns"][0])) / NANOSECONDS
    planned = planned_stop(frames, index, header)
    measured = observed_stop(frames, index, header)
    return Stop(
        tick=int(frames["tick"][index]),
        time=time,
        state=state_name(int(frames["state"][index])),
        cause=cause(frames, index, header),
        planned_seconds=None if planned is None else planned.duration,
        measured_seconds=None if measured is None else measured.duration,
        braking="" if planned is None else compare_stops(header.arm.joint_names, planned, measured),
    )
