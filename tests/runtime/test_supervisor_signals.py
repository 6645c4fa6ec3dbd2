"""A signal ends a run whenever it comes, also while the run is being brought to its end for another reason."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.ending_signals import ENDING_SIGNALS
from tests.runtime.supervised import Supervised

RUNS = 6.0
"""When the arm runs for sure [s]: control begins at 5 s."""
STAYS = "emergency stop: the arm stays where it is"


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(f"test-signals-{os.getpid()}") as opened:
        yield opened


def interrupt() -> None:
    """Press Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


class Interrupted(Supervised):
    """A flight in which Ctrl-C is pressed when the operator is told `line`, or, without one, when the crew is ended."""

    line = ""

    def tell(self, line: str) -> None:
        super().tell(line)
        if self.line and self.line in line:
            interrupt()

    def end(self, _tell: Callable[[str], None]) -> None:
        if not self.line:
            interrupt()


class Raising(Supervised):
    """A flight whose operator fails at the way to the park pose; it notes whether the crew was ended nevertheless."""

    crew_ended = False

    def show(self, _frame: object) -> None:
        if self.states[-1] is ControlState.PARKING:
            raise RuntimeError("the operator is out of his mind")

    def end(self, _tell: Callable[[str], None]) -> None:
        self.crew_ended = True


@pytest.mark.parametrize("number", ENDING_SIGNALS)
def test_one_on_the_way_to_the_park_pose_stops_the_arm_and_is_how_the_run_ended(
    session: Session, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    flight = Supervised(session, park=True)
    flight.events = [(RUNS, "q"), (RUNS + 0.1, lambda: signal.raise_signal(number))]
    ending = flight.fly(monkeypatch)
    assert (ending.told, ending.code) == (f"ended by {number.name}", 128 + number)
    assert flight.states[-2:] == [ControlState.PARKING, ControlState.STOPPED]
    assert flight.told.count(STAYS) == 1


@pytest.mark.parametrize("line", ["ended by the key q", "", " missed; "])
def test_one_at_any_other_moment_of_the_end_lets_the_arm_park_and_counts(
    session: Session, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """As the end begins; while the processes are ended; when all is told."""
    flight = Interrupted(session, park=True)
    flight.line = line
    flight.events = [(RUNS, "q")]
    assert flight.fly(monkeypatch).code == 128 + signal.SIGINT
    assert flight.control_loop().motion.parked
    assert STAYS not in flight.told


def test_the_one_that_ended_the_run_is_no_second_one(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = Supervised(session, park=True)
    flight.events = [(RUNS, interrupt)]
    ending = flight.fly(monkeypatch)
    assert (ending.told, ending.code) == ("ended by SIGINT", 128 + signal.SIGINT)
    assert flight.control_loop().motion.parked
    assert STAYS not in flight.told


def test_a_second_one_is_an_emergency_stop(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = Supervised(session, park=True)
    flight.events = [(RUNS, interrupt), (RUNS + 0.1, lambda: signal.raise_signal(signal.SIGTERM))]
    assert flight.fly(monkeypatch).code == 128 + signal.SIGINT
    assert flight.states[-2:] == [ControlState.PARKING, ControlState.STOPPED]
    assert flight.told.count(STAYS) == 1


def test_a_stop_stays_the_reason_whatever_comes_after_it(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = Interrupted(session)
    flight.present = False
    flight.line = "the arm was stopped"
    flight.events = [(RUNS, " ")]
    assert flight.fly(monkeypatch).code == 13


def test_after_the_run_a_signal_does_what_it_did_before(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = Supervised(session)
    flight.events = [(RUNS, "q")]
    before = [signal.getsignal(number) for number in (*ENDING_SIGNALS, signal.SIGTSTP)]
    assert flight.fly(monkeypatch).code == 0
    assert [signal.getsignal(number) for number in (*ENDING_SIGNALS, signal.SIGTSTP)] == before
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_the_processes_are_ended_whatever_fails_before(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = Raising(session, park=True)
    flight.events = [(RUNS, "q")]
    with pytest.raises(RuntimeError, match="out of his mind"):
        flight.fly(monkeypatch)
    assert flight.crew_ended
