"""A stop that is noted is done: whoever cannot be told of it, and whatever was asked for in the same tick."""

import pytest

from robot_mbrl.contracts.frame import ControlState, Request
from robot_mbrl.runtime.departure import Departure
from robot_mbrl.safety.state_machine import Event
from tests.runtime.rig import TIMEOUT, Rig, break_servo

UNHEARD = [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device"), ValueError("closed file")]


@pytest.mark.parametrize("error", UNHEARD, ids=["closed pipe", "full disk", "closed file"])
def test_a_line_that_nobody_takes_does_not_keep_the_arm_from_being_stopped(error: Exception) -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    rig.report_fails = [error]
    break_servo(rig)
    rig.tick()
    assert rig.state() is ControlState.FAULT
    assert rig.arm.calls == ["torque on", "stop 2"]


def test_a_stop_is_noted_before_it_is_told() -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    rig.report_fails = [ZeroDivisionError("a bug in the report")]
    with pytest.raises(ZeroDivisionError):
        rig.conductor.handle(Event.BUS_LOST, "no answers")
    assert rig.conductor.pending
    rig.conductor.finish()
    assert rig.arm.calls[-1] == "stop 2"


def test_a_lost_bus_at_the_end_is_dealt_with_though_nobody_listens() -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    rig.report_fails = [BrokenPipeError(32, "Broken pipe")]
    rig.arm.fails["read"] = [ZeroDivisionError("a bug in the driver")]
    with pytest.raises(ZeroDivisionError):
        rig.tick()
    assert rig.arm.calls[-1] == "stop 2"


def test_a_stop_by_the_driver_that_fails_is_no_longer_under_way() -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    rig.arm.fails["stop"] = [ZeroDivisionError("a bug in the driver's stop")]
    rig.arm.fails["read"] = [TIMEOUT] * 3
    with pytest.raises(ZeroDivisionError):
        rig.tick(3)
    assert not rig.conductor.stopping


# -- torque -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("park", [False, True])
@pytest.mark.parametrize("release", [False, True])
def test_torque_does_not_come_on_in_a_run_that_is_ending(park: bool, release: bool) -> None:
    rig = Rig(departure=Departure(park=park, release=release))
    rig.tick(3)
    rig.ask(Request.ARM)
    rig.ask(Request.QUIT)
    rig.tick(3)
    assert rig.arm.calls == []
    assert not rig.arm.has_torque
    assert rig.state() is ControlState.IDLE
    assert rig.reports == ["arm refused: the run is ending"]
    assert rig.loop.over


@pytest.mark.parametrize("stop", [Event.REQUEST_STOP, Event.SIGNAL, Event.BUS_LOST, Event.VERDICT_STOP])
def test_a_latch_forgets_the_torque_that_was_to_come_on(stop: Event) -> None:
    rig = Rig()
    rig.tick(3)
    rig.conductor.handle(Event.ARM_CHECKED)
    rig.conductor.handle(stop)
    rig.conductor.finish()
    assert rig.conductor.machine.latched
    assert "torque on" not in rig.arm.calls


def test_a_signal_between_arming_and_the_switch_leaves_the_torque_off() -> None:
    rig = Rig()
    rig.tick(3)
    arm = rig.conductor.arm

    def interrupted(*args: object) -> None:
        arm(*args)  # type: ignore[arg-type]
        rig.loop.leave(Event.SIGNAL)

    rig.conductor.arm = interrupted  # type: ignore[method-assign, assignment]
    rig.ask(Request.ARM)
    rig.tick(2)
    assert rig.state() is ControlState.STOPPED
    assert not rig.arm.has_torque
