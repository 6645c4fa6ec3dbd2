"""Environments in step: each task's numbers are those of its own environment, and follow from seed and actions."""

import gymnasium
import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.vector_env import EnvSpaces, make_vector_env
from robot_mbrl.policies.dreamer_settings import Difference
from robot_mbrl.sim.dm_control_adapter import make_suite_env
from robot_mbrl.sim.tasks import make_env, make_task
from robot_mbrl.sim.tasks.workspace import Workspace

EVERYONE = np.arange(2)


def test_the_twins_steps_are_those_of_its_task() -> None:
    envs = make_vector_env("reach", 2)
    sizes = (*[1.0] * 18, *[0.1] * 6)
    gap = Difference(minuend=21, subtrahend=18, length=3, magnitude=0.03)
    assert envs.spaces == EnvSpaces(
        (24,), pixels=False, actions=6, discrete=False, magnitudes=sizes, differences=(gap,)
    )
    first = envs.start(EVERYONE, [7, 8])
    task, env = make_task("reach"), make_env("reach")
    episode = task.draw_episode(Workspace(env.model, task.arm), np.random.default_rng(8))
    observation, _ = env.reset(seed=0, options={"joints": episode.joints, "goal": episode.goal})
    assert np.array_equal(first[1], observation.astype(np.float32))
    for action in np.random.default_rng(0).uniform(-1.0, 1.0, (100, 2, 6)).astype(np.float32):
        steps = envs.step(EVERYONE, action)
        observation, reward, _, truncated, info = env.step(action[1])
        assert np.array_equal(steps.observation[1], observation.astype(np.float32))
        assert steps.reward[1] == pytest.approx(reward)
        assert steps.distance[1] == pytest.approx(info["distance"])
        assert steps.success[1] == float(info["success"])
        assert steps.truncated.tolist() == [truncated, truncated]
    assert truncated
    assert not steps.terminated.any()


def test_an_action_of_one_is_the_given_share_of_the_top_speed() -> None:
    slow, full = make_vector_env("reach", 1, speed=0.25), make_vector_env("reach", 1)
    alone = np.arange(1)
    slow.start(alone, [3])
    full.start(alone, [3])
    action = np.array([[1.0, -1.0, 0.5, 4.0, 0.0, -0.5]], np.float32)
    quarter = 0.25 * np.clip(action, -1.0, 1.0)
    assert np.array_equal(slow.step(alone, action).observation, full.step(alone, quarter).observation)
    with pytest.raises(ConfigError, match="only reach and push have them"):
        make_vector_env("gymnasium:Pendulum-v1", 1, speed=0.5)


def test_actions_cost_their_mean_square_times_the_effort_that_was_given() -> None:
    costly, free = (make_vector_env("reach", 1, speed=0.2, delay=(1, 1), effort=effort) for effort in (0.3, 0.0))
    alone = np.arange(1)
    costly.start(alone, [3])
    free.start(alone, [3])
    action = np.array([[1.0, -1.0, 0.5, 4.0, 0.0, -0.5]], np.float32)
    dear, cheap = costly.step(alone, action), free.step(alone, action)
    assert np.array_equal(dear.observation, cheap.observation)
    # 3 joints at full speed, 2 at half, 1 at rest: (3 + 0.5) / 6.
    assert cheap.reward[0] - dear.reward[0] == pytest.approx(0.3 * 3.5 / 6.0)
    with pytest.raises(ConfigError, match=r"effort = 0\.3, but only reach and push have them"):
        make_vector_env("dm_control:reacher-easy", 1, effort=0.3)


def test_targets_reach_the_servos_as_late_as_was_drawn_and_are_observed_at_once() -> None:
    late, prompt = make_vector_env("reach", 2, delay=(2, 2)), make_vector_env("reach", 2)
    late.start(EVERYONE, [3, 4])
    prompt.start(EVERYONE, [3, 4])
    places, random = make_task("reach").layout.slices, np.random.default_rng(0)
    actions = random.uniform(-0.3, 0.3, (6, 2, 6)).astype(np.float32)
    waiting = np.zeros((2, 2, 6), np.float32)
    for action, executed in zip(actions, np.concatenate([waiting, actions[:-2]]), strict=True):
        seen, moved = late.step(EVERYONE, action).observation, prompt.step(EVERYONE, executed).observation
        assert seen[:, places["joints"]] == pytest.approx(moved[:, places["joints"]], abs=1e-6)
        ahead = seen[:, places["targets"]] - moved[:, places["targets"]]
    scale = make_task("reach").action_scale
    assert ahead == pytest.approx((actions[-1] + actions[-2]) * scale, abs=1e-5)


