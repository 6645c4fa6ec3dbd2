"""Category 1: the torque goes off when the arm rests, and not when only its goals do."""

import numpy as np
import pytest

from robot_mbrl.contracts.clock import ManualClock, to_ns
from robot_mbrl.contracts.errors import ServoOverheat
from robot_mbrl.contracts.frame import ACTION_DTYPE, REQUEST_DTYPE, ControlState, Request, empty
from robot_mbrl.contracts.rest import REST_TIME
from robot_mbrl.contracts.types import FloatArray, JointState, StopCategory
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.conductor import Conductor
from robot_mbrl.runtime.control_loop import ControlLoop, Wires
from robot_mbrl.runtime.departure import Departure
from robot_mbrl.runtime.inbox import ActionBox, RequestBox
from robot_mbrl.runtime.monitor_setup import build_monitor
from robot_mbrl.runtime.settings import LoopSettings
from robot_mbrl.sim.twin import Twin
from tests.runtime.rig import Frames, Mailbox

ARM = load_arm("so101_follower")
LOOP = LoopSettings(rate=200.0, policy_rate=25.0)
BEGINNING = np.array([-0.8, -0.6, 0.5, 0.9, 0.0, 0.2])
SPEED = 3.5


def swung(category: StopCategory, departure: Departure) -> tuple[ControlLoop, Twin, Mailbox, ManualClock]:
    """A loop whose arm swings its base at `SPEED`."""
    clock = ManualClock()
    twin = Twin(ARM, clock=clock)
    twin.connect()
    requests, actions = Mailbox(), Mailbox()
    conductor = Conductor.of(twin, ARM, LOOP, category, lambda _: None)
    wires = Wires(RequestBox(requests, clock.now_ns()), ActionBox(actions, 6), Frames())
    loop = ControlLoop(conductor, build_monitor(ARM), wires, clock, LOOP, departure=departure)

    def lead(start: FloatArray, end: FloatArray, speed: float, seconds: float) -> None:
        duration = max(float(np.abs(end - start).max()) / speed, 1e-3)
        for tick in range(round(seconds * LOOP.rate)):
            if tick % 8 == 0:
                record = empty(ACTION_DTYPE)
                record["stamp_ns"], record["expires_ns"] = clock.now_ns(), clock.now_ns() + to_ns(0.15)
                record["position"][0, :6] = start + min(tick / LOOP.rate / duration, 1.0) * (end - start)
                actions.records.append(record)
            loop.tick()

    start = twin.goal_position
    for request in (Request.ARM, Request.RUN):
        ask(requests, clock, request)
        lead(start, start, 1.0, 0.2)
    lead(start, BEGINNING, 1.0, 5.0)
    end = BEGINNING.copy()
    end[0] = 0.8
    lead(BEGINNING, end, SPEED, 0.25)
    assert loop.state is ControlState.RUNNING
    return loop, twin, requests, clock


def ask(requests: Mailbox, clock: ManualClock, request: Request) -> None:
    """Put a request into the channel."""
    record = empty(REQUEST_DTYPE)
    record["stamp_ns"], record["request"] = clock.now_ns(), request
    requests.records.append(record)


def test_a_release_is_refused_until_the_arm_rests_after_the_drivers_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver has braked, category 2, and its joints still trail the goals."""
    loop, twin, requests, clock = swung(StopCategory.HOLD, Departure())

    def break_down() -> JointState:
        monkeypatch.undo()
        raise ServoOverheat("elbow_flex (ID 3): too hot")

    monkeypatch.setattr(twin, "read", break_down)
    loop.tick()
    assert loop.state is ControlState.FAULT
    refused = 0
    for _ in range(400):
        before = twin.true_position()
        ask(requests, clock, Request.RELEASE)
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
    loop, twin, requests, clock = swung(category, Departure(release=ends))
    if ends:
        loop.leave()
    else:
        ask(requests, clock, Request.STOP)
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
