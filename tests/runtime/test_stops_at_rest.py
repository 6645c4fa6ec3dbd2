"""A stop of an arm that nobody moves leaves it where it is: torque on, goals held, whatever was driven before."""

import numpy as np
import pytest

from robot_mbrl.contracts.frame import ControlState, Request
from robot_mbrl.contracts.types import FloatArray, StopCategory
from robot_mbrl.safety.state_machine import Event
from tests.runtime.rig import REST_TICKS, Rig, break_servo

POSE = np.array([0.6, -1.2])
STOPS = [Request.STOP, Request.EMERGENCY_STOP]


def found_with_torque(category: StopCategory = StopCategory.HOLD, pose: FloatArray = POSE) -> Rig:
    """In IDLE, at `pose` [rad], as a run that ended in a hold leaves it to the next."""
    rig = Rig(category)
    rig.arm.hold(pose)
    rig.tick(3)
    assert rig.state() is ControlState.IDLE
    return rig


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("pose", [POSE, np.array([1.3, 0.0])], ids=["within its limits", "outside of them"])
def test_a_stop_before_arming_sends_no_goals(stop: Request, pose: FloatArray) -> None:
    rig = found_with_torque(pose=pose)
    rig.ask(stop)
    rig.tick(50)
    assert rig.state() is ControlState.STOPPED
    assert rig.arm.goals == []
    assert rig.arm.has_torque


@pytest.mark.parametrize("event", [Event.TICKS_MISSED, Event.REQUEST_EMERGENCY_STOP])
def test_a_second_cause_sends_none_either(event: Event) -> None:
    rig = found_with_torque()
    rig.ask(Request.STOP)
    rig.tick(2)
    rig.conductor.handle(event)
    rig.tick(20)
    assert rig.conductor.machine.latched
    assert rig.arm.goals == []


@pytest.mark.parametrize(
    ("category", "kept"), [(StopCategory.HOLD, True), (StopCategory.RAMP_OFF, False), (StopCategory.TORQUE_OFF, False)]
)
def test_it_ends_as_the_settings_say(category: StopCategory, kept: bool) -> None:
    rig = found_with_torque(category)
    rig.ask(Request.EMERGENCY_STOP)
    rig.tick(5)
    assert rig.arm.has_torque is kept


def test_after_a_reset_the_arm_goes_on_from_where_it_is() -> None:
    rig = found_with_torque()
    rig.ask(Request.EMERGENCY_STOP)
    rig.tick(3)
    rig.ask(Request.RESET)
    rig.tick()
    rig.ask(Request.ARM)
    rig.tick(3)
    assert rig.state() is ControlState.ARMED
    np.testing.assert_array_equal(rig.arm.goals, [POSE] * len(rig.arm.goals))
    assert rig.arm.goals
    rig.ask(Request.EMERGENCY_STOP)
    rig.tick(3)
    np.testing.assert_array_equal(rig.arm.goals, [POSE] * len(rig.arm.goals))


@pytest.mark.parametrize("stop", STOPS)
def test_a_stop_after_the_reset_of_a_fault_does_not_take_up_the_motion_before_it(stop: Request) -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    rig.acting, rig.goal = True, lambda tick: (0.01 * tick, 0.0)
    rig.tick(30)
    break_servo(rig)
    rig.tick(2)
    assert rig.state() is ControlState.FAULT
    # Where the driver's stop came to rest.
    rig.arm.hold(POSE)
    rig.acting = False
    rig.tick(REST_TICKS)
    rig.ask(Request.RESET)
    rig.tick(2)
    assert rig.state() is ControlState.IDLE
    driven = len(rig.arm.goals)
    rig.ask(stop)
    rig.tick(20)
    assert rig.state() is ControlState.STOPPED
    assert len(rig.arm.goals) == driven


@pytest.mark.parametrize("request_", [Request.RELEASE, Request.EMERGENCY_STOP])
def test_the_guardian_hears_of_it_before_the_torque_goes_off(
    monkeypatch: pytest.MonkeyPatch, request_: Request
) -> None:
    """Switching it off takes longer than frames may stay away where servos do not answer."""
    rig = Rig(StopCategory.TORQUE_OFF)
    rig.arrange(ControlState.ARMED)
    rig.tick(30)
    heard: list[int] = []
    switch = rig.arm.set_torque

    def slowly(*, enabled: bool) -> None:
        heard.append(int(rig.frame["state"][0]))
        switch(enabled=enabled)

    monkeypatch.setattr(rig.arm, "set_torque", slowly)
    rig.ask(request_)
    rig.tick(3)
    assert not rig.arm.has_torque
    assert heard == [int(rig.state())]
