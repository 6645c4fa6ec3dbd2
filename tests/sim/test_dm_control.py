"""The dm_control adapter against dm_control's own environments, step by step."""

import importlib
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from robot_mbrl.contracts.errors import ConfigError, SimulationError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.sim.dm_control_adapter import SuiteEnv, make_suite_env, suite_tasks

# With a kernel: every task of the four domains. Without: a termination by the task, more than one action, a
# before_step of the task's own, a dictionary with scalars.
KERNEL_TASKS = [pair for pair in suite_tasks() if pair[0] in ("cartpole", "reacher", "cheetah", "walker")]
OTHER_TASKS = [("hopper", "hop"), ("finger", "spin"), ("pendulum", "swingup"), ("manipulator", "bring_ball")]


def load(domain: str, task: str, seed: int) -> Any:
    suite = importlib.import_module("dm_control.suite")
    return suite.load(domain, task, task_kwargs={"random": seed})


def flat(timestep: Any) -> FloatArray:
    return np.concatenate([np.ravel(value) for value in timestep.observation.values()])


@pytest.mark.parametrize(("domain", "task"), KERNEL_TASKS + OTHER_TASKS)
def test_observations_and_rewards_are_those_of_dm_control(domain: str, task: str) -> None:
    theirs, ours = load(domain, task, seed=7), make_suite_env(domain, task)
    spec, random = theirs.action_spec(), np.random.default_rng(1)
    timestep = theirs.reset()
    observation, _ = ours.reset(seed=7)
    np.testing.assert_array_equal(observation, flat(timestep))
    for _ in range(120):
        action = random.uniform(-1.0, 1.0, spec.shape)
        timestep = theirs.step(spec.minimum + (action + 1.0) / 2.0 * (spec.maximum - spec.minimum))
        observation, reward, terminated, truncated, _ = ours.step(action)
        np.testing.assert_allclose(observation, flat(timestep), rtol=0.0, atol=1e-12)
        assert reward == pytest.approx(timestep.reward, rel=1e-12, abs=1e-15)
        assert not terminated
        assert truncated == timestep.last()


@pytest.mark.parametrize(
    ("domain", "task", "place", "velocities"),
    [("cartpole", "swingup", 1, [9.0, -7.0]), ("cheetah", "run", 0, [4.0]), ("walker", "walk", 1, [0.8])],
)
def test_rewards_agree_away_from_rest(domain: str, task: str, place: int, velocities: list[float]) -> None:
    """Random actions from rest see little of the reward's range: start with a velocity that reaches its middle."""
    theirs, ours = load(domain, task, seed=3), make_suite_env(domain, task)
    theirs.reset()
    ours.reset(seed=3)
    physics = ours.physics
    rewards = []
    for velocity in velocities:
        for data in (theirs.physics.data, physics.data):
            data.qvel[place] = velocity
        timestep = theirs.step(np.zeros(theirs.action_spec().shape))
        _, reward, _, _, _ = ours.step(np.zeros(ours.action_space.shape or ()))
        assert reward == pytest.approx(timestep.reward, rel=1e-12)
        rewards.append(reward)
    assert all(0.0 < reward < 1.0 for reward in rewards)


def test_the_time_limit_truncates_where_dm_control_ends() -> None:
    ours, theirs = make_suite_env("cheetah", "run"), load("cheetah", "run", seed=0)
    ours.reset(seed=0)
    theirs.reset()
    action = np.zeros(6)
    steps = 1
    while not theirs.step(action).last():
        steps += 1
    ends = [ours.step(action)[2:4] for _ in range(steps)]
    assert steps == 1000
    assert ends[-1] == (False, True)
    assert not any(any(end) for end in ends[:-1])


class _EndsWith:
    """A task's termination rule that ends the episode with one discount."""

    def __init__(self, discount: float) -> None:
        self._discount = discount

    def __call__(self, physics: Any) -> float:
        del physics
        return self._discount


@pytest.mark.parametrize(("discount", "terminated"), [(0.0, True), (0.9, False), (1.0, False)])
def test_only_a_last_discount_of_zero_terminates(
    discount: float, terminated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make_suite_env("pendulum", "swingup")
    env.reset(seed=0)
    monkeypatch.setattr(env.task, "get_termination", _EndsWith(discount))
    assert env.step(np.zeros(1))[2:4] == (terminated, not terminated)


def test_action_repeat_sums_the_rewards_of_its_steps() -> None:
    once, thrice = make_suite_env("walker", "walk"), make_suite_env("walker", "walk", action_repeat=3)
    once.reset(seed=4)
    thrice.reset(seed=4)
    action = np.full(6, 0.3)
    single = [once.step(action) for _ in range(3)]
    observation, reward, _, _, _ = thrice.step(action)
    np.testing.assert_array_equal(observation, single[-1][0])
    assert reward == pytest.approx(sum(step[1] for step in single), rel=1e-12)
    assert thrice.substeps == 3 * once.substeps == 30


def test_the_constructor_seed_is_that_of_the_first_episode() -> None:
    first, _ = make_suite_env("reacher", "hard", seed=5).reset()
    again, _ = make_suite_env("reacher", "hard").reset(seed=5)
    other, _ = make_suite_env("reacher", "hard").reset(seed=6)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_actions_span_the_actuators_ranges() -> None:
    """Quadruped's actuators have the ranges -1..1, -1..1.1 and -0.8..0.8."""
    env = make_suite_env("quadruped", "walk")
    spec = load("quadruped", "walk", seed=0).action_spec()
    assert spec.maximum[:3].tolist() == [1.0, 1.1, 0.8]
    env.reset(seed=0)
    for action, expected in ((-1.0, spec.minimum), (1.0, spec.maximum)):
        env.step(np.full(spec.shape, action))
        np.testing.assert_allclose(env.physics.data.ctrl, np.broadcast_to(expected, spec.shape))


@pytest.mark.filterwarnings("ignore:.*A Box observation space m..imum value is -?infinity:UserWarning")
def test_gymnasium_accepts_it() -> None:
    check_env(make_suite_env("cartpole", "balance"), skip_render_check=True)


def test_actions_go_to_actuators_without_limits_as_they_are() -> None:
    env = make_suite_env("lqr", "lqr_2_1")
    env.reset(seed=0)
    env.step(np.array([0.75]))
    assert env.physics.data.ctrl[0] == 0.75


def test_gymnasium_makes_it_by_name() -> None:
    env = gymnasium.make("robot_mbrl.sim.dm_control_adapter:robot_mbrl/Suite-v0", domain="reacher", task="easy")
    assert isinstance(env.unwrapped, SuiteEnv)


def test_an_action_that_is_not_finite_is_an_error() -> None:
    env = make_suite_env("cheetah", "run")
    env.reset(seed=0)
    with pytest.raises(SimulationError, match="mjWARN_BADCTRL"):
        env.step(np.full(6, np.nan))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cartpol", "swingup"), "no domain 'cartpol': give one of .*cartpole"),
        (("cartpole", "swing_up"), "no task 'swing_up': give one of .*swingup"),
    ],
)
def test_unknown_names_list_the_known_ones(arguments: tuple[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_suite_env(*arguments)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="action_repeat = 0"):
        make_suite_env("cartpole", "swingup", action_repeat=0)
    with pytest.raises(ConfigError, match="remove speed"):
        make_suite_env("cartpole", "swingup").reset(options={"speed": 1})


def test_without_dm_control_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dm_control.suite", None)
    with pytest.raises(ConfigError, match=r"pip install 'robot-mbrl\[dm-control\]'"):
        make_suite_env("cartpole", "swingup")
