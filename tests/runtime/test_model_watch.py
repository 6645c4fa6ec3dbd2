"""The ensemble beside the policy is asked once a period, and its prediction is held against what came of it."""

import math
from typing import Any

import numpy as np
import pytest

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.onnx_ensemble import EnsembleStep
from robot_mbrl.runtime.model_watch import ModelWatch

PERIOD = 0.05
NAMES = ("a", "b")


class Description:
    """Of the ensemble below."""

    joint_names = NAMES
    period = PERIOD


class Believer:
    """Predicts that joints are at their goals one period later, with disagreement 0.1, 0.2, ... as it is asked."""

    description = Description()
    states, actions = 4, 2

    def __init__(self) -> None:
        self.asked: list[tuple[FloatArray, FloatArray]] = []

    def step(self, state: FloatArray, action: FloatArray) -> EnsembleStep:
        """Goals, at rest."""
        self.asked.append((state.copy(), action.copy()))
        return EnsembleStep(np.concatenate([action, np.zeros(2)]), np.full(4, 0.01), 0.1 * len(self.asked))

    def residual(self, predicted: FloatArray, observed: FloatArray, variance: FloatArray) -> float:
        """In standard deviations."""
        return float(np.sqrt(np.mean((predicted - observed) ** 2 / variance)))


def watch() -> tuple[ModelWatch, Believer]:
    believer: Any = Believer()
    return ModelWatch(believer, NAMES), believer


def test_it_is_asked_once_a_period_with_positions_and_velocities() -> None:
    watched, believer = watch()
    position, velocity, goal = np.array([0.1, 0.2]), np.array([0.3, 0.4]), np.array([0.5, 0.6])
    for tick in range(21):
        watched.update(to_ns(0.01 * tick), position, velocity, goal)
    assert len(believer.asked) == 5
    state, action = believer.asked[0]
    assert state.tolist() == [0.1, 0.2, 0.3, 0.4]
    assert action.tolist() == [0.5, 0.6]


def test_the_first_residual_comes_with_the_second_prediction() -> None:
    watched, _ = watch()
    first = watched.update(0, np.zeros(2), np.zeros(2), np.zeros(2))
    assert first.disagreement == pytest.approx(0.1)
    assert math.isnan(first.residual)
    second = watched.update(to_ns(PERIOD), np.array([0.1, 0.0]), np.zeros(2), np.zeros(2))
    # One of four state variables is off by one standard deviation.
    assert second == pytest.approx((0.2, 0.5))
    assert watched.update(to_ns(1.2 * PERIOD), np.ones(2), np.zeros(2), np.zeros(2)) == second


def test_a_prediction_is_not_held_against_a_state_that_came_too_late() -> None:
    watched, _ = watch()
    watched.update(0, np.zeros(2), np.zeros(2), np.zeros(2))
    watched.update(to_ns(PERIOD), np.array([0.1, 0.0]), np.zeros(2), np.zeros(2))
    late = watched.update(to_ns(2.6 * PERIOD), np.ones(2), np.zeros(2), np.zeros(2))
    assert late == pytest.approx((0.3, 0.5))


def test_after_a_reset_nothing_is_compared() -> None:
    watched, _ = watch()
    watched.update(0, np.zeros(2), np.zeros(2), np.zeros(2))
    watched.reset()
    assert math.isnan(watched.update(to_ns(PERIOD), np.ones(2), np.zeros(2), np.zeros(2)).residual)


@pytest.mark.parametrize(("field", "value"), [("states", 3), ("actions", 3)])
def test_an_ensemble_of_another_arm_is_refused(field: str, value: int) -> None:
    believer: Any = Believer()
    setattr(believer, field, value)
    with pytest.raises(ConfigError, match="this arm has a, b and needs 4 and 2"):
        ModelWatch(believer, NAMES)
    with pytest.raises(ConfigError, match="ensemble of a, b"):
        ModelWatch(believer, ("a", "c"))
