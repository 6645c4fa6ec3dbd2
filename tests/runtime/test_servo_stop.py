"""Stopping servos from outside: nothing moves by it, and one dead servo or a taken port hides nothing."""

from collections.abc import Iterator

import pytest

from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.errors import PortLost
from robot_mbrl.contracts.types import StopCategory
from robot_mbrl.drivers.bus import ServoBus
from robot_mbrl.drivers.dialects import arm_servos
from robot_mbrl.runtime.servo_stop import ServoStop
from tests.cli.program import Standing, Untouched
from tests.runtime.arm_stand import robot_settings, standing_arm


@pytest.fixture(scope="module")
def so101(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with standing_arm(tmp_path_factory.mktemp("servo_stop")) as standing:
        yield standing


def switch_on(standing: Standing) -> None:
    """Torque on for all servos, where they are."""
    bus = standing.bus()
    try:
        for servo in arm_servos(standing.arm):
            position = bus.read_register(servo.id, servo.register("present_position"))
            bus.write_register(servo.id, servo.register("goal_position"), position)
            bus.write_register(servo.id, servo.register("torque_enable"), 1)
    finally:
        bus.close()


def stop(standing: Standing, category: StopCategory) -> ServoStop:
    return ServoStop(robot_settings(standing), category, MonotonicClock())


def test_torque_is_found_and_told_whatever_the_port_does(so101: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stop(so101, StopCategory.HOLD).torque_found() == "no servo that answers has torque"
    switch_on(so101)
    with Untouched(so101):
        told = stop(so101, StopCategory.RAMP_OFF).torque_found()
    assert told.startswith("shoulder_pan, shoulder_lift, ")
    assert told.endswith(" have torque and hold")
    bus = so101.bus()
    try:
        assert stop(so101, StopCategory.HOLD).torque_found().startswith("could not take the port: ")
    finally:
        bus.close()

    def lost(*_: object) -> int:
        raise PortLost("the adapter went away: plug it in again")

    monkeypatch.setattr(ServoBus, "read_register", lost)
    told = stop(so101, StopCategory.HOLD).torque_found()
    assert told == "their torque could not be read: the adapter went away: plug it in again"
    monkeypatch.undo()
    assert stop(so101, StopCategory.TORQUE_OFF).perform().complete


def test_a_limp_arm_is_not_switched_on(so101: Standing) -> None:
    with Untouched(so101):
        report = stop(so101, StopCategory.HOLD).perform()
    assert not report.complete
    assert report.at_rest
    assert set(report.torque.values()) == {False}
    assert "torque of shoulder_pan, shoulder_lift" in report.done
    assert "is not on" in report.done


def test_a_held_arm_keeps_its_goals_and_its_torque(so101: Standing) -> None:
    switch_on(so101)
    with Untouched(so101):
        first = stop(so101, StopCategory.HOLD).perform()
        second = stop(so101, StopCategory.HOLD).perform()
    assert first.complete
    assert first.goal == second.goal
    assert first.errors == ()


@pytest.mark.parametrize("category", [StopCategory.TORQUE_OFF, StopCategory.RAMP_OFF])
def test_a_mute_servo_does_not_keep_the_others_from_being_let_go(so101: Standing, category: StopCategory) -> None:
    switch_on(so101)
    so101.process.control.fault({"fault": "drop", "servo": "elbow_flex"})
    try:
        report = stop(so101, category).perform()
    finally:
        so101.process.control.ask({"command": "clear"})
    assert not report.complete
    assert "elbow_flex is not off" in report.done
    assert report.torque["elbow_flex"] is None
    assert {on for joint, on in report.torque.items() if joint != "elbow_flex"} == {False}
    assert any("elbow_flex (ID 3)" in error for error in report.errors)


def test_a_port_that_stays_taken_is_told(so101: Standing) -> None:
    bus = so101.bus()
    try:
        report = stop(so101, StopCategory.HOLD).perform()
    finally:
        bus.close()
    assert not report.complete
    assert "could not take the port" in report.done
    assert "another process" in report.done
