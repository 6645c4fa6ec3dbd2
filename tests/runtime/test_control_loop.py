"""The control loop in lockstep: every state times every cause."""

from collections.abc import Callable

import numpy as np
import pytest

from robot_mbrl.contracts.errors import PortLost
from robot_mbrl.contracts.frame import ControlState, Request
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.safety.state_machine import TABLE, Event
from tests.runtime.rig import LIMITS, RATE, REST_TICKS, Rig, break_servo

STATES = tuple(ControlState)
MOVING = (ControlState.RUNNING, ControlState.SLOWED, ControlState.HOLDING)


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
        rig.state(), VerdictLevel.PASS
    )
    rig.act((0.0, 0.0), lifetime=0.0)


def lose_bus(rig: Rig) -> None:
    rig.arm.fails["read"] = [PortLost("port paper went away")]


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

NEEDS_REST = {
    (ControlState.FAULT, Event.RESET_CHECKED),
    (ControlState.STOPPED, Event.RESET_CHECKED),
    (ControlState.ARMED, Event.REQUEST_RELEASE),
}


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
        rig.tick(REST_TICKS)
    CAUSES[event](rig)
    rig.tick()
    assert rig.state() is expected_state(state, event)


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
    assert rig.state() is ControlState.STOPPED
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
    assert rig.state() is ControlState.STOPPED
