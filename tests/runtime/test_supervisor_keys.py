"""What the keys do that a run has while its arm is stopped or held, and what is told of them."""

import os
from collections.abc import Callable, Iterator

import pytest

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.frame import ControlState, Request
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.inbox import RequestBox
from robot_mbrl.runtime.policy_process import Cockpit
from robot_mbrl.runtime.requests import RequestRecords
from tests.runtime.supervised import Supervised

RUNS = 6.0
"""When the arm runs for sure [s]: control begins at 5 s."""
SWITCHES = frozenset({Request.USE_POLICY, Request.USE_STANDBY})


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(f"test-keys-{os.getpid()}") as opened:
        yield opened


class TwoPolicies(Supervised):
    """A flight with the policy process's own answers to who is to act.

    Attributes:
        asked: requests for another policy.
        hold_ends: how many of these the policy process hears when the arm, to its knowledge, runs again.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session, standby="sine")
        self.asked: list[Request] = []
        self.hold_ends = 0
        self._cockpit = Cockpit(self.settings, ManualClock())
        self._inbox = RequestBox(RequestRecords(session), 0)

    def say(self, tell: Callable[[str], None]) -> None:
        """What the policy process answers."""
        for request in self._inbox.take(self.now_ns()):
            if request in SWITCHES:
                self.asked.append(request)
                unheld = len(self.asked) <= self.hold_ends
                told = self._cockpit.obey(request, ControlState.RUNNING if unheld else self.control_loop().state())
                assert told is not None
                tell(told)


def test_a_switch_that_was_refused_is_asked_for_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = TwoPolicies(session)
    flight.hold_ends = 1
    flight.events = [(RUNS, "h"), (RUNS + 0.5, "p"), (RUNS + 1.0, "p"), (RUNS + 1.5, "p"), (RUNS + 2.0, "q")]
    assert flight.fly(monkeypatch).code == 0
    assert flight.asked == [Request.USE_STANDBY, Request.USE_STANDBY, Request.USE_POLICY]
    assert [line.endswith("hold it first") for line in flight.told if line.startswith("policy: ")] == [
        True,
        False,
        False,
    ]
    assert not any("acts already" in line for line in flight.told)


STOP_RESET_HOLD = [(RUNS, " "), (RUNS + 1.0, "r"), (RUNS + 1.5, "g"), (RUNS + 3.0, "h"), (RUNS + 4.0, "q")]


def test_who_can_press_keys_is_told_which(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = Supervised(session)
    flight.events = [*STOP_RESET_HOLD]
    assert flight.fly(monkeypatch).code == 0
    for line in (
        "the arm was stopped: on paper; keys: r resets, then g arms and goes on, q ends",
        "reset; the arm holds as it did; keys: g arms and goes on, q ends",
        "held; keys: g goes on, q ends",
        "ended by the key q",
    ):
        assert line in flight.told


def test_who_only_looks_on_is_told_what_happened(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    flight = Supervised(session, hints=False)
    flight.events = [*STOP_RESET_HOLD]
    assert flight.fly(monkeypatch).code == 0
    for line in ("the arm was stopped: on paper", "reset; the arm holds as it did", "held", "ended as planned"):
        assert line in flight.told
    assert not any("key" in line for line in flight.told)
