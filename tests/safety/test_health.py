"""Heat, supply, stalls and what servos say of themselves, on both sides of each limit."""

import numpy as np
import pytest

from robot_mbrl.contracts.frame import Record
from robot_mbrl.contracts.types import HardwareError, VerdictLevel
from robot_mbrl.safety import health
from robot_mbrl.safety.judgement import PASS, Judgement
from tests.safety.tape import START_NS, Tape, judge_all, settings

STOP, SLOW = VerdictLevel.STOP, VerdictLevel.SLOW


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        ([50, 49], PASS),
        ([25, 55], Judgement(SLOW, 0.8, 55, 50, 1)),
        ([70, 25], Judgement(SLOW, 0.2, 70, 50, 0)),
        ([71, 72], Judgement(STOP, 0.0, 72, 70, 1)),
    ],
)
def test_heat_derates_and_then_stops(temperature: list[float], expected: Judgement) -> None:
    judgement = judge_all(health.Temperature(settings()), [Tape().frame(temperature=temperature)])[0]
    assert judgement == pytest.approx(expected)


@pytest.mark.parametrize(
    ("voltage", "expected"),
    [
        ([9.01, 4.51], PASS),
        ([8.0, 5.0], Judgement(SLOW, 0.6, 8.0, 9.0, 0)),
        ([8.0, 3.49], Judgement(STOP, 0.0, 3.49, 3.5, 1)),
    ],
)
def test_undervoltage(voltage: list[float], expected: Judgement) -> None:
    judgement = judge_all(health.Undervoltage(settings()), [Tape().frame(voltage=voltage)])[0]
    assert judgement == pytest.approx(expected)


@pytest.mark.parametrize(
    ("voltage", "expected"), [([10.99, 5.49], PASS), ([10.99, 5.51], Judgement(STOP, 0.0, 5.51, 5.5, 1))]
)
def test_overvoltage(voltage: list[float], expected: Judgement) -> None:
    judgement = judge_all(health.Overvoltage(settings()), [Tape().frame(voltage=voltage)])[0]
    assert judgement == pytest.approx(expected)


@pytest.mark.parametrize("never_read", [False, True])
def test_readings_that_are_not_renewed(never_read: bool) -> None:
    tape = Tape()
    stamps = [START_NS, -1] if never_read else [START_NS, START_NS]
    frames = [tape.frame(health_ns=stamps) for _ in range(402)]
    judgements = judge_all(health.HealthAge(settings()), frames)
    assert judgements[100] is PASS
    assert (judgements[101].level, judgements[101].value) == pytest.approx((SLOW, 0.505))
    assert judgements[400].level == SLOW
    assert judgements[401] == pytest.approx(Judgement(STOP, 0.0, 2.005, 2.0, 0))


def test_a_stall_is_effort_without_motion_for_too_long() -> None:
    tape = Tape()
    frames = [tape.frame(load=[0, -0.51]) for _ in range(41)]
    judgements = judge_all(health.Stall(settings()), frames)
    assert all(judgement is PASS for judgement in judgements[:40])
    assert judgements[40] == Judgement(STOP, 0.0, 0.51, 0.5, 1)


@pytest.mark.parametrize("change", ["turns", "light"])
def test_no_stall(change: str) -> None:
    tape = Tape()
    load = 0.49 if change == "light" else 1.0
    rate = 0.06 if change == "turns" else 0.0
    frames = [tape.frame(load=[load, 0], position=[rate * 0.005 * k, 0]) for k in range(60)]
    assert all(judgement is PASS for judgement in judge_all(health.Stall(settings()), frames))


def jam_frames(speed: float, turns: float = 0.0) -> list[Record]:
    """The goal of joint b runs off at `speed` [rad/s] from 0, and the joint turns at `turns` [rad/s]."""
    tape, step = Tape(), 0.005
    return [
        tape.frame(
            position=[0, turns * step * k],
            goal_position=[0, speed * step * k],
            requested_position=[0, speed * step * (k + 1)],
        )
        for k in range(60)
    ]


@pytest.mark.parametrize("speed", [1.0, -1.0])
def test_a_joint_that_rests_while_its_goal_goes_on_is_jammed(speed: float) -> None:
    """At 1 rad/s the goal is 0.15 rad away after 30 ticks; the tick after begins the 50 ms, which are 10 ticks."""
    judgements = judge_all(health.Jam(settings()), jam_frames(speed))
    assert all(judgement is PASS for judgement in judgements[:41])
    assert judgements[41] == pytest.approx(Judgement(STOP, 0.0, 0.205, 0.15, 1))


@pytest.mark.parametrize(("speed", "turns"), [(0.49, 0.0), (1.0, 0.06)])
def test_no_jam(speed: float, turns: float) -> None:
    assert all(judgement is PASS for judgement in judge_all(health.Jam(settings()), jam_frames(speed, turns)))


def test_a_joint_that_was_overtaken_by_its_goal_is_not_jammed() -> None:
    """Goals that come back towards the joint leave it where it is."""
    tape = Tape()
    away = np.arange(0.5, 0.2, -0.005)
    frames = [tape.frame(goal_position=[goal, 0], requested_position=[goal - 0.005, 0]) for goal in away]
    assert all(judgement is PASS for judgement in judge_all(health.Jam(settings()), frames))


@pytest.mark.parametrize("flags", [*map(int, HardwareError), 64, -(2**31)])
def test_any_hardware_error_stops_at_once(flags: int) -> None:
    judgement = judge_all(health.HardwareErrors(settings()), [Tape().frame(hardware_error=[0, flags])])[0]
    assert judgement == Judgement(STOP, 0.0, flags, 0.0, 1)
    assert judge_all(health.HardwareErrors(settings()), [Tape().frame()]) == [PASS]
