"""Each limit of motion and effort on both sides, by hand-computed numbers. Joint 0: 1 rad, 4 rad/s, 40 rad/s², 2 A."""

import math

import pytest

from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.safety import kinematic_limits as limits
from robot_mbrl.safety.judgement import PASS, Judgement
from tests.safety.tape import PERIOD_NS, START_NS, Tape, commanded, judge_all, settings

DT = PERIOD_NS / 1e9
STOP, HOLD, SLOW = VerdictLevel.STOP, VerdictLevel.HOLD, VerdictLevel.SLOW


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        ([1.049, 0], PASS),
        ([1.051, 0], Judgement(HOLD, 0.0, 1.051, 1.0, 0)),
        ([-1.11, 0], Judgement(STOP, 0.0, -1.11, -1.0, 0)),
        ([0, -2.04], PASS),
        ([0, -2.06], Judgement(HOLD, 0.0, -2.06, -2.0, 1)),
        ([0, 3.11], Judgement(STOP, 0.0, 3.11, 3.0, 1)),
        ([1.06, 3.11], Judgement(STOP, 0.0, 3.11, 3.0, 1)),
    ],
)
def test_measured_position(position: list[float], expected: Judgement) -> None:
    assert judge_all(limits.MeasuredPosition(settings()), [Tape().frame(position=position)]) == [expected]


@pytest.mark.parametrize("field", ["requested_position", "action_position"])
@pytest.mark.parametrize(
    ("goal", "expected"),
    [
        ([1.0, 3.0], PASS),
        ([1.0005, 0], PASS),
        ([1.002, 0], Judgement(HOLD, 0.0, 1.002, 1.0, 0)),
        ([0, -2.3], Judgement(STOP, 0.0, -2.3, -2.0, 1)),
    ],
)
def test_command_position(field: str, goal: list[float], expected: Judgement) -> None:
    assert judge_all(limits.CommandPosition(settings()), [Tape().frame(once={field: goal})]) == [expected]


def test_an_action_that_was_never_made_is_not_judged() -> None:
    frame = Tape().frame(action_position=[9, 9], action_ns=-1)
    assert judge_all(limits.CommandPosition(settings()), [frame]) == [PASS]


def ramp(velocity: float, ticks: int) -> list[list[float]]:
    return [[velocity * DT * k, 0.0] for k in range(ticks)]


@pytest.mark.parametrize(
    ("velocity", "level", "scale"), [(3.99, None, 1.0), (6.0, SLOW, 0.6), (-6.0, SLOW, 0.6), (8.01, STOP, 0.0)]
)
def test_measured_velocity(velocity: float, level: VerdictLevel | None, scale: float) -> None:
    tape = Tape()
    frames = [tape.frame(position=position) for position in ramp(velocity, 10)]
    judgement = judge_all(limits.MeasuredVelocity(settings()), frames)[-1]
    if level is None:
        assert judgement is PASS
    else:
        assert (judgement.level, judgement.joint) == (level, 0)
        assert judgement.value == pytest.approx(abs(velocity))
        assert judgement.limit == pytest.approx(4.0 if level == SLOW else 8.0)
        # 6 rad/s is half the way from slow at 4 to stop at 8: half the way from 1 to 0.2.
        assert judgement.scale == pytest.approx(scale)


@pytest.mark.parametrize(("acceleration", "stops"), [(119.0, False), (121.0, True), (-121.0, True)])
def test_measured_acceleration(acceleration: float, stops: bool) -> None:
    tape = Tape()
    frames = [tape.frame(position=[0.5 * acceleration * (k * DT) ** 2, 0.0]) for k in range(16)]
    judgement = judge_all(limits.MeasuredAcceleration(settings()), frames)[-1]
    assert (judgement.level == STOP) == stops
    if stops:
        assert (judgement.value, judgement.limit) == pytest.approx((121.0, 120.0))


@pytest.mark.parametrize(("jerk", "stops"), [(11_900.0, False), (12_100.0, True)])
def test_measured_jerk(jerk: float, stops: bool) -> None:
    tape = Tape()
    frames = [tape.frame(position=[0.0, jerk * (k * DT) ** 3 / 6]) for k in range(20)]
    judgement = judge_all(limits.MeasuredJerk(settings()), frames)[-1]
    assert (judgement.level == STOP) == stops
    if stops:
        assert (judgement.value, judgement.limit, judgement.joint) == pytest.approx((12_100, 12_000, 1))


