"""The ensemble beside the policy answers questions in turn, and its predictions are held against what came of them."""

import math
from typing import Any

import numpy as np
import pytest

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.model_watch import ONWARD_SPEED, Doubt, ModelWatch
from robot_mbrl.policies.onnx_ensemble import EnsembleStep
from robot_mbrl.runtime.motion import APPROACH_SPEED

PERIOD = 0.05
NAMES = ("a", "b")


class Description:
    """Of the ensemble below."""

    joint_names = NAMES
    period = PERIOD


class Believer:
    """Predicts that joints are at their goals one period later, with disagreement 0.1, 0.2, ... as it is asked."""

    description = Description()
    states, actions, members = 4, 2, 5

    def __init__(self) -> None:
        self.asked: list[tuple[FloatArray, FloatArray]] = []
        self.answered: list[int] = []

    def begin(self, state: FloatArray, action: FloatArray) -> None:
        """Take a question."""
        self.asked.append((state.copy(), action.copy()))
        self.answered.append(0)

    def go_on(self, members: int) -> EnsembleStep | None:
        """Goals, at rest, once all have answered."""
        self.answered[-1] += members
        if self.answered[-1] < self.members:
            return None
        action = self.asked[-1][1]
        return EnsembleStep(np.concatenate([action, np.zeros(2)]), np.full(4, 0.01), 0.1 * len(self.asked))

    def residual(self, predicted: FloatArray, observed: FloatArray, variance: FloatArray) -> float:
        """In standard deviations."""
        return float(np.sqrt(np.mean((predicted - observed) ** 2 / variance)))


TICK = 0.01
STILL = np.zeros(2)


def watch() -> tuple[ModelWatch, Believer]:
    believer: Any = Believer()
    return ModelWatch(believer, NAMES), believer


def measured(watched: ModelWatch, time: float, position: FloatArray = STILL, **others: FloatArray) -> Doubt:
    """An update at `time` [s]; what is not given is zero."""
    rest = {"velocity": STILL, "held": STILL, "requested": STILL} | others
    return watched.update(to_ns(time), position, **rest)


def test_it_is_asked_once_a_tick_ahead_until_a_period_has_passed_then_in_turn() -> None:
    watched, believer = watch()
    for tick in range(9):
        ahead, back = np.array([2.0, 2.0]), np.array([1.0, 1.0])
        measured(watched, TICK * tick, held=back, requested=ahead)
    assert [action[0] for _, action in believer.asked] == [2.0, 2.0, 2.0, 2.0, 2.0, 1.0, 2.0, 1.0, 2.0]


