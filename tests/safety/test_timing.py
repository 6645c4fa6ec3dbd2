"""Late ticks, stale actions and lost heartbeats, on both sides of each limit."""

import pytest

from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.safety import timing
from robot_mbrl.safety.judgement import PASS, Judgement
from tests.safety.tape import PERIOD_NS, START_NS, Tape, judge_all, settings

STOP, SLOW = VerdictLevel.STOP, VerdictLevel.SLOW
MS = 1_000_000


@pytest.mark.parametrize(("late_ms", "stops"), [(50, False), (51, True)])
@pytest.mark.parametrize("kind", ["behind its deadline", "behind the tick before"])
def test_late_ticks(late_ms: int, stops: bool, kind: str) -> None:
    tape = Tape()
    first, second = tape.frame(), tape.frame()
    if kind == "behind its deadline":
        second["wake_ns"] = second["deadline_ns"] + late_ms * MS
    else:
        second["deadline_ns"] = second["wake_ns"] = first["deadline_ns"] + late_ms * MS
    judgement = judge_all(timing.Lateness(settings()), [first, second])[-1]
    assert judgement == pytest.approx(Judgement(STOP, 0.0, 0.051, 0.05) if stops else PASS)


@pytest.mark.parametrize("states", [(ControlState.IDLE, ControlState.ARMED), (ControlState.ARMED, ControlState.IDLE)])
def test_switching_the_torque_may_take_its_time(states: tuple[ControlState, ControlState]) -> None:
    tape = Tape()
    first, second = tape.frame(state=states[0]), tape.frame(state=states[1])
    second["deadline_ns"] = second["wake_ns"] = first["deadline_ns"] + 200 * MS
    assert judge_all(timing.Lateness(settings()), [first, second])[-1] is PASS


@pytest.mark.parametrize(("missed", "expected"), [(4, None), (5, SLOW), (40, SLOW), (41, STOP)])
def test_missed_ticks_are_a_share_of_all(missed: int, expected: VerdictLevel | None) -> None:
    """41 frames are 40 ticks after the first: 4 missed ones of 44 are 9 %, 5 of 45 are 11 %, 40 of 80 a half."""
    tape = Tape()
    frames = [tape.frame() for _ in range(40)] + [tape.frame(missed_ticks=missed)]
    judgement = judge_all(timing.MissedTicks(settings()), frames)[-1]
    if expected is None:
        assert judgement is PASS
    else:
        assert (judgement.level, judgement.value) == pytest.approx((expected, missed / (40 + missed)))


@pytest.mark.parametrize(("overdue_ns", "stops"), [(-MS, False), (0, False), (MS, False), (MS + 1, True)])
def test_an_expired_action_stops(overdue_ns: int, stops: bool) -> None:
    frame = Tape().frame(action_expires_ns=START_NS - overdue_ns)
    judgement = judge_all(timing.StaleAction(settings()), [frame])[0]
    assert judgement == pytest.approx(Judgement(STOP, 0.0, 0.001000001, 0.001) if stops else PASS)


@pytest.mark.parametrize(
    ("made_ns", "lifetime_ns", "stops"), [(0, 1000 * MS, False), (0, 1001 * MS, True), (10**15, 100 * MS, True)]
)
def test_an_action_that_claims_to_live_long_stops(made_ns: int, lifetime_ns: int, stops: bool) -> None:
    """Or one from the future, as after a step of the policy's clock: it would never expire."""
    made_ns += START_NS
    frame = Tape().frame(action_ns=made_ns, action_expires_ns=made_ns + lifetime_ns)
    assert (judge_all(timing.StaleAction(settings()), [frame])[0].level == STOP) == stops


def test_a_policy_has_a_while_for_its_first_action() -> None:
    tape = Tape()
    judgements = judge_all(timing.StaleAction(settings()), [tape.frame(action_ns=-1) for _ in range(21)])
    assert all(judgement is PASS for judgement in judgements[:20])
    assert judgements[20].level == STOP


@pytest.mark.parametrize("state", [s for s in ControlState if s not in (ControlState.RUNNING, ControlState.SLOWED)])
def test_actions_that_nobody_executes_may_be_stale(state: ControlState) -> None:
    tape = Tape(state)
    frames = [tape.frame(action_ns=-1), tape.frame(action_ns=0, action_expires_ns=1)]
    assert judge_all(timing.StaleAction(settings()), frames) == [PASS, PASS]


def test_a_state_that_does_not_exist_is_judged_as_running() -> None:
    frame = Tape().frame(once={"state": 99}, action_expires_ns=0)
    assert judge_all(timing.StaleAction(settings()), [frame])[0].level == STOP


def test_a_lost_heartbeat_slows_and_then_stops() -> None:
    tape = Tape()
    judgements = judge_all(timing.LostHeartbeat(settings()), [tape.frame(heartbeat_ns=START_NS) for _ in range(102)])
    assert all(judgement is PASS for judgement in judgements[:51])
    assert judgements[75].level == SLOW
    assert judgements[75].scale == pytest.approx(0.6)
    assert judgements[100].level == SLOW
    assert judgements[101] == pytest.approx(Judgement(STOP, 0.0, 101 * PERIOD_NS / 1e9, 0.5))


def test_nobody_misses_a_heartbeat_that_was_not_asked_for() -> None:
    tape = Tape()
    frames = [tape.frame(heartbeat_ns=-1) for _ in range(200)]
    assert all(judgement is PASS for judgement in judge_all(timing.LostHeartbeat(settings()), frames))
