"""The state machine: every state times every event, and its invariants on random walks."""

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from robot_mbrl.contracts.frame import ControlState, Request
from robot_mbrl.contracts.types import StopCategory, VerdictLevel
from robot_mbrl.safety.state_machine import (
    DRIVES,
    LATCHED,
    REQUEST_EVENTS,
    TABLE,
    VERDICT_EVENTS,
    Drive,
    Event,
    StateMachine,
    TorqueChange,
    Transition,
)

IDLE, ARMED, RUNNING, SLOWED, HOLDING, STOPPED, FAULT, PARKING = (
    ControlState.IDLE,
    ControlState.ARMED,
    ControlState.RUNNING,
    ControlState.SLOWED,
    ControlState.HOLDING,
    ControlState.STOPPED,
    ControlState.FAULT,
    ControlState.PARKING,
)
POLICY_DRIVEN = {RUNNING, SLOWED, HOLDING}
MOVING = {*POLICY_DRIVEN, PARKING}
FAULTS = {Event.BUS_LOST, Event.SERVO_FAULT, Event.EXCEPTION}
STOPS = {Event.REQUEST_STOP, Event.REQUEST_EMERGENCY_STOP, Event.REQUEST_QUIT, Event.SIGNAL, Event.VERDICT_STOP}
EVERY_PAIR = tuple(itertools.product(ControlState, Event))


STOP = Transition(STOPPED, TorqueChange.RELEASE_IN_CATEGORY_0)
VERDICT_STATES = {Event.VERDICT_PASS: RUNNING, Event.VERDICT_SLOW: SLOWED, Event.VERDICT_HOLD: HOLDING}
PERSONS_WORD = {
    (IDLE, Event.ARM_CHECKED): Transition(ARMED, TorqueChange.ENABLE),
    (IDLE, Event.REQUEST_RELEASE): Transition(IDLE, TorqueChange.RELEASE),
    (ARMED, Event.REQUEST_RELEASE): Transition(IDLE, TorqueChange.RELEASE),
    (ARMED, Event.REQUEST_RUN): Transition(RUNNING),
    (ARMED, Event.REQUEST_PARK): Transition(PARKING),
    (RUNNING, Event.REQUEST_PARK): Transition(PARKING),
    (SLOWED, Event.REQUEST_PARK): Transition(PARKING),
    (PARKING, Event.PARKED): Transition(ARMED),
}


def stops(state: ControlState, event: Event) -> bool:
    """Whether `event` latches a stop, in a state that is not latched."""
    return (
        event in {Event.REQUEST_STOP, Event.REQUEST_EMERGENCY_STOP}
        or (event in STOPS | {Event.HEARTBEAT_LOST} and state is not IDLE)
        or (event is Event.ACTION_EXPIRED and state in POLICY_DRIVEN)
        or (event is Event.VERDICT_HOLD and state is PARKING)
    )


def expected_when_latched(state: ControlState, event: Event) -> Transition:
    """The rules in words for STOPPED and FAULT, written apart from the table."""
    if event in FAULTS | {Event.TICKS_MISSED}:
        return Transition(FAULT)
    if event is Event.RESET_CHECKED:
        return Transition(IDLE)
    torque = {Event.REQUEST_RELEASE: TorqueChange.RELEASE, Event.AT_REST: TorqueChange.RELEASE_UNLESS_HELD}
    return Transition(state, torque.get(event, TorqueChange.KEEP))


def expected(state: ControlState, event: Event) -> Transition:
    """The rules in words, written apart from the table."""
    if state in LATCHED:
        return expected_when_latched(state, event)
    if event in FAULTS or (event is Event.TICKS_MISSED and state is not IDLE):
        return Transition(FAULT, TorqueChange.RELEASE_IN_CATEGORY_0)
    if stops(state, event):
        return STOP
    if event is Event.REQUEST_HOLD and state in MOVING:
        return Transition(ARMED)
    if state in POLICY_DRIVEN and event in VERDICT_STATES:
        return Transition(VERDICT_STATES[event])
    return PERSONS_WORD.get((state, event), Transition(state))


def test_the_table_has_every_state_times_every_event_and_nothing_else() -> None:
    assert set(TABLE) == set(EVERY_PAIR)
    assert set(DRIVES) == set(ControlState)


@pytest.mark.parametrize(("state", "event"), EVERY_PAIR, ids=lambda value: value.name)
def test_each_pair_leads_where_the_rules_say(state: ControlState, event: Event) -> None:
    machine = StateMachine(state)
    transition = machine.handle(event)
    assert transition == expected(state, event)
    assert machine.state is transition.state
    assert machine.drive is DRIVES[transition.state]
    assert machine.latched == (transition.state in {STOPPED, FAULT})


def test_torque_goes_on_at_one_place_only() -> None:
    enabling = {pair for pair, transition in TABLE.items() if transition.torque is TorqueChange.ENABLE}
    assert enabling == {(IDLE, Event.ARM_CHECKED)}