@pytest.mark.parametrize(("tick", "ticks"), [(0.01, 1), (0.005, 1), (0.0025, 2), (0.001, 5), (0.0005, 5)])
def test_a_question_takes_five_milliseconds_or_a_tick(tick: float, ticks: int) -> None:
    watched, believer = watch()
    # The first is answered at once: there is no score before.
    assert measured(watched, 0.0).disagreement == pytest.approx(0.1)
    doubts = [measured(watched, tick * (1 + index)).disagreement for index in range(3 * ticks)]
    assert doubts == pytest.approx([0.1 * (1 + (1 + index) // ticks) for index in range(3 * ticks)])
    assert len(believer.asked) == 4


def test_a_question_that_is_answered_later_is_about_the_moment_in_which_it_was_asked() -> None:
    watched, believer = watch()
    tick = 0.001
    for index in range(round(PERIOD / tick) + 1):
        measured(watched, tick * index)
    # One at once, then one every five ticks: the last of these was ahead, so that the next is back.
    assert len(believer.asked) == 11
    asked = tick * (round(PERIOD / tick) + 1)
    doubts = [measured(watched, asked, np.array([0.1, 0.0]))]
    doubts += [measured(watched, asked + tick * later, np.array([0.7, 0.0])) for later in range(1, 5)]
    assert [math.isnan(doubt.residual) for doubt in doubts] == [True, True, True, True, False]
    assert doubts[-1].residual == pytest.approx(0.5)


def test_after_a_pause_a_question_that_was_not_answered_is_forgotten() -> None:
    watched, believer = watch()
    for index in range(3):
        measured(watched, 0.001 * index)
    assert believer.answered == [5, 2]
    measured(watched, 0.002 + 2.1 * PERIOD)
    assert believer.answered[:2] == [5, 2]
    assert believer.answered[2] >= 5


def test_a_residual_is_forgotten_when_nothing_is_compared_any_more() -> None:
    """Measurements 30 ms apart are too far for a period of 50 ms: the last comparison is that of 110 ms, up to 210."""
    watched, _ = watch()
    for tick in range(9):
        measured(watched, TICK * tick)
    doubts = [measured(watched, 0.08 + 0.03 * later, np.array([5.0, 0.0])) for later in range(1, 8)]
    assert doubts[0].residual == pytest.approx(25.0)
    assert [math.isnan(doubt.residual) for doubt in doubts] == 4 * [False] + 3 * [True]
    assert not any(math.isnan(doubt.disagreement) for doubt in doubts)


def test_ahead_it_asks_for_the_present_state_and_goals_that_go_on_at_their_pace() -> None:
    watched, believer = watch()
    for tick in range(7):
        held = np.array([0.1 * tick, 0.0])
        measured(watched, TICK * tick, np.array([tick, 0.0]), held=held, requested=held + np.array([0.1, 0.0]))
    # Of the last period, five ticks, in which the goal has moved by 0.5.
    state, action = believer.asked[-1]
    assert state.tolist() == [6.0, 0.0, 0.0, 0.0]
    assert action.tolist() == pytest.approx([0.6 + 0.1 + 0.5, 0.0])


def test_back_it_asks_for_the_state_of_a_period_ago_and_the_goals_that_were_held_last() -> None:
    watched, believer = watch()
    for tick in range(6):
        held = np.array([0.1 * tick, 0.0])
        measured(watched, TICK * tick, np.array([tick, 7.0]), velocity=np.array([0.0, tick]), held=held)
    state, action = believer.asked[-1]
    assert state.tolist() == [0.0, 7.0, 0.0, 0.0]
    assert action.tolist() == pytest.approx([0.5, 0.0])


def test_the_residual_holds_a_prediction_against_what_came_of_it() -> None:
    watched, _ = watch()
    doubts = [measured(watched, TICK * tick, np.array([0.1 if tick == 5 else 0.0, 0.0])) for tick in range(7)]
    assert math.isnan(doubts[4].residual)
    # One of four state variables is off by one standard deviation.
    assert doubts[5].residual == pytest.approx(0.5)
    assert doubts[6].residual == pytest.approx(0.5)
    assert [round(doubt.disagreement, 1) for doubt in doubts] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.7]


def test_a_measurement_that_is_not_new_changes_nothing() -> None:
    watched, believer = watch()
    first = measured(watched, 1.0)
    assert measured(watched, 1.0, np.ones(2)) == first
    assert measured(watched, 0.9, np.ones(2)) == first
    assert len(believer.asked) == 1


def test_after_a_gap_nothing_is_compared_but_the_last_residual_stays() -> None:
    watched, _ = watch()
    for tick in range(6):
        measured(watched, TICK * tick, np.array([0.1 if tick == 5 else 0.0, 0.0]))
    assert measured(watched, TICK * 5 + 0.06, np.ones(2)).residual == pytest.approx(0.5)


def test_after_a_pause_or_a_reset_nothing_is_known() -> None:
    watched, _ = watch()
    for tick in range(6):
        measured(watched, TICK * tick)
    paused = measured(watched, TICK * 5 + 2.1 * PERIOD, np.ones(2))
    assert math.isnan(paused.residual)
    assert paused.disagreement > 0.0
    watched.reset()
    assert math.isnan(measured(watched, 1.0).residual)


@pytest.mark.parametrize(("field", "value"), [("states", 3), ("actions", 3)])
def test_an_ensemble_of_another_arm_is_refused(field: str, value: int) -> None:
    believer: Any = Believer()
    setattr(believer, field, value)
    with pytest.raises(ConfigError, match="this arm has a, b and needs 4 and 2"):
        ModelWatch(believer, NAMES)
    with pytest.raises(ConfigError, match="ensemble of a, b"):
        ModelWatch(believer, ("a", "c"))


@pytest.mark.parametrize(
    ("wish", "reached"), [(0.01, 0.01), (9.0, ONWARD_SPEED * PERIOD), (-9.0, -ONWARD_SPEED * PERIOD)]
)
def test_on_hold_it_asks_for_the_way_on_that_the_arm_would_come_in_a_period(wish: float, reached: float) -> None:
    watched, believer = watch()
    held = np.array([0.5, 0.2])
    for tick in range(9):
        measured(watched, TICK * tick, held=held, requested=held, wish=held + np.array([wish, wish / 2]))
    _, action = believer.asked[-1]
    np.testing.assert_allclose(action, held + np.array([reached, reached / 2]))


def test_while_the_arm_brakes_it_asks_for_the_motion_that_goes_on_and_the_way_on_from_there() -> None:
    watched, believer = watch()
    for tick in range(7):
        held = np.array([0.1 * tick, 0.0])
        measured(watched, TICK * tick, held=held, requested=held, wish=np.array([9.0, 0.0]))
    _, action = believer.asked[-1]
    np.testing.assert_allclose(action, [0.6 + 0.5 + ONWARD_SPEED * PERIOD, 0.0])


def test_the_way_on_is_at_the_loops_own_pace() -> None:
    assert ONWARD_SPEED == APPROACH_SPEED
