"""When measurements are believed and when not. `NonFinite` and `WellFormed` are tested with the monitor."""

import pytest

from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.safety import plausibility
from robot_mbrl.safety.frame_view import FrameView
from robot_mbrl.safety.judgement import PASS, Judgement
from robot_mbrl.safety.rate_window import RateWindow
from tests.safety.tape import PERIOD_NS, START_NS, Tape, judge_all, settings

STOP, HOLD, SLOW = VerdictLevel.STOP, VerdictLevel.HOLD, VerdictLevel.SLOW


@pytest.mark.parametrize(("field", "back"), [("tick", 0), ("tick", 1), ("wake_ns", 0), ("wake_ns", 1), ("stamp_ns", 1)])
def test_stamps_that_do_not_advance_stop(field: str, back: int) -> None:
    tape = Tape()
    first, second = tape.frame(), tape.frame()
    second[field] = first[field] - back
    judgement = judge_all(plausibility.TimeStamps(settings()), [first, second])[-1]
    assert judgement == Judgement(STOP, 0.0, -back / 1e9, 0.0)


def test_a_measurement_may_be_repeated_while_it_is_young() -> None:
    """At 5 ms a tick: 5, 10, 15, 20 ms old is good enough, from 25 ms on the arm holds, from 55 ms on it stops."""
    tape = Tape()
    first = tape.frame()
    frames = [first] + [tape.frame(stamp_ns=int(first["stamp_ns"][0])) for _ in range(11)]
    levels = [judgement.level for judgement in judge_all(plausibility.TimeStamps(settings()), frames)]
    assert levels == [VerdictLevel.PASS] * 5 + [HOLD] * 6 + [STOP]


@pytest.mark.parametrize(
    ("age", "expected"),
    [(0.0199, None), (-0.0199, None), (0.0201, HOLD), (-0.0201, HOLD), (0.0501, STOP), (-1e6, STOP)],
)
def test_a_measurement_is_of_this_tick(age: float, expected: VerdictLevel | None) -> None:
    frame = Tape().frame(stamp_ns=START_NS - round(age * 1e9))
    (judgement,) = judge_all(plausibility.TimeStamps(settings()), [frame])
    assert judgement is PASS if expected is None else judgement.level == expected


@pytest.mark.parametrize(("step", "stops"), [(0.069, False), (0.071, True), (-0.071, True)])
def test_a_jump_is_further_than_the_velocity_limit_allows(step: float, stops: bool) -> None:
    """In 5 ms joint 0 may turn 0.02 rad; 0.05 more is a jump."""
    tape = Tape()
    judgement = judge_all(plausibility.Jump(settings()), [tape.frame(), tape.frame(position=[step, 0])])[-1]
    assert (judgement.level == STOP) == stops
    if stops:
        assert (judgement.value, judgement.limit, judgement.joint) == pytest.approx((0.051, 0.05, 0))


def test_a_joint_that_does_not_move_with_its_goal_is_frozen() -> None:
    tape = Tape()
    frames = [tape.frame() for _ in range(100)]
    frames += [tape.frame(goal_position=[0, 0.11]) for _ in range(21)]
    judgements = judge_all(plausibility.Frozen(settings()), frames)
    assert all(judgement is PASS for judgement in judgements[:-1])
    assert judgements[-1] == Judgement(STOP, 0.0, 0.11, 0.1, 1)


def test_a_goal_that_swings_past_a_frozen_joint_does_not_hide_it() -> None:
    """Away for 60 ms to one side, near for 50 ms, then away to the other: the ninth frame there makes 100 ms of it."""
    tape = Tape()
    frames = [tape.frame() for _ in range(10)]
    frames += [tape.frame(goal_position=[0.2, 0]) for _ in range(13)]
    frames += [tape.frame(goal_position=[0.05, 0]) for _ in range(10)]
    frames += [tape.frame(goal_position=[-0.2, 0]) for _ in range(9)]
    judgements = judge_all(plausibility.Frozen(settings()), frames)
    assert all(judgement is PASS for judgement in judgements[:-1])
    assert judgements[-1] == Judgement(STOP, 0.0, 0.2, 0.1, 0)