def test_the_torque_of_a_moving_arm_changes_only_with_a_latch() -> None:
    for (state, _), transition in TABLE.items():
        if state in MOVING and transition.torque is not TorqueChange.KEEP:
            assert transition.state in LATCHED


def test_a_latch_is_left_by_a_checked_reset_only_and_leads_to_idle_without_torque_changes() -> None:
    for (state, event), transition in TABLE.items():
        if state in LATCHED and transition.state not in LATCHED:
            assert event is Event.RESET_CHECKED
            assert transition == Transition(IDLE)
    assert {TABLE[FAULT, event].state for event in Event} == {FAULT, IDLE}


def test_handling_an_event_twice_is_handling_it_once() -> None:
    """Idempotent: an emergency stop, a verdict or a request may come any number of times."""
    for pair, transition in TABLE.items():
        again = TABLE[transition.state, pair[1]]
        if pair[1] is Event.REQUEST_RELEASE:
            assert again == transition
        elif pair[1] is Event.REQUEST_HOLD:
            assert again.state is transition.state
        else:
            assert again.state is transition.state
            assert again.torque in {TorqueChange.KEEP, transition.torque}


def test_the_state_that_a_reset_leads_to_commands_nothing() -> None:
    assert DRIVES[IDLE] is Drive.NOTHING


@pytest.mark.parametrize(
    ("change", "torque_off", "ramp_off", "hold"),
    [
        (TorqueChange.KEEP, None, None, None),
        (TorqueChange.ENABLE, True, True, True),
        (TorqueChange.RELEASE, False, False, False),
        (TorqueChange.RELEASE_IN_CATEGORY_0, False, None, None),
        (TorqueChange.RELEASE_UNLESS_HELD, False, False, None),
    ],
)
def test_the_stop_category_decides_when_torque_goes(
    change: TorqueChange, torque_off: bool | None, ramp_off: bool | None, hold: bool | None
) -> None:
    assert change.switch(StopCategory.TORQUE_OFF) is torque_off
    assert change.switch(StopCategory.RAMP_OFF) is ramp_off
    assert change.switch(StopCategory.HOLD) is hold


def test_every_verdict_and_every_request_has_its_event() -> None:
    assert set(VERDICT_EVENTS) == set(VerdictLevel)
    to_the_policy = {Request.USE_POLICY, Request.USE_STANDBY}
    assert set(REQUEST_EVENTS) == set(Request) - {Request.HEARTBEAT, Request.ARM, Request.RESET} - to_the_policy
    for request, event in REQUEST_EVENTS.items():
        assert event.name == f"REQUEST_{request.name}"


class Walk(RuleBasedStateMachine):
    """Any events in any order, on an arm whose torque follows the transitions."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = StateMachine()
        self.torque = False
        self.category = StopCategory.HOLD
        self.resets_since_latch = 1

    @rule(category=st.sampled_from(StopCategory))
    @precondition(lambda self: self.machine.state is IDLE)
    def configure(self, category: StopCategory) -> None:
        self.category = category

    @rule(event=st.sampled_from(Event))
    def happens(self, event: Event) -> None:
        self.step(event)

    @rule()
    @precondition(lambda self: self.machine.state is IDLE)
    def start(self) -> None:
        self.step(Event.ARM_CHECKED)
        self.step(Event.REQUEST_RUN)
        assert self.machine.state is RUNNING

    @rule(event=st.sampled_from(sorted(FAULTS | STOPS)))
    @precondition(lambda self: self.machine.state in MOVING)
    def is_stopped(self, event: Event) -> None:
        self.step(event)
        assert self.machine.latched

    def step(self, event: Event) -> None:
        before = self.machine.state
        transition = self.machine.handle(event)
        switch = transition.torque.switch(self.category)
        if switch is True:
            assert before is IDLE
            assert event is Event.ARM_CHECKED
            assert not self.machine.latched
        if switch is False:
            assert self.machine.state in LATCHED | {IDLE}
            assert before not in MOVING or self.category is StopCategory.TORQUE_OFF
        if before in LATCHED and not self.machine.latched:
            assert event is Event.RESET_CHECKED
            assert switch is None
        self.torque = self.torque if switch is None else switch
        if before not in LATCHED and self.machine.latched:
            self.resets_since_latch = 0
        self.resets_since_latch += event is Event.RESET_CHECKED

    @invariant()
    def nothing_follows_a_policy_but_running_and_slowed(self) -> None:
        assert (self.machine.drive is Drive.FOLLOW) == (self.machine.state in {RUNNING, SLOWED})

    @invariant()
    def after_a_latch_nothing_moves_without_a_reset(self) -> None:
        if self.resets_since_latch == 0:
            assert self.machine.latched
            assert self.machine.drive is Drive.HOLD

    @invariant()
    def whatever_moves_has_torque(self) -> None:
        if self.machine.state in MOVING:
            assert self.torque


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
