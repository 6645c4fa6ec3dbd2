"""The control loop in lockstep: every state times every cause, and what each does to the arm."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from robot_mbrl.contracts.errors import BusTimeout, LimitViolation, NotReady, PacketCorrupt, PortLost, ServoOverheat
from robot_mbrl.contracts.frame import ControlState, Request, StopCause
from robot_mbrl.contracts.types import StopCategory, VerdictLevel
from robot_mbrl.runtime.departure import Departure
from robot_mbrl.runtime.settings import LoopSettings
from robot_mbrl.safety.state_machine import TABLE, Event
from tests.runtime.rig import LIFETIME, LIMITS, PARK, RATE, Rig

STATES = tuple(ControlState)
MOVING = (ControlState.RUNNING, ControlState.SLOWED, ControlState.HOLDING)
TIMEOUT = BusTimeout("servo 1 on paper: no answer within 9.1 ms in 3 attempts: check power, cable, ID and baud rate")


def verdict(level: VerdictLevel) -> Callable[[Rig], None]:
    def cause(rig: Rig) -> None:
        rig.judge.level = level

    return cause


def request(kind: Request) -> Callable[[Rig], None]:
    return lambda rig: rig.ask(kind)


def run(rig: Rig) -> None:
    rig.act((0.0, 0.0))
    rig.ask(Request.RUN)


def expire(rig: Rig) -> None:
    rig.acting = False
    rig.judge.level = {ControlState.SLOWED: VerdictLevel.SLOW, ControlState.HOLDING: VerdictLevel.HOLD}.get(
        rig.state, VerdictLevel.PASS
    )
    rig.act((0.0, 0.0), lifetime=0.0)


def lose_bus(rig: Rig) -> None:
    rig.arm.fails["read"] = [PortLost("port paper went away")]


def break_servo(rig: Rig) -> None:
    rig.arm.fails["read"] = [ServoOverheat("joint a: too hot")]


def miss_ticks(rig: Rig) -> None:
    rig.clock.advance(1.0)
    if rig.acting:
        rig.act((0.0, 0.0))


CAUSES: dict[Event, Callable[[Rig], None]] = {
    Event.ARM_CHECKED: request(Request.ARM),
    Event.REQUEST_RUN: run,
    Event.REQUEST_HOLD: request(Request.HOLD),
    Event.REQUEST_PARK: request(Request.PARK),
    Event.REQUEST_RELEASE: request(Request.RELEASE),
    Event.REQUEST_STOP: request(Request.STOP),
    Event.REQUEST_EMERGENCY_STOP: request(Request.EMERGENCY_STOP),
    Event.REQUEST_QUIT: request(Request.QUIT),
    Event.SIGNAL: lambda rig: rig.loop.leave(Event.SIGNAL),
    Event.RESET_CHECKED: request(Request.RESET),
    Event.VERDICT_PASS: verdict(VerdictLevel.PASS),
    Event.VERDICT_SLOW: verdict(VerdictLevel.SLOW),
    Event.VERDICT_HOLD: verdict(VerdictLevel.HOLD),
    Event.VERDICT_STOP: verdict(VerdictLevel.STOP),
    Event.ACTION_EXPIRED: expire,
    Event.TICKS_MISSED: miss_ticks,
    Event.BUS_LOST: lose_bus,
    Event.SERVO_FAULT: break_servo,
}
"""What brings about each event; those that are missing are tested by themselves."""

NEEDS_REST = {(ControlState.FAULT, Event.RESET_CHECKED), (ControlState.STOPPED, Event.RESET_CHECKED)}


def expected_state(state: ControlState, event: Event) -> ControlState:
    """What the table says, with the verdict of the same tick after the cause where that leads further."""
    after = TABLE[state, event].state
    if event in {Event.VERDICT_PASS, Event.VERDICT_SLOW, Event.VERDICT_HOLD, Event.VERDICT_STOP}:
        return after
    standing = {ControlState.SLOWED: Event.VERDICT_SLOW, ControlState.HOLDING: Event.VERDICT_HOLD}.get(state)
    return after if standing is None else TABLE[after, standing].state


@pytest.mark.parametrize("event", CAUSES, ids=lambda event: event.name)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_every_cause_in_every_state_leads_where_the_table_says(state: ControlState, event: Event) -> None:
    rig = Rig()
    rig.arrange(state)
    if (state, event) in NEEDS_REST:
        rig.tick(5)
    CAUSES[event](rig)
    rig.tick()
    assert rig.state is expected_state(state, event)


def test_the_causes_and_the_tests_by_themselves_are_all_events() -> None:
    elsewhere = {Event.START_REFUSED, Event.HEARTBEAT_LOST, Event.AT_REST, Event.PARKED, Event.EXCEPTION}
    assert set(CAUSES) | elsewhere == set(Event)


@pytest.mark.parametrize("event", [Event.REQUEST_STOP, Event.VERDICT_STOP, Event.ACTION_EXPIRED], ids=lambda e: e.name)
def test_a_stop_brakes_within_the_limits_and_nothing_moves_after_it(event: Event) -> None:
    rig = Rig()
    rig.goal = lambda tick: (0.8 * np.sin(0.05 * tick), 0.0)
    rig.arrange(ControlState.RUNNING)
    rig.tick(60)
    CAUSES[event](rig)
    rig.tick(80)
    assert rig.state is ControlState.STOPPED
    goals = np.array(rig.arm.goals)
    velocity = np.diff(goals, axis=0) * RATE
    acceleration = np.diff(velocity, axis=0) * RATE
    assert np.abs(velocity).max() > 0.5
    assert (np.abs(velocity) <= LIMITS.velocity + 1e-9).all()
    assert (np.abs(acceleration) <= LIMITS.acceleration + 1e-6).all()
    held = rig.arm.position.copy()
    rig.judge.level = VerdictLevel.PASS
    rig.acting = True
    for kind in (Request.RUN, Request.ARM, Request.PARK, Request.HOLD):
        rig.ask(kind)
        rig.tick(5)
    assert (rig.arm.position == held).all()
    assert rig.state is ControlState.STOPPED


# -- arming, running, resuming --------------------------------------------------------------------------------------


def test_idle_measures_and_commands_nothing() -> None:
    rig = Rig()
    rig.tick(3)
    frame = rig.frame
    assert frame["tick"][0] == 3
    assert frame["joints"][0] == 2
    assert np.isfinite(frame["position"][0, :2]).all()
    assert np.isnan(frame["position"][0, 2:]).all()
    for field in ("goal_position", "requested_position", "executed_position", "action_position"):
        assert np.isnan(frame[field]).all(), field
    assert frame["write_ns"][0] == -1
    assert rig.arm.goals == []
    assert rig.arm.calls == []


def test_arming_gives_torque_and_moves_nothing() -> None:
    rig = Rig()
    rig.arm.position = np.array([0.4, -0.6])
    rig.tick(3)
    rig.ask(Request.ARM)
    rig.tick(5)
    assert rig.state is ControlState.ARMED
    assert rig.arm.calls == ["torque on"]
    assert np.array(rig.arm.goals) == pytest.approx(np.tile([0.4, -0.6], (4, 1)), abs=0)


def test_arming_is_refused_where_motion_may_not_start() -> None:
    rig = Rig()
    rig.arm.position = np.array([1.5, 0.0])
    rig.tick()
    rig.ask(Request.ARM)
    rig.tick()
    assert rig.state is ControlState.IDLE
    assert rig.arm.calls == []
    assert rig.reports == ["arm refused: a: at 1.500 rad, outside -1.000..1.000 rad: move it by hand with torque off"]


def test_arming_is_refused_while_the_monitor_says_stop() -> None:
    rig = Rig()
    rig.judge.level = VerdictLevel.STOP
    rig.ask(Request.ARM)
    rig.tick()
    assert rig.state is ControlState.IDLE
    assert rig.reports == ["arm refused: the monitor still says stop: script of b: 2, limit 1"]


def test_torque_that_would_move_a_joint_is_refused() -> None:
    rig = Rig()
    rig.arm.fails["set_torque"] = [LimitViolation("a: rests outside its servo's range: move it")]
    rig.ask(Request.ARM)
    rig.tick(2)
    assert rig.state is ControlState.IDLE
    assert not rig.arm.has_torque
    assert rig.reports == ["torque refused: a: rests outside its servo's range: move it"]


def test_torque_that_went_on_by_half_is_a_fault() -> None:
    rig = Rig()
    rig.arm.fails["set_torque"] = [TIMEOUT]
    rig.ask(Request.ARM)
    rig.tick(2)
    assert rig.state is ControlState.FAULT
    assert rig.arm.calls == ["torque on", "stop 2"]


def test_running_needs_an_action_that_is_still_good() -> None:
    rig = Rig()
    rig.arrange(ControlState.ARMED)
    rig.ask(Request.RUN)
    rig.tick()
    rig.act((0.1, 0.1))
    rig.tick()
    rig.tick(round(LIFETIME * RATE))
    rig.ask(Request.RUN)
    rig.tick()
    assert rig.state is ControlState.ARMED
    assert rig.reports == ["run refused: no policy has sent an action that is still good"] * 2


def test_running_reaches_the_action() -> None:
    rig = Rig()
    rig.goal = lambda _: (0.5, -0.7)
    rig.arrange(ControlState.RUNNING)
    rig.tick(400)
    assert rig.arm.position == pytest.approx([0.5, -0.7], abs=1e-6)
    assert rig.frame["action_position"][0, :2] == pytest.approx([0.5, -0.7])
    assert (rig.frame["executed_position"] == rig.frame["requested_position"])[0, :2].all()


def test_slowed_motion_takes_longer_on_the_same_way() -> None:
    def travelled(level: VerdictLevel) -> float:
        rig = Rig()
        rig.goal = lambda _: (0.9, 0.0)
        rig.arrange(ControlState.RUNNING)
        rig.judge.level = level
        rig.tick(60)
        return float(rig.arm.position[0])

    assert 0.0 < travelled(VerdictLevel.SLOW) < 0.7 * travelled(VerdictLevel.PASS)


def test_what_the_monitor_holds_goes_on_without_a_jump_when_the_cause_is_gone() -> None:
    rig = Rig()
    rig.goal = lambda tick: (0.8 * np.sin(0.03 * tick), 0.0)
    rig.arrange(ControlState.RUNNING)
    rig.tick(50)
    rig.judge.level = VerdictLevel.HOLD
    rig.tick(100)
    assert rig.state is ControlState.HOLDING
    assert (np.diff(np.array(rig.arm.goals)[-20:], axis=0) == 0.0).all()
    rig.judge.level = VerdictLevel.PASS
    rig.tick(100)
    assert rig.state is ControlState.RUNNING
    steps = np.abs(np.diff(np.array(rig.arm.goals), axis=0))
    assert steps.max() <= LIMITS.velocity[0] / RATE + 1e-12
    assert steps[-20:, 0].max() > 0.0


def test_parking_ends_at_the_park_pose_and_holds() -> None:
    rig = Rig()
    rig.arrange(ControlState.ARMED)
    rig.ask(Request.PARK)
    rig.tick(300)
    assert rig.state is ControlState.ARMED
    assert rig.arm.position == pytest.approx(PARK)


def test_torque_is_not_released_from_a_motion() -> None:
    rig = Rig()
    rig.goal = lambda tick: (0.8 * np.sin(0.05 * tick), 0.0)
    rig.arrange(ControlState.RUNNING)
    rig.tick(60)
    rig.ask(Request.HOLD)
    rig.ask(Request.RELEASE)
    rig.tick()
    assert rig.arm.has_torque
    assert rig.reports == ["release refused: the arm is still moving: wait until it rests"]
    rig.tick(60)
    rig.ask(Request.RELEASE)
    rig.tick()
    assert rig.state is ControlState.IDLE
    assert not rig.arm.has_torque


# -- latches --------------------------------------------------------------------------------------------------------


def test_leaving_a_latch_takes_three_deliberate_acts() -> None:
    rig = Rig()
    rig.arrange(ControlState.STOPPED)
    rig.acting = True
    rig.tick(20)
    path = []
    for kind in (Request.RUN, Request.RESET, Request.RUN, Request.ARM, Request.RUN):
        rig.ask(kind)
        rig.tick(2)
        path.append(rig.state.name)
    assert path == ["STOPPED", "IDLE", "IDLE", "ARMED", "RUNNING"]


def test_a_latch_is_not_left_while_its_cause_is_there() -> None:
    rig = Rig()
    rig.arrange(ControlState.STOPPED)
    rig.judge.level = VerdictLevel.STOP
    rig.tick(5)
    rig.ask(Request.RESET)
    rig.tick()
    assert rig.state is ControlState.STOPPED
    assert rig.reports[-1].startswith("reset refused: the monitor still says stop")


def test_a_latch_is_not_left_in_mid_braking() -> None:
    rig = Rig()
    rig.goal = lambda tick: (0.8 * np.sin(0.05 * tick), 0.0)
    rig.arrange(ControlState.RUNNING)
    rig.tick(60)
    rig.ask(Request.STOP)
    rig.ask(Request.RESET)
    rig.tick()
    assert rig.state is ControlState.STOPPED
    assert rig.reports[-1].startswith("reset refused")


def test_a_driver_that_refuses_the_reset_keeps_the_latch() -> None:
    rig = Rig()
    rig.arrange(ControlState.ARMED)
    break_servo(rig)
    rig.tick(3)
    rig.arm.fails["reset"] = [ServoOverheat("joint a: still too hot")]
    rig.ask(Request.RESET)
    rig.tick()
    assert rig.state is ControlState.FAULT
    assert rig.reports[-1] == "reset refused: joint a: still too hot"
    rig.ask(Request.RESET)
    rig.tick()
    assert rig.state is ControlState.IDLE


CAUSED = [
    (Request.STOP, StopCause.OPERATOR),
    (Request.EMERGENCY_STOP, StopCause.EMERGENCY),
    (Request.QUIT, StopCause.OPERATOR),
]


@pytest.mark.parametrize(("kind", "cause"), CAUSED)
def test_the_frame_says_who_stopped(kind: Request, cause: StopCause) -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    rig.ask(kind)
    rig.tick(2)
    assert rig.frame["state"][0] == ControlState.STOPPED
    assert rig.frame["stop_cause"][0] == cause


@pytest.mark.parametrize(
    ("category", "at_once", "at_rest"),
    [(StopCategory.TORQUE_OFF, False, False), (StopCategory.RAMP_OFF, True, False), (StopCategory.HOLD, True, True)],
)
def test_a_stop_ends_with_the_torque_of_its_category(category: StopCategory, at_once: bool, at_rest: bool) -> None:
    rig = Rig(category)
    rig.goal = lambda tick: (0.8 * np.sin(0.05 * tick), 0.0)
    rig.arrange(ControlState.RUNNING)
    rig.tick(60)
    rig.ask(Request.STOP)
    rig.tick()
    torque = [rig.arm.has_torque]
    rig.tick(100)
    assert [*torque, rig.arm.has_torque] == [at_once, at_rest]
    assert ("torque off" in rig.arm.calls) == (not at_rest)


# -- a bus that fails -----------------------------------------------------------------------------------------------


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
    assert rig.state is ControlState.RUNNING
    steps = np.abs(np.diff(np.array(rig.arm.goals), axis=0))
    assert steps.max() <= LIMITS.velocity[0] / RATE + 1e-12


@pytest.mark.parametrize("method", ["read", "write"])
def test_a_run_of_bad_cycles_is_a_lost_bus_and_the_driver_stops_the_arm_once(method: str) -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    rig.arm.fails[method] = [TIMEOUT] * 50
    rig.tick(rig.settings.bus_patience)
    assert rig.state is ControlState.FAULT
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
    assert rig.state is ControlState.FAULT


# -- what is not finite ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_action_that_is_not_finite_reaches_the_monitor_and_nobody_else(bad: float) -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)
    rig.tick(20)
    rig.acting = False
    rig.act((0.1, bad))
    rig.tick(10)
    assert np.isfinite(np.array(rig.arm.goals)).all()
    seen = rig.judge.judged[-1]["action_position"][0, 1]
    assert seen == bad or np.isnan([seen, bad]).all()
    assert np.isfinite(rig.frame["requested_position"][0, :2]).all()


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


# -- exceptions -----------------------------------------------------------------------------------------------------


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
    assert rig.state is ControlState.FAULT
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


# -- time -----------------------------------------------------------------------------------------------------------


def test_missed_ticks_are_skipped_whole_and_counted() -> None:
    rig = Rig()
    rig.tick(5)
    deadline = int(rig.frame["deadline_ns"][0])
    rig.clock.advance(2.5 / RATE)
    rig.tick()
    assert rig.frame["deadline_ns"][0] == deadline + 3e9 / RATE
    assert rig.frame["missed_ticks"][0] == 2
    rig.tick()
    assert rig.frame["deadline_ns"][0] == deadline + 4e9 / RATE
    assert rig.frame["missed_ticks"][0] == 2


def test_a_run_of_missed_ticks_is_a_fault_and_single_ones_are_not() -> None:
    rig = Rig()
    rig.arrange(ControlState.ARMED)
    for _ in range(20):
        rig.clock.advance(1.5 / RATE)
        rig.tick(2)
    assert rig.state is ControlState.ARMED
    limit = round(rig.settings.missed_limit * RATE)
    for _ in range(limit):
        assert rig.state is ControlState.ARMED
        rig.clock.advance(1.5 / RATE)
        rig.tick()
    assert rig.state is ControlState.FAULT


def test_ticks_that_waited_for_the_bus_are_not_missed_twice() -> None:
    rig = Rig()
    rig.arrange(ControlState.ARMED)
    for _ in range(20):
        rig.arm.fails["read"] = [TIMEOUT]
        rig.tick()
        rig.clock.advance(10.0 / RATE)
        rig.tick(2)
    assert rig.state is ControlState.ARMED


def test_what_is_done_deliberately_costs_no_ticks() -> None:
    rig = Rig()
    rig.arm.torque_time = 0.4
    rig.arrange(ControlState.ARMED)
    rig.tick(5)
    assert rig.state is ControlState.ARMED
    assert rig.frame["missed_ticks"][0] == 0


def test_a_lost_heartbeat_stops_the_arm() -> None:
    rig = Rig(settings=LoopSettings(rate=RATE, policy_rate=20.0, heartbeat=0.1))
    rig.arrange(ControlState.ARMED)
    for _ in range(30):
        rig.ask(Request.HEARTBEAT)
        rig.tick()
        assert rig.frame["heartbeat_ns"][0] > rig.frame["wake_ns"][0] - 2e7
    assert rig.state is ControlState.ARMED
    rig.tick(9)
    assert rig.state is ControlState.ARMED
    rig.tick(4)
    assert rig.state is ControlState.STOPPED


def test_without_a_heartbeat_asked_for_there_is_none() -> None:
    rig = Rig()
    rig.arrange(ControlState.ARMED)
    rig.tick(100)
    assert rig.state is ControlState.ARMED
    assert rig.frame["heartbeat_ns"][0] == -1


# -- requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Request.ARM, Request.RUN, Request.PARK, Request.RESET, Request.RELEASE])
def test_a_stale_wish_for_motion_or_torque_is_dropped(kind: Request) -> None:
    rig = Rig()
    state = ControlState.STOPPED if kind is Request.RESET else ControlState.ARMED
    rig.clock.advance(3.0)
    if kind is not Request.ARM:
        rig.arrange(state)
    rig.tick(5)
    rig.act((0.0, 0.0))
    before = rig.state
    rig.ask(kind, age=1.1)
    rig.tick(2)
    assert rig.state is before


@pytest.mark.parametrize("kind", [Request.STOP, Request.EMERGENCY_STOP])
def test_a_stop_is_never_too_old(kind: Request) -> None:
    rig = Rig()
    rig.tick(300)
    rig.arrange(ControlState.ARMED)
    rig.ask(kind, age=2.5)
    rig.tick()
    assert rig.state is ControlState.STOPPED


def test_what_was_asked_of_an_earlier_run_is_not_heard() -> None:
    rig = Rig()
    rig.ask(Request.EMERGENCY_STOP, age=0.5)
    rig.tick()
    assert rig.state is ControlState.IDLE


def test_numbers_that_are_no_requests_are_passed_over() -> None:
    rig = Rig()
    for number in (-1, 99, 2**31 - 1):
        rig.ask(number)
    rig.ask(Request.ARM)
    rig.tick()
    assert rig.state is ControlState.ARMED


# -- the way out ----------------------------------------------------------------------------------------------------


def leave(rig: Rig, limit: int = 1000) -> list[str]:
    """Leave, and tick until the run is over; the states that were passed. What the monitor held is let go at once."""
    rig.loop.leave()
    states = [rig.state.name]
    while not rig.loop.over:
        assert rig.loop.ticks < limit
        rig.tick()
        rig.judge.level = VerdictLevel.PASS
        if rig.state.name != states[-1]:
            states.append(rig.state.name)
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
    assert rig.state is ControlState.PARKING
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
    assert rig.state is ControlState.STOPPED
    assert rig.arm.has_torque


# -- memory and imports ---------------------------------------------------------------------------------------------


def test_memory_does_not_grow() -> None:
    rig = Rig()
    rig.arrange(ControlState.RUNNING)

    def go_on(ticks: int) -> None:
        for _ in range(ticks):
            rig.tick()
            rig.frames.sent.clear()
            rig.judge.judged.clear()
            rig.arm.goals.clear()

    go_on(500)
    tracemalloc.start()
    try:
        go_on(200)
        before = tracemalloc.get_traced_memory()[0]
        go_on(2000)
        growth = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert growth < 2000, f"{growth} bytes in 2000 ticks"


def test_nothing_of_the_loop_imports_torch() -> None:
    code = (
        "import sys; import robot_mbrl.runtime.control_loop, robot_mbrl.runtime.control_process; "
        "print([name for name in sys.modules if name.partition('.')[0] == 'torch'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert result.stdout == "[]\n"
