"""How a run ends."""

import numpy as np
import pytest

from robot_mbrl.contracts.frame import ControlState, Request
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.runtime.departure import Departure
from tests.runtime.rig import PARK, Rig


def leave(rig: Rig, limit: int = 1000) -> list[str]:
    """Leave, and tick until the run is over; the states that were passed. What the monitor held is let go at once."""
    rig.loop.leave()
    states = [rig.state().name]
    while not rig.loop.over:
        assert rig.loop.ticks < limit
        rig.tick()
        rig.judge.level = VerdictLevel.PASS
        if rig.state().name != states[-1]:
            states.append(rig.state().name)
    return states


@pytest.mark.parametrize(
    ("state", "park", "release", "passed", "torque"),
    [
        (ControlState.IDLE, True, True, ["IDLE"], False),
        (ControlState.ARMED, False, False, ["ARMED", "STOPPED"], True),
        (ControlState.ARMED, False, True, ["ARMED", "IDLE"], False),
        (ControlState.ARMED, True, False, ["ARMED", "PARKING", "STOPPED"], True),
        (ControlState.RUNNING, False, False, ["RUNNING", "STOPPED"], True),
        (ControlState.RUNNING, False, True, ["RUNNING", "STOPPED"], False),
        (ControlState.RUNNING, True, True, ["RUNNING", "PARKING", "IDLE"], False),
        (ControlState.HOLDING, True, False, ["HOLDING", "ARMED", "PARKING", "STOPPED"], True),
        (ControlState.STOPPED, True, False, ["STOPPED"], True),
        (ControlState.STOPPED, True, True, ["STOPPED"], False),
        (ControlState.FAULT, True, True, ["FAULT"], True),
    ],
)
def test_the_way_out(state: ControlState, park: bool, release: bool, passed: list[str], torque: bool) -> None:
    rig = Rig(departure=Departure(park=park, release=release))
    rig.arrange(state)
    states = leave(rig)
    assert states == passed
    assert rig.arm.has_torque == torque
    if park and state not in {ControlState.IDLE, ControlState.STOPPED, ControlState.FAULT}:
        assert rig.arm.position == pytest.approx(PARK)


def test_a_second_signal_skips_the_parking() -> None:
    rig = Rig(departure=Departure(park=True))
    rig.arrange(ControlState.ARMED)
    rig.loop.leave()
    rig.tick(20)
    assert rig.state() is ControlState.PARKING
    assert leave(rig) == ["PARKING", "STOPPED"]
    assert np.abs(rig.arm.position - PARK).max() > 0.1


def test_an_emergency_stop_on_the_way_out_ends_it_there() -> None:
    rig = Rig(departure=Departure(park=True, release=False))
    rig.arrange(ControlState.ARMED)
    rig.loop.leave()
    rig.tick(20)
    rig.ask(Request.EMERGENCY_STOP)
    while not rig.loop.over:
        rig.tick()
    assert rig.state() is ControlState.STOPPED
    assert rig.arm.has_torque