def test_a_joint_that_moved_meanwhile_is_not_frozen() -> None:
    """The same swing of the goal, but the angle changes by one tick while the goal is near."""
    tape = Tape()
    frames = [tape.frame() for _ in range(10)]
    frames += [tape.frame(goal_position=[0.2, 0]) for _ in range(13)]
    frames += [tape.frame(goal_position=[0.0, 0], position=[0.0015, 0]) for _ in range(10)]
    frames += [tape.frame(goal_position=[-0.2, 0]) for _ in range(20)]
    assert all(judgement is PASS for judgement in judge_all(plausibility.Frozen(settings()), frames))


@pytest.mark.parametrize("case", ["goal near", "one tick of the encoder", "stopped"])
def test_a_joint_that_rests_is_not_frozen(case: str) -> None:
    tape = Tape(ControlState.STOPPED if case == "stopped" else ControlState.RUNNING)
    frames = [tape.frame() for _ in range(10)]
    goal = 0.09 if case == "goal near" else 0.5
    for k in range(60):
        # One step of the encoder every 75 ms is slow, but not frozen.
        angle = 0.0015 * (k // 15) if case == "one tick of the encoder" else 0.0
        frames.append(tape.frame(goal_position=[goal * (k / 60), 0], position=[angle, 0]))
    assert all(judgement is PASS for judgement in judge_all(plausibility.Frozen(settings()), frames))


@pytest.mark.parametrize(("reported", "stops"), [(2.99, False), (3.01, True), (0.99, True)])
def test_the_reported_velocity_agrees_with_the_difference(reported: float, stops: bool) -> None:
    """The joint turns at 2 rad/s; 1 rad/s of difference for 50 ms, ten ticks after the first, is too much."""
    tape = Tape()
    frames = [tape.frame(position=[0, 0.01 * k], reported_velocity=[0, 2]) for k in range(10)]
    frames += [tape.frame(position=[0, 0.01 * k], reported_velocity=[0, reported]) for k in range(10, 21)]
    judgements = judge_all(plausibility.VelocityAgainstDifference(settings()), frames)
    # Before there are samples the difference is 0, and 2 rad/s do not agree with it: for less than 50 ms.
    assert all(judgement is PASS for judgement in judgements[:-1])
    assert (judgements[-1].level == STOP) == stops
    if stops:
        assert (judgements[-1].value, judgements[-1].joint) == pytest.approx((1.01, 1))


def test_a_repeated_measurement_does_not_stand_still() -> None:
    """A joint at 2 rad/s goes on at 2 rad/s in a cycle that could not be read."""
    tape = Tape()
    frames = [tape.frame(position=[0, 0.01 * k], reported_velocity=[0, 2]) for k in range(20)]
    repeated = tape.frame(stamp_ns=int(frames[-1]["stamp_ns"][0]))
    judgements = judge_all(_Velocity(), [*frames, repeated])
    assert [judgement.value for judgement in judgements[-2:]] == pytest.approx([2.0, 2.0])


class _Velocity:
    """Not a limit: tells the measured velocity of joint 1."""

    name = "velocity"

    def judge(self, view: FrameView) -> Judgement:
        return Judgement(VerdictLevel.PASS, value=view.measured.velocity[1])


@pytest.mark.parametrize(("errors", "expected"), [(5, None), (6, SLOW), (25, SLOW), (26, STOP)])
def test_bus_errors_are_a_share_of_the_transactions(errors: int, expected: VerdictLevel | None) -> None:
    tape = Tape()
    frames = [tape.frame() for _ in range(10)]
    frames.append(tape.frame(corrupt=errors // 2, timeouts=errors - errors // 2))
    judgement = judge_all(plausibility.BusErrors(settings()), frames)[-1]
    assert judgement is PASS if expected is None else (judgement.level, judgement.value) == (expected, errors / 100)


def test_a_share_forgets_what_is_older_than_its_window() -> None:
    window = RateWindow(1.0)
    assert window.share(0, 0, 0) == 0.0
    assert window.share(PERIOD_NS, 5, 19) == 0.0
    assert window.share(2 * PERIOD_NS, 5, 20) == 0.25
    shares = [window.share(k * 100_000_000, 5, 20 + 10 * k) for k in range(1, 15)]
    assert shares[0] == 5 / 30
    assert shares[-1] == 0.0


def test_a_share_starts_again_with_its_counts() -> None:
    window = RateWindow(1.0)
    window.share(0, 100, 1000)
    assert window.share(PERIOD_NS, 0, 0) == 0.0
    assert window.share(2 * PERIOD_NS, 5, 50) == 0.1
