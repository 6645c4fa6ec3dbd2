"""Category 1: the torque goes off when the arm rests, and not when only its goals do."""

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ServoOverheat
from robot_mbrl.contracts.frame import ControlState, Request
from robot_mbrl.contracts.rest import REST_TIME
from robot_mbrl.contracts.types import JointState, StopCategory
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.departure import Departure
from robot_mbrl.runtime.monitor_setup import build_monitor
from tests.runtime.wired_arm import LOOP, WiredTwin

ARM = load_arm("so101_follower")
BEGINNING = np.array([-0.8, -0.6, 0.5, 0.9, 0.0, 0.2])
SPEED = 3.5


def swung(category: StopCategory, departure: Departure) -> WiredTwin:
    """A running arm that swings its base at `SPEED`."""
    cell = WiredTwin(ARM, build_monitor(ARM), category=category, departure=departure)
    cell.run()
    cell.lead(BEGINNING, 1.0, 5.0)
    end = BEGINNING.copy()
    end[0] = 0.8
    cell.lead(end, SPEED, 0.25)
    assert cell.state() is ControlState.RUNNING
    return cell


def test_a_release_is_refused_until_the_arm_rests_after_the_drivers_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver has braked, category 2, and its joints still trail the goals."""
    cell = swung(StopCategory.HOLD, Departure())
    loop, twin = cell.loop, cell.robot

    def break_down() -> JointState:
        monkeypatch.undo()
        raise ServoOverheat("elbow_flex (ID 3): too hot")

    monkeypatch.setattr(twin, "read", break_down)
    loop.tick()
    assert loop.state is ControlState.FAULT
    refused = 0
    for _ in range(400):
        before = twin.true_position()
        cell.ask(Request.RELEASE)
        loop.tick()
        speed = float(np.abs(twin.true_position() - before).max() * LOOP.rate)
        if not twin.has_torque:
            break
        refused += 1
    assert refused >= REST_TIME * LOOP.rate
    assert not twin.has_torque
    assert speed < 0.1


@pytest.mark.parametrize("how", ["a stop of category 1", "the end of a run that releases"])
def test_the_torque_goes_off_where_the_joints_rest(how: str) -> None:
    ends = how.startswith("the end")
    category = StopCategory.HOLD if ends else StopCategory.RAMP_OFF
    cell = swung(category, Departure(release=ends))
    loop, twin = cell.loop, cell.robot
    if ends:
        loop.leave()
    else:
        cell.ask(Request.STOP)
    fastest = 0.0
    before = twin.true_position()
    for _ in range(600):
        loop.tick()
        now = twin.true_position()
        fastest = max(fastest, float(np.abs(now - before).max() * LOOP.rate))
        if not twin.has_torque:
            break
        before = now
    assert fastest > 3.0, "the arm was not in full swing"
    assert not twin.has_torque
    held = before[0]
    for _ in range(100):
        loop.tick()
    assert abs(twin.true_position()[0] - held) < 0.01
