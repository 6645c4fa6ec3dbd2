"""What is told of the monitor's reactions: times since the disturbance, and what stopped the arm."""

import pytest

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.demo.journal import Event
from robot_mbrl.demo.reactions import reactions
from tests.data.flights import CHECK_NAMES, header
from tests.demo.frames import flight

RUNNING, SLOWED, HOLDING, STOPPED = (
    ControlState.RUNNING,
    ControlState.SLOWED,
    ControlState.HOLDING,
    ControlState.STOPPED,
)


CHECKS = (*CHECK_NAMES, "disagreement", "residual")
"""Those of doubt are there where it has thresholds."""


def disturbance(seconds: float, kind: str = "disturbance") -> Event:
    return Event(stamp_ns=to_ns(seconds), kind=kind, text="a load")


def stopped_by(check: str, frames: FrameArray) -> FrameArray:
    """`frames`, in which `check` stops the arm in the last tick before the first stopped one."""
    row = int((frames["state"] == STOPPED).argmax()) - 1
    frames["verdict"][row], frames["reason"][row] = VerdictLevel.STOP, CHECKS.index(check)
    frames["value"][row], frames["limit"][row] = 3.0, 2.0
    return frames


def test_a_stop_by_doubt() -> None:
    frames = stopped_by("residual", flight((1.0, RUNNING), (0.2, SLOWED), (1.0, STOPPED)))
    (found,) = reactions(frames, header(check_names=CHECKS), [disturbance(0.9)])
    assert [(name, pytest.approx(seconds)) for name, seconds in found.milder] == [("slowed", pytest.approx(0.1))]
    assert found.stopped == pytest.approx(0.3)
    assert found.cause.startswith("residual")
    assert found.by_doubt


def test_a_stop_by_another_check_is_not_doubts() -> None:
    frames = stopped_by("tracking_error", flight((1.0, RUNNING), (1.0, STOPPED)))
    (found,) = reactions(frames, header(check_names=CHECKS), [disturbance(0.5)])
    assert found.cause.startswith("tracking_error")
    assert not found.by_doubt


def test_what_happens_after_it_was_undone_does_not_count() -> None:
    frames = stopped_by("residual", flight((1.0, RUNNING), (0.5, HOLDING), (1.0, STOPPED)))
    (found,) = reactions(frames, header(check_names=CHECKS), [disturbance(0.1), disturbance(0.9, "action")])
    assert (found.milder, found.stopped, found.cause, found.by_doubt) == ((), None, "", False)


def test_only_disturbances_are_reacted_to() -> None:
    assert (
        reactions(
            flight((1.0, RUNNING)), header(check_names=CHECKS), [disturbance(0.2, "stage"), disturbance(0.5, "action")]
        )
        == []
    )