def test_the_delay_of_an_episode_follows_from_its_seed_wherever_it_runs() -> None:
    everyone, moved = np.arange(3), [2, 0, 1]
    envs, others = (make_vector_env("reach", 3, delay=(0, 3)) for _ in range(2))
    first, other = envs.start(everyone, [5, 6, 7]), others.start(everyone, [7, 5, 6])
    assert np.array_equal(first[moved], other)
    for action in np.random.default_rng(0).uniform(-1.0, 1.0, (6, 3, 6)).astype(np.float32):
        seen, expected = envs.step(everyone, action).observation, others.step(everyone, action[moved]).observation
        assert np.array_equal(seen[moved], expected)


def test_an_episode_of_the_twin_follows_from_its_seed_whatever_came_before() -> None:
    envs = make_vector_env("push", 2)
    envs.start(EVERYONE, [1, 2])
    envs.step(EVERYONE, np.ones((2, 6), np.float32))
    again = envs.start(np.array([1]), [5])
    fresh = make_vector_env("push", 2).start(EVERYONE, [5, 6])
    assert np.array_equal(again[0], fresh[0])


def test_dm_controls_suite_keeps_its_rewards_and_repeats_actions() -> None:
    envs = make_vector_env("dm_control:reacher-easy", 2, repeat=2)
    assert envs.repeat == 2
    env = make_suite_env("reacher", "easy", action_repeat=2)
    observation, _ = env.reset(seed=11)
    assert np.array_equal(envs.start(EVERYONE, [10, 11])[1], observation.astype(np.float32))
    action = np.array([[0.5, -0.5], [1.0, -0.25]], np.float32)
    for _ in range(20):
        steps = envs.step(EVERYONE, action)
        observation, reward, *_ = env.step(action[1])
        assert np.array_equal(steps.observation[1], observation.astype(np.float32))
        assert steps.reward[1] == reward
    assert np.isnan(steps.success).all()


def test_gymnasiums_actions_are_scaled_to_their_own_bounds_and_choices_decoded() -> None:
    envs = make_vector_env("gymnasium:Pendulum-v1", 1)
    env = gymnasium.make("Pendulum-v1")
    env.reset(seed=4)
    envs.start(np.array([0]), [4])
    observation, reward, *_ = env.step(np.array([1.0], np.float32))
    steps = envs.step(np.array([0]), np.array([[0.5]], np.float32))
    assert np.allclose(steps.observation[0], observation)
    assert steps.reward[0] == pytest.approx(float(reward))
    cart = make_vector_env("gymnasium:CartPole-v1", 1)
    assert cart.spaces == EnvSpaces((4,), pixels=False, actions=2, discrete=True)
    env = gymnasium.make("CartPole-v1")
    env.reset(seed=4)
    cart.start(np.array([0]), [4])
    pushed = cart.step(np.array([0]), np.array([[0.0, 1.0]], np.float32))
    assert np.allclose(pushed.observation[0], env.step(1)[0])
    cart.close()
    envs.close()


@pytest.mark.parametrize(
    ("name", "repeat", "words"),
    [
        ("walk", 1, "unknown task 'walk'"),
        ("reach", 2, "only dm_control's tasks repeat actions"),
        ("dm_control:reacher-hardest", 1, "no task 'hardest'"),
        ("gymnasium:NoSuchThing-v9", 1, "give a registered id"),
        ("gymnasium:no_such_module:Thing-v0", 1, "No module named 'no_such_module'.*install what it needs"),
        ("gymnasium:robot_mbrl/Suite-v0", 1, "give a registered id"),
        ("gymnasium:FrozenLake-v1", 1, "its observation is a Discrete"),
    ],
)
def test_what_there_is_not_is_refused_with_one_line(name: str, repeat: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        make_vector_env(name, 1, repeat=repeat)
    assert "\n" not in str(caught.value)


def test_a_task_without_a_time_limit_is_refused_with_one_line() -> None:
    """What is collected of an episode is kept until it ends, and an evaluation waits for that."""
    gymnasium.register("robot_mbrl_tests/Endless-v0", "gymnasium.envs.classic_control:PendulumEnv")
    try:
        with pytest.raises(ConfigError, match="its episodes may never end: register it with max_episode_steps"):
            make_vector_env("gymnasium:robot_mbrl_tests/Endless-v0", 1)
    finally:
        del gymnasium.registry["robot_mbrl_tests/Endless-v0"]
