"""Episodes: what is kept of them, how they end, and the noise of random ones."""

import itertools
from typing import Any

import gymnasium
import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.episodes import (
    PlannerActor,
    RandomActor,
    ScriptedActor,
    Transition,
    coloured_noise,
    run_episode,
    seed_for,
)
from robot_mbrl.learning.evaluation import evaluate, summarize
from robot_mbrl.learning.task_models_suite import PendulumModel
from robot_mbrl.learning.tasks import LearningTask, make_learning_task
from robot_mbrl.policies.task_model import Float32Array, Plan
from robot_mbrl.sim.tasks import make_task
from robot_mbrl.sim.tasks.scripted import scripted_controller


class Counter(gymnasium.Env[Any, Any]):
    """Pays what is done; ends after three steps, at the goal when the last action was above a half."""

    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        del options
        self.seed, self.steps = seed, 0
        return np.array([1.0, 0.0, 0.0]), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        info = {"distance": float(1.0 - action[0]), "success": bool(action[0] > 0.5)}
        return np.array([1.0, 0.0, float(self.steps)]), float(action[0]), False, self.steps == 3, info


class Ramp:
    """Acts 0.25, 0.5, 0.75, and doubts 1, 2, 3."""

    def __init__(self) -> None:
        self.disagreement: float | None = None

    def act(self, state: Float32Array) -> Float32Array:
        self.disagreement = float(state[1]) + 1.0
        return np.array([0.25 * self.disagreement], np.float32)


class Ramps:
    def make(self, seed: int) -> Ramp:
        assert seed >= 0
        return Ramp()


def counting(environment: Counter, repeat: int = 1) -> LearningTask:
    return LearningTask("counting", environment, PendulumModel(environment.action_space), repeat)


def test_the_return_is_the_sum_of_the_rewards_and_the_end_is_judged() -> None:
    kept: list[Transition] = []
    outcome = run_episode(counting(Counter(), repeat=4), Ramp(), 5, kept.append)
    assert outcome.total_reward == 1.5
    assert outcome.steps == 12
    assert (outcome.distance, outcome.success, outcome.disagreement) == (0.25, True, 2.0)
    assert [transition.reward for transition in kept] == [0.25, 0.5, 0.75]
    assert [float(transition.next_state[1]) for transition in kept] == [1.0, 2.0, 3.0]
    assert all(after.state is before.next_state for before, after in itertools.pairwise(kept))


class Planned:
    """Plans to do 1, 2, 3, ... tenths, and counts how often it was asked."""

    def __init__(self) -> None:
        self.elapsed: list[int] = []

    def plan(
        self,
        state: Float32Array,
        deadline_ns: int | None = None,
        pending: Float32Array | None = None,
        elapsed: int = 1,
    ) -> Plan:
        del state, deadline_ns, pending
        self.elapsed.append(elapsed)
        actions = np.arange(1.0, 4.0, dtype=np.float32)[:, None] / 10.0
        return Plan(actions, 0.0, actions[:, 0], np.zeros((4, 2), np.float32), iterations=1, finished=True)

    def reset(self) -> None:
        self.elapsed = []

    def refresh(self) -> None:
        """There is no ensemble."""


def test_a_plans_first_actions_are_executed_before_the_next_plan() -> None:
    planner = Planned()
    actor = PlannerActor(planner, actions_per_plan=2)
    found = [float(actor.act(np.zeros(2, np.float32))[0]) for _ in range(5)]
    np.testing.assert_allclose(found, [0.1, 0.2, 0.1, 0.2, 0.1])
    assert planner.elapsed == [1, 2, 2]
    assert actor.disagreement == np.float32(0.1)


def test_evaluation_sees_the_same_episodes_every_time_and_training_sees_others() -> None:
    seen: list[int | None] = []
    environment = Counter()
    for _ in range(2):
        for index in range(3):
            evaluate(counting(environment), Ramps(), 7, index + 1)
            seen.append(environment.seed)
    assert seen[:3] == seen[3:]
    assert len(set(seen)) == 3
    assert not set(seen) & {seed_for(7, 0, index) for index in range(100)}


def test_a_summary_is_over_runs_not_episodes() -> None:
    runs = [evaluate(counting(Counter()), Ramps(), seed, 4) for seed in range(5)]
    summary = summarize(runs, np.random.default_rng(0))
    assert (summary.runs, summary.episodes) == (5, 4)
    assert summary.total_reward == (1.5, 1.5, 1.5)
    assert summary.distance == (0.25, 0.25, 0.25)
    assert summary.success == (1.0, 1.0, 1.0)


def test_random_actions_fill_the_range_and_repeat_by_seed() -> None:
    task = make_learning_task("gymnasium:Pendulum-v1")
    first, second = (RandomActor(task, 1.0, np.random.default_rng(3)) for _ in range(2))
    actions = np.array([first.act(np.zeros(2, np.float32)) for _ in range(1000)])
    np.testing.assert_array_equal(actions, [second.act(np.zeros(2, np.float32)) for _ in range(1000)])
    assert actions.min() == -2.0
    assert actions.max() == 2.0


def test_noise_has_unit_deviation_and_the_spectrum_it_says() -> None:
    noise = coloured_noise(4096, 50, 2.0, np.random.default_rng(0))
    np.testing.assert_allclose(noise.std(axis=0), 1.0)
    power = (np.abs(np.fft.rfft(noise, axis=0)) ** 2).mean(axis=1)[1:-1]
    slope = np.polyfit(np.log(np.arange(1, len(power) + 1)), np.log(power), 1)[0]
    # Fifty draws a frequency put the slope's error near 0.01.
    np.testing.assert_allclose(slope, -2.0, atol=0.05)


def test_a_shown_episode_is_the_scripted_controllers_mixed_with_noise() -> None:
    task = make_learning_task("push")
    observation, _ = task.environment.reset(seed=0)
    expected = scripted_controller(make_task("push"), np.random.default_rng(0)).act(observation)
    actor = ScriptedActor(task, Ramp(), 0.25, np.random.default_rng(0))
    state = task.model.state(observation)
    ramp = 0.25 * (float(state[1]) + 1.0)
    np.testing.assert_allclose(actor.act(state), 0.75 * expected + 0.25 * ramp, atol=1e-5)
    with pytest.raises(ConfigError, match=r"Pendulum.*no scripted controller"):
        ScriptedActor(make_learning_task("gymnasium:Pendulum-v1"), Ramp(), 0.25, np.random.default_rng(0))
