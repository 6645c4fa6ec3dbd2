"""Demonstrations: they solve the task at the speed and with the delay of the run, and follow from their seed."""

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.demonstrator import NOISE, Demonstrator
from robot_mbrl.learning.vector_env import make_vector_env

COUNT = 12
EVERYONE = np.arange(COUNT)


def demonstrated(task: str, steps: int, speed: float, delay: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Distances left in the end (k,), and all actions (t, k, a)."""
    envs = make_vector_env(task, COUNT, speed=speed, delay=delay)
    demonstrator = Demonstrator(task, "so101_follower", speed, [0, 5])
    observation, is_first = envs.start(EVERYONE, list(range(COUNT))), np.ones(COUNT, np.bool_)
    actions = []
    for _ in range(steps):
        actions.append(demonstrator.choose(observation, is_first))
        answered = envs.step(EVERYONE, actions[-1])
        observation, is_first = answered.observation, np.zeros(COUNT, np.bool_)
    return answered.distance, np.array(actions)


@pytest.mark.parametrize(("speed", "delay"), [(0.3, (0, 0)), (0.2, (1, 3))])
def test_demonstrations_reach_every_goal_whatever_an_action_stands_for(speed: float, delay: tuple[int, int]) -> None:
    distance, actions = demonstrated("reach", 100, speed, delay)
    assert distance.max() < 0.02
    assert np.abs(actions).max() == 1.0
    assert actions.dtype == np.float32


def test_demonstrations_are_noisy_by_as_much_as_is_said() -> None:
    demonstrator = Demonstrator("reach", "so101_follower", 0.2, [0, 5])
    envs = make_vector_env("reach", COUNT, speed=0.2)
    observation = envs.start(EVERYONE, list(range(COUNT)))
    # There the controller stays where it is.
    observation[:, 21:24] = observation[:, 18:21]
    chosen = np.concatenate([demonstrator.choose(observation, np.zeros(COUNT, np.bool_)) for _ in range(60)])
    spread = np.std(chosen[:, :-1].reshape(60, COUNT, -1), axis=0)
    assert float(np.median(spread)) == pytest.approx(NOISE, rel=0.1)


def test_the_same_seed_gives_the_same_demonstrations_and_another_one_others() -> None:
    envs = make_vector_env("push", COUNT)
    observation, is_first = envs.start(EVERYONE, list(range(COUNT))), np.ones(COUNT, np.bool_)
    chosen = [
        Demonstrator("push", "so101_follower", 1.0, [seed, 5]).choose(observation, is_first) for seed in (0, 0, 1)
    ]
    assert np.array_equal(chosen[0], chosen[1])
    assert not np.array_equal(chosen[0], chosen[2])


def test_there_are_demonstrations_of_the_arms_tasks_only() -> None:
    with pytest.raises(ConfigError, match="demonstrations of gymnasium:Pendulum-v1: there is a controller for"):
        Demonstrator("gymnasium:Pendulum-v1", "so101_follower", 1.0, [0, 5])
