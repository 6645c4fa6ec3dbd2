"""The story of a flight: states, stops with their causes, rates, losses."""

from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.contracts.frame import ControlState, StopCause
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.data.reader import FlightRecord
from robot_mbrl.data.story import cause, is_stop, spans, state_name, stops
from robot_mbrl.data.summary import summarize
from robot_mbrl.safety.state_machine import LATCHED
from tests.data.flights import MILLISECOND, flight, header, stop


def record(frames: FrameArray) -> FlightRecord:
    """A log of `frames`."""
    return FlightRecord(Path("flight.mcap"), header(), frames, (), complete=True, unreadable=0)


@pytest.mark.parametrize("before", ControlState)
@pytest.mark.parametrize("after", ControlState)
def test_a_stop_is_coming_into_a_latched_state_or_from_stopped_into_fault(
    before: ControlState, after: ControlState
) -> None:
    expected = after in LATCHED and before not in LATCHED
    assert is_stop(before, after) == (expected or (before, after) == (ControlState.STOPPED, ControlState.FAULT))


def test_spans_cover_the_flight() -> None:
    frames = flight(100)
    frames["state"][:30] = ControlState.IDLE
    stop(frames, 80)
    found = spans(frames)
    assert [span.state for span in found] == ["idle", "running", "stopped"]
    assert [span.seconds for span in found] == pytest.approx([0.030, 0.050, 0.019])
    assert stops(frames) == [80]
    assert spans(frames[:0]) == []


def test_a_state_that_does_not_exist_has_a_name_all_the_same() -> None:
    assert state_name(ControlState.PARKING) == "parking"
    assert state_name(99) == "state 99"


def stopped_by(**fields: object) -> str:
    """The cause told for a stop whose last frame before had `fields`; `stop_cause` goes into the stopped frames."""
    frames = flight(100)
    frames["state"][50:] = ControlState.STOPPED
    frames["stop_cause"][50:] = fields.pop("stop_cause", StopCause.NONE)
    for name, value in fields.items():
        frames[name][49:] = value
    return cause(frames, 50, header())


def test_causes_are_told_by_what_the_frames_show() -> None:
    errors = np.zeros(8, np.int32)
    errors[2] = 4
    assert stopped_by(stop_cause=StopCause.EMERGENCY) == "emergency"
    assert stopped_by(stop_cause=77) == "stop cause 77"
    assert stopped_by(hardware_error=errors) == "hardware error of elbow_flex"
    assert stopped_by(timeouts=3) == "the bus failed"
    assert stopped_by(action_expires_ns=1) == "the policy's action expired"
    assert stopped_by() == "no cause in the frames"


def test_a_stop_of_a_hold_that_lasted_too_long_is_told_as_such() -> None:
    frames = flight(100)
    frames["verdict"][20:49], frames["verdict"][49:] = VerdictLevel.HOLD, VerdictLevel.STOP
    frames["reason"][20:], frames["reason_joint"][20:] = 0, -1
    frames["value"][20:], frames["limit"][20:] = 1.5, 1.0
    frames["state"][50:] = ControlState.STOPPED
    told = f"{header().check_names[0]}: 1.5 against a limit of 1"
    assert cause(frames, 50, header()) == f"on hold for too long by {told}"
    frames["limit"][20:49] = 0.5
    assert cause(frames, 50, header()) == told


def test_a_console_that_fell_silent_is_told_by_how_long_it_was_to_be_heard() -> None:
    frames = flight(100)
    frames["state"][50:] = ControlState.STOPPED
    frames["heartbeat_ns"] = frames["wake_ns"][0]
    patient, impatient = (header(settings={"loop": {"heartbeat": seconds}}) for seconds in (0.051, 0.049))
    assert cause(frames, 50, impatient) == "the operator's console fell silent"
    assert cause(frames, 50, patient) == cause(frames, 50, header()) == "no cause in the frames"
    frames["heartbeat_ns"] = -1
    assert cause(frames, 50, impatient) == "no cause in the frames"


def test_a_summary_counts_time_rate_losses_and_verdicts() -> None:
    frames = flight(1000, period_ns=5 * MILLISECOND)
    stop(frames, 600)
    frames["missed_ticks"][500:] = 4
    for name in ("deadline_ns", "wake_ns"):
        frames[name][500:] += 20 * MILLISECOND
    frames["wake_ns"][700] += 2 * MILLISECOND
    summary = summarize(record(np.concatenate([frames[:100], frames[110:]])))
    assert (summary.frames, summary.lost_frames, summary.missed_ticks) == (990, 10, 4)
    assert summary.seconds == pytest.approx(5.015)
    assert summary.rate == pytest.approx(200.0)
    assert summary.lateness[0] == pytest.approx(20e-6)
    assert summary.lateness[3] == pytest.approx(2.02e-3)
    assert summary.verdicts == {"pass": 989, "stop": 1}
    assert summary.state_seconds["running"] == pytest.approx(3.020)
    [found] = summary.stops
    assert (found.tick, found.state) == (600, "stopped")
    assert found.time == pytest.approx(3.020)
    assert found.cause == "measured_position of elbow_flex: 1.75 against a limit of 1.69"


def test_a_log_without_frames_has_a_summary() -> None:
    assert summarize(record(flight(0))).frames == 0
