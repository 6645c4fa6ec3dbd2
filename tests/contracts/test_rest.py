"""Rest: by readings that lie close together for long enough, of joints that answer now and then."""

import numpy as np
import pytest

from robot_mbrl.contracts.clock import ManualClock, to_ns
from robot_mbrl.contracts.rest import REST_PATIENCE, REST_SPREAD, REST_TIME, RestWatch, await_rest
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import RAD_PER_TICK

NAN = float("nan")


@pytest.mark.parametrize(
    ("readings", "rests"),
    [
        ([[0.1, 0.2], [0.1, 0.2], [0.1, 0.2]], True),
        ([[0.1, 0.2], [0.1, 0.3], [0.1, 0.4]], False),
        ([[0.1, NAN], [0.1, NAN], [0.1, NAN]], True),
        ([[0.1, 0.2], [0.1, NAN], [0.1, 0.4]], False),
        ([[0.1, 0.2], [0.1, NAN], [0.1, 0.2]], True),
        ([[0.1, 0.2], [0.1, NAN], [0.1, NAN]], False),
        ([[NAN, NAN], [NAN, NAN], [NAN, NAN]], False),
    ],
    ids=["both rest", "one moves", "one is mute", "one moves and stammers", "one stammers", "one word of one", "none"],
)
def test_a_joint_that_answers_now_and_then_counts(readings: list[list[float]], rests: bool) -> None:
    watch = RestWatch(2)
    told = [watch.rests(10**9 + to_ns(index * REST_TIME / 2), np.array(row)) for index, row in enumerate(readings)]
    assert told == [False, False, rests]


def test_an_encoder_that_is_off_by_a_tick_to_either_side_now_and_then_is_at_rest() -> None:
    random, watch = np.random.default_rng(0), RestWatch(6)
    rows = RAD_PER_TICK * random.choice([-1.0, 0.0, 1.0], size=(200, 6), p=[0.1, 0.8, 0.1])
    assert [watch.rests(index * to_ns(0.005), row) for index, row in enumerate(rows)].index(True) == 20


def test_two_answers_a_moment_apart_after_an_outage_are_no_rest() -> None:
    watch, step = RestWatch(1), to_ns(0.002)
    told = [watch.rests(index * step, np.array([NAN])) for index in range(60)]
    told += [watch.rests(index * step, np.array([0.5 * 0.002 * index])) for index in range(60, 63)]
    assert not any(told)


def test_rest_begins_with_the_last_motion_and_creeping_is_none() -> None:
    watch, step = RestWatch(1), to_ns(0.01)
    moving = [0.02 * index for index in range(10)]
    told = [watch.rests(index * step, np.array([angle])) for index, angle in enumerate([*moving, *[0.18] * 11])]
    assert told.index(True) == 9 + round(REST_TIME / 0.01)
    creeping = RestWatch(1)
    speed = 1.5 * REST_SPREAD / REST_TIME
    assert not any(creeping.rests(index * step, np.array([speed * 0.01 * index])) for index in range(200))


@pytest.mark.parametrize(("still_after", "rests"), [(0.5, True), (60.0, False)])
def test_who_waits_for_rest_waits_no_longer_than_patience(still_after: float, rests: bool) -> None:
    clock = ManualClock()
    begun = clock.now_ns()

    def read() -> FloatArray:
        elapsed = (clock.now_ns() - begun) * 1e-9
        return np.array([np.sin(20.0 * min(elapsed, still_after))])

    assert await_rest(clock, read, 0.005) is rests
    taken = (clock.now_ns() - begun) * 1e-9
    assert taken == pytest.approx(still_after + REST_TIME if rests else REST_PATIENCE, abs=0.02)
