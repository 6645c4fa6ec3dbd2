"""The control loop in lockstep: a bus that fails, numbers that are none, exceptions."""

from collections.abc import Callable

import numpy as np
import pytest

from robot_mbrl.contracts.errors import LimitViolation, NotReady, PacketCorrupt
from robot_mbrl.contracts.frame import ControlState, StopCause
from robot_mbrl.runtime.settings import LoopSettings
from tests.runtime.rig import LIMITS, RATE, TIMEOUT, Rig, break_servo


@pytest.mark.parametrize("error", [TIMEOUT, PacketCorrupt("only broken packets")], ids=["timeout", "corrupt"])
def test_a_bad_cycle_holds_the_goal_and_is_forgiven(error: Exception) -> None:
    rig = Rig()
    rig.goal = lambda tick: (0.8 * np.sin(0.05 * tick), 0.0)
    rig.arrange(ControlState.RUNNING)
    rig.tick(30)
    for _ in range(20):
        stamp, written = int(rig.frame["stamp_ns"][0]), len(rig.arm.goals)
        rig.arm.fails["read"] = [error, error, None]
        rig.tick(2)
        assert len(rig.arm.goals) == written
        assert rig.frame["stamp_ns"][0] == stamp
        assert (rig.frame["requested_position"] == rig.frame["goal_position"])[0, :2].all()
        assert np.isnan(rig.frame["executed_position"]).all()
        rig.tick()
        assert len(rig.arm.goals) == written + 1
    assert rig.state() is ControlState.RUNNING
    steps = np.abs(np.diff(np.array(rig.arm.goals), axis=0))
    assert steps.max() <= LIMITS.velocity[0] / RATE + 1e-12


@pytest.mark.parametrize("method", ["read", "write"])
def test_a_run_of_bad_cycles_is_a_lost_bus_and_the_driver_stops_the_arm_once(method: str) -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    rig.arm.fails[method] = [TIMEOUT] * 50
    rig.tick(rig.settings.bus_patience)
    assert rig.state() is ControlState.FAULT
    rig.tick(10)
    assert rig.arm.calls == ["torque on", "stop 2"]
    assert rig.reports == [f"fault: {TIMEOUT}"]


def test_a_fault_is_told_before_it_is_dealt_with() -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    sent: list[int] = []
    rig.arm.while_stopping = lambda: sent.append(len(rig.frames.sent))
    before = len(rig.frames.sent)
    break_servo(rig)
    rig.tick()
    assert sent == [before + 1]
    assert rig.frame["state"][0] == ControlState.FAULT


def test_frames_go_on_while_the_driver_stops_the_arm() -> None:
    """A tick's time apart, each judged, so that a log gives the same verdicts again."""
    rig = Rig()
    rig.arrange(ControlState.RUNNING)

    def brake() -> None:
        for _ in range(40):
            rig.clock.advance(0.25 / RATE)
            rig.loop.beat()

    rig.arm.while_stopping = brake
    break_servo(rig)
    before = len(rig.frames.sent)
    rig.tick()
    assert len(rig.frames.sent) - before == 1 + 10
    assert np.diff([int(frame["tick"][0]) for frame in rig.frames.sent]).tolist() == [1] * (len(rig.frames.sent) - 1)
    assert len(rig.judge.judged) == len(rig.frames.sent)
    rig.loop.beat()
    assert len(rig.frames.sent) - before == 11


def test_servos_that_stopped_by_themselves_are_a_lost_bus() -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    rig.arm.fails["write"] = [NotReady("servo 1: stopped by its own bus watchdog: call reset()")]
    rig.tick()
    assert rig.state() is ControlState.FAULT


# -- what is not finite ------------------------------------------------------------------------------------------------