def test_command_velocity_is_scaled_to_the_limit() -> None:
    check = limits.CommandVelocity(settings())
    assert judge_all(check, commanded([[0, 0], [3.99 * DT, 0]]))[-1] is PASS
    judgement = judge_all(check, commanded([[0, 0], [5.0 * DT, 0]]))[-1]
    assert (judgement.level, judgement.joint) == (SLOW, 0)
    assert (judgement.value, judgement.limit) == pytest.approx((5.0, 4.0))
    assert judgement.scale == pytest.approx(0.8)
    judgement = judge_all(check, commanded([[0, 0], [0, -16.0 * DT]]))[-1]
    assert (judgement.joint, judgement.scale) == pytest.approx((1, 0.5))
    assert judge_all(check, commanded([[0, 0], [81.0 * DT, 0]]))[-1].level == STOP


def test_a_pause_of_the_loop_gives_no_right_to_a_longer_step() -> None:
    tape, check = Tape(), limits.CommandVelocity(settings())
    first = tape.frame()
    # 100 ms later a step of 0.1 rad would be 1 rad/s, but counts as 5 rad/s over 20 ms.
    late = tape.frame(deadline_ns=START_NS + 100_000_000, requested_position=[0.1, 0])
    judgement = judge_all(check, [first, late])[-1]
    assert (judgement.level, judgement.value) == pytest.approx((SLOW, 5.0))


def test_commands_that_nobody_executes_are_not_judged_for_speed() -> None:
    for state in (ControlState.IDLE, ControlState.HOLDING, ControlState.STOPPED, ControlState.FAULT):
        assert judge_all(limits.CommandVelocity(settings()), commanded([[0, 0], [0.5, 0]], state))[-1] is PASS


def test_command_acceleration_is_slowed_by_its_root_while_it_speeds_up() -> None:
    def path(acceleration: float) -> list[list[float]]:
        return [[0.5 * acceleration * (k * DT) ** 2, 0.0] for k in range(14)]

    check = limits.CommandAcceleration(settings())
    assert judge_all(check, commanded(path(39.0)))[-1] is PASS
    judgement = judge_all(check, commanded(path(160.0)))[-1]
    assert (judgement.level, judgement.joint) == (SLOW, 0)
    assert (judgement.value, judgement.limit) == pytest.approx((160.0, 40.0))
    assert judgement.scale == pytest.approx(0.5)
    assert judge_all(check, commanded(path(401.0)))[-1].level == HOLD


def test_braking_hard_is_not_mended_by_slowing() -> None:
    def braking(deceleration: float) -> list[list[float]]:
        return [[0.8 * DT * k - 0.5 * deceleration * (k * DT) ** 2 + 10 * DT * k, 0.0] for k in range(14)]

    check = limits.CommandAcceleration(settings())
    assert judge_all(check, commanded(braking(80.0)))[-1] is PASS
    assert judge_all(check, commanded(braking(401.0)))[-1].level == HOLD


def test_command_jerk_is_slowed_by_its_cube_root() -> None:
    def path(jerk: float) -> list[list[float]]:
        return [[jerk * (k * DT) ** 3 / 6, 0.0] for k in range(16)]

    check = limits.CommandJerk(settings())
    assert judge_all(check, commanded(path(3990.0)))[-1] is PASS
    judgement = judge_all(check, commanded(path(32_000.0)))[-1]
    assert (judgement.level, judgement.value) == pytest.approx((SLOW, 32_000.0))
    assert judgement.scale == pytest.approx(0.5)
    assert judge_all(check, commanded(path(40_100.0)))[-1].level == HOLD


@pytest.mark.parametrize(("step", "stops"), [(0.39, False), (0.41, True), (-0.41, True)])
def test_action_jump(step: float, stops: bool) -> None:
    """Actions 50 ms apart: twice 4 rad/s are 0.4 rad from one to the next."""
    tape = Tape()
    frames = [tape.frame(action_ns=START_NS, action_position=[0, 0]) for _ in range(10)]
    frames.append(tape.frame(action_ns=START_NS + 50_000_000, action_position=[step, 0]))
    judgement = judge_all(limits.ActionJump(settings()), frames)[-1]
    assert (judgement.level == STOP) == stops
    if stops:
        assert (judgement.value, judgement.limit, judgement.joint) == pytest.approx((8.2, 8.0, 0))


