"""A stop that a person asked for holds, whatever else is under way: the start, a reset, the way to the park pose."""

import os
import signal
from collections.abc import Iterator

import pytest

from robot_mbrl.contracts.frame import ControlState, Request
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.requests import RequestSender
from robot_mbrl.runtime.supervisor import RESET_PATIENCE
from tests.runtime.supervised import AFTER, STARTING, Supervised

RUNS = 6.0
"""When the arm runs for sure [s]: control begins at 5 s."""


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(f"test-supervised-{os.getpid()}") as opened:
        yield opened


def stop_for_now(flight: Supervised) -> None:
    """Let the monitor say stop, until `relent`: as long a reset is refused."""
    flight.control_loop().judge.level = VerdictLevel.STOP


def relent(flight: Supervised) -> None:
    """Let the monitor find nothing any more."""
    flight.control_loop().judge.level = VerdictLevel.PASS


def test_a_run_without_stops(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = Supervised(session)
    flight.events = [(RUNS, "q")]
    assert flight.fly(monkeypatch).code == 0
    assert flight.states[:2] == [ControlState.ARMED, ControlState.RUNNING]
    assert flight.noted == flight.told
    assert "ended by the key q" in flight.noted


def test_the_loop_goes_on_after_a_stop_for_as_long_as_its_incident_file(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    flight = Supervised(session)
    flight.events = [(RUNS, " "), (RUNS + 0.1, "q")]
    assert flight.fly(monkeypatch).code == 0
    frames = flight.control_loop().frames.sent
    stopped = [int(frame["wake_ns"][0]) for frame in frames if frame["state"][0] == ControlState.STOPPED]
    assert AFTER <= (stopped[-1] - stopped[0]) / 1e9 < AFTER + 0.1


def test_a_signal_ends_it_sooner(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = Supervised(session)
    flight.events = [(RUNS, " "), (RUNS + 0.1, "q"), (RUNS + 0.2, lambda: signal.raise_signal(signal.SIGTERM))]
    flight.fly(monkeypatch)
    frames = flight.control_loop().frames.sent
    stopped = [int(frame["wake_ns"][0]) for frame in frames if frame["state"][0] == ControlState.STOPPED]
    assert (stopped[-1] - stopped[0]) / 1e9 < AFTER - 0.1


@pytest.mark.parametrize("key", [" ", "s"])
def test_a_stop_key_while_the_processes_start_ends_the_start(
    session: Session, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    flight = Supervised(session)
    # Whatever became of the start, the flight ends.
    flight.events = [(0.5 * STARTING, key), (RUNS, "q")]
    ending = flight.fly(monkeypatch)
    assert ending.code == 13
    assert "before the arm had torque" in ending.told
    assert flight.told[0] == ending.told
    assert ControlState.ARMED not in flight.states


def test_a_process_that_was_starting_hears_that_it_is_to_end(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = Supervised(session, park=True)
    flight.events = [(0.5 * STARTING, " "), (STARTING, flight.listen)]
    assert flight.fly(monkeypatch).code == 13
    assert flight.states == [ControlState.IDLE]
    assert flight.now_ns() < 7e9, "at the rig's 5 s it listens, and is asked within a second"


def test_a_stop_key_overrules_a_reset_that_is_being_asked_for(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    flight = Supervised(session)
    flight.events = [
        (RUNS, lambda: stop_for_now(flight)),
        (RUNS + 0.20, "r"),
        (RUNS + 0.51, " "),
        (RUNS + 0.60, lambda: relent(flight)),
        (RUNS + 4.0, "q"),
    ]
    flight.fly(monkeypatch)
    assert flight.states[-1] is ControlState.STOPPED
    assert ControlState.IDLE not in flight.states
    assert "stopped again: the reset was given up" in flight.told


def test_so_does_a_stop_from_elsewhere_and_the_next_reset_counts(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    flight = Supervised(session)
    elsewhere = RequestSender(session)
    flight.events = [
        (RUNS, lambda: stop_for_now(flight)),
        (RUNS + 0.20, "r"),
        (RUNS + 0.51, lambda: elsewhere.send(Request.EMERGENCY_STOP, flight.now_ns())),
        (RUNS + 0.60, lambda: relent(flight)),
        (RUNS + RESET_PATIENCE + 1.0, lambda: flight.states.append(ControlState.STOPPED)),
        (RUNS + RESET_PATIENCE + 1.1, "r"),
        (RUNS + RESET_PATIENCE + 2.0, "q"),
    ]
    flight.fly(monkeypatch)
    mark = flight.states.index(ControlState.STOPPED)
    assert flight.states[mark:] == [ControlState.STOPPED, ControlState.STOPPED, ControlState.IDLE]
    assert any(line.startswith("the arm refuses the reset") for line in flight.told)
    assert any(line.startswith("reset; the arm holds") for line in flight.told)


def test_a_fault_overrules_the_reset_of_a_stop(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = Supervised(session)
    flight.events = [
        (RUNS, lambda: stop_for_now(flight)),
        (RUNS + 0.20, "r"),
        (RUNS + 0.51, lambda: flight.control_loop().clock.advance(1.0)),
        (RUNS + 2.0, lambda: relent(flight)),
        (RUNS + 5.0, "q"),
    ]
    flight.fly(monkeypatch)
    assert flight.states[-1] is ControlState.FAULT
    assert "stopped again: the reset was given up" in flight.told


def test_an_arm_on_its_way_to_the_park_pose_is_stopped_when_its_guardian_ends(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    flight = Supervised(session, park=True)
    flight.events = [(RUNS, "q"), (RUNS + 0.1, lambda: setattr(flight, "guarded", False))]
    assert flight.fly(monkeypatch).code == 0
    assert flight.states[-2:] == [ControlState.PARKING, ControlState.STOPPED]
    assert flight.told.count("the guardian process ended: emergency stop, the arm stays where it is") == 1


def test_with_its_guardian_it_gets_there(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = Supervised(session, park=True)
    flight.events = [(RUNS, "q")]
    assert flight.fly(monkeypatch).code == 0
    assert ControlState.PARKING in flight.states
    assert not any("emergency stop" in line for line in flight.told)
    assert flight.control_loop().motion.parked


def test_an_arm_that_goes_on_waits_for_an_action_that_is_still_good(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy is silent while the arm is stopped: its last action from before has expired."""
    flight = Supervised(session)

    def act(acting: bool) -> None:
        flight.control_loop().acting = acting

    flight.events = [
        (RUNS, " "),
        (RUNS + 0.1, lambda: act(acting=False)),
        (RUNS + 0.8, "r"),
        (RUNS + 1.2, "g"),
        (RUNS + 1.8, lambda: act(acting=True)),
        (RUNS + 4.0, "q"),
    ]
    assert flight.fly(monkeypatch).code == 0
    assert flight.states[-3:-1] == [ControlState.ARMED, ControlState.RUNNING]
    assert not [line for line in flight.control_loop().reports if "refused" in line]