def shown(bad: float) -> Rig:
    """A running arm whose policy sends an action with `bad` in it, and no more of its own accord."""
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    rig.tick(20)
    rig.acting = False
    rig.act((0.1, bad))
    return rig


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_action_that_is_not_finite_reaches_the_monitor_and_nobody_else(bad: float) -> None:
    rig = shown(bad)
    rig.tick(10)
    assert np.isfinite(np.array(rig.arm.goals)).all()
    seen = rig.judge.judged[-1]["action_position"][0, 1]
    assert seen == bad or np.isnan([seen, bad]).all()
    assert np.isfinite(rig.frame["requested_position"][0, :2]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_action_that_is_not_finite_is_seen_though_a_better_one_follows_at_once(bad: float) -> None:
    rig = shown(bad)
    rig.act((0.1, 0.1))
    rig.tick()
    assert not np.isfinite(rig.judge.judged[-1]["action_position"][0, 1])
    assert np.isfinite(np.array(rig.arm.goals)).all()


def test_a_measurement_that_is_not_finite_reaches_the_monitor_and_not_the_estimate() -> None:
    rig = Rig()
    rig.tick(5)
    rig.arm.position = np.array([np.nan, 0.0])
    rig.tick()
    assert np.isnan(rig.frame["position"][0, 0])
    assert np.isnan(rig.frame["velocity"][0, :2]).all()
    rig.arm.position = np.zeros(2)
    rig.tick()
    assert (rig.frame["velocity"][0, :2] == 0.0).all()


# -- exceptions -------------------------------------------------------------------------------------------------------


def fail_in_judge(rig: Rig) -> None:
    rig.judge.fails = True


def fail_in_read(rig: Rig) -> None:
    rig.arm.fails["read"] = [ZeroDivisionError("a bug in the driver")]


def fail_in_write(rig: Rig) -> None:
    rig.arm.fails["write"] = [LimitViolation("a: goal 9 rad lies outside its limits")]


@pytest.mark.parametrize("fail", [fail_in_judge, fail_in_read, fail_in_write])
def test_an_exception_stops_the_arm_keeps_the_frames_and_is_raised_again(fail: Callable[[Rig], None]) -> None:
    rig = Rig(settings=LoopSettings(rate=RATE, policy_rate=20.0, kept_frames=8))
    rig.arrange(ControlState.RUNNING)
    rig.tick(20)
    fail(rig)
    with pytest.raises((ZeroDivisionError, LimitViolation)):
        rig.tick()
    assert rig.state() is ControlState.FAULT
    assert rig.arm.calls[-1] == "stop 2"
    ticks = rig.loop.last_frames()["tick"]
    assert len(ticks) == 8
    assert np.diff(ticks).tolist() == [1] * 7
    assert ticks[-1] >= rig.loop.ticks - 1
    if fail is not fail_in_judge:
        assert rig.frame["state"][0] == ControlState.FAULT
        assert rig.frame["stop_cause"][0] == StopCause.EXCEPTION


def test_frames_that_cannot_be_sent_are_an_exception_too() -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    rig.frames.fails = True
    with pytest.raises(RuntimeError, match="nobody takes frames"):
        rig.tick()
    assert rig.arm.calls[-1] == "stop 2"


# -- signs of life that fail ------------------------------------------------------------------------------------------


def braking(rig: Rig) -> list[int]:
    """Let the driver brake in 20 steps, with a sign of life at each; the steps that it came to."""
    steps: list[int] = []

    def brake() -> None:
        for step in range(20):
            rig.clock.advance(0.5 / RATE)
            rig.loop.beat()
            steps.append(step)

    rig.arm.while_stopping = brake
    return steps


def fail_to_send(rig: Rig) -> None:
    rig.frames.fails = True


@pytest.mark.parametrize(("fail", "error"), [(fail_in_judge, ZeroDivisionError), (fail_to_send, RuntimeError)])
def test_braking_goes_on_though_a_sign_of_life_fails(fail: Callable[[Rig], None], error: type[Exception]) -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    steps = braking(rig)
    brake = rig.arm.while_stopping

    def broken() -> None:
        fail(rig)
        brake()

    rig.arm.while_stopping = broken
    break_servo(rig)
    judged = len(rig.judge.judged)
    with pytest.raises(error):
        rig.tick()
    assert steps == list(range(20))
    assert not rig.conductor.stopping
    # Once is enough: the judge is not asked again by the signs that follow.
    assert len(rig.judge.judged) == judged + 2
    assert rig.state() is ControlState.FAULT
    ticks = rig.loop.last_frames()["tick"]
    assert (np.diff(ticks) > 0).all()


def test_an_exception_is_raised_as_itself_though_the_signs_of_life_after_it_fail() -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    steps = braking(rig)
    rig.arm.fails["read"] = [ZeroDivisionError("a bug in the driver")]
    rig.frames.fails = True
    with pytest.raises(ZeroDivisionError, match="a bug in the driver") as raised:
        rig.tick()
    assert steps == list(range(20))
    assert raised.value.__notes__ == ["no frames while the arm was stopped: RuntimeError('nobody takes frames')"]