def test_the_tracking_error_is_the_way_to_the_goals_of_the_last_moments() -> None:
    tape, check = Tape(), limits.TrackingError(settings())
    still = [tape.frame() for _ in range(40)]
    moved = [tape.frame(goal_position=[0.5, 0]) for _ in range(40)]
    judgements = judge_all(check, [*still, *moved])
    # The old goal counts for 100 ms, and for up to a sixth more.
    assert all(judgement is PASS for judgement in judgements[: 40 + 20])
    assert judgements[40 + 24] == Judgement(STOP, 0.0, 0.5, 0.2, 0)
    back = judge_all(limits.TrackingError(settings()), [*moved, tape.frame(position=[0.35, 0])])
    assert (back[-1].level, back[-1].value, back[-1].scale) == pytest.approx((SLOW, 0.15, 0.6))


def test_an_arm_on_its_way_between_its_goals_tracks_well() -> None:
    path = [[0.02 * k, 0.0] for k in range(60)]
    tape = Tape()
    frames = [tape.frame(goal_position=goal, position=[max(goal[0] - 0.39, 0), 0]) for goal in path]
    assert all(judgement is PASS for judgement in judge_all(limits.TrackingError(settings()), frames))


@pytest.mark.parametrize(("load", "stops"), [(0.89, False), (0.91, True), (-0.91, True)])
def test_load_needs_persistence(load: float, stops: bool) -> None:
    tape = Tape()
    frames = [tape.frame(load=[0, load]) for _ in range(21)]
    judgements = judge_all(limits.Load(settings()), frames)
    assert all(judgement is PASS for judgement in judgements[:20])
    assert judgements[20] == (Judgement(STOP, 0.0, 0.91, 0.9, 1) if stops else PASS)


def test_a_break_starts_persistence_again() -> None:
    tape = Tape()
    frames = [tape.frame(load=[0, 0.0 if k == 15 else 1.0]) for k in range(36)]
    assert all(judgement is PASS for judgement in judge_all(limits.Load(settings()), frames))


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ([1.99, 99.0], PASS),
        ([-2.01, math.nan], Judgement(STOP, 0.0, 2.01, 2.0, 0)),
        ([math.nan, math.nan], PASS),
    ],
)
def test_current_counts_where_it_is_measured(current: list[float], expected: Judgement) -> None:
    tape = Tape()
    judgements = judge_all(limits.Current(settings()), [tape.frame(current=current) for _ in range(21)])
    assert judgements[19] is PASS
    assert judgements[20] == pytest.approx(expected)


def test_what_was_executed_is_judged_though_nothing_fast_was_requested() -> None:
    """Goals that went at 5 rad/s while requests stood still: whoever limits the motion has failed."""
    tape, check = Tape(), limits.CommandVelocity(settings())
    frames = [tape.frame(goal_position=[5.0 * DT * k, 0], requested_position=[0, 0]) for k in range(4)]
    judgement = judge_all(check, frames)[-1]
    assert (judgement.level, judgement.value, judgement.joint) == pytest.approx((SLOW, 5.0, 0))


def test_a_motion_that_is_taken_over_starts_from_the_held_goals() -> None:
    tape, check = Tape(ControlState.HOLDING), limits.CommandVelocity(settings())
    holding = [tape.frame(goal_position=[0.5, 0], requested_position=[0.9, 0]) for _ in range(3)]
    smooth = tape.frame(state=ControlState.RUNNING, requested_position=[0.5 + 3.9 * DT, 0])
    assert judge_all(check, [*holding, smooth])[-1] is PASS
    tape = Tape(ControlState.HOLDING)
    holding = [tape.frame(goal_position=[0.5, 0], requested_position=[0.9, 0]) for _ in range(3)]
    jumping = tape.frame(state=ControlState.RUNNING, requested_position=[0.91, 0])
    assert judge_all(check, [*holding, jumping])[-1].level == STOP
