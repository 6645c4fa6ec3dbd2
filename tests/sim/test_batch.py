"""The batched environment against the single one: same episodes, parameters and actions, same trajectories."""

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError, LimitViolation, NonFiniteCommand, SimulationError
from robot_mbrl.sim.batch import BatchTaskEnv
from robot_mbrl.sim.randomization import PUBLISHED_RANGES, Randomization
from robot_mbrl.sim.tasks import Episode, TaskEnv, make_task

NSIM = 5


def batch_of(name: str, seed: int, nthread: int = 2, randomization: Randomization | None = None) -> BatchTaskEnv:
    random = np.random.default_rng(seed)
    return BatchTaskEnv(make_task(name), NSIM, random, nthread=nthread, randomization=randomization)


@pytest.mark.parametrize("name", ["reach", "push"])
@pytest.mark.parametrize("randomization", [None, PUBLISHED_RANGES], ids=["nominal", "randomized"])
def test_each_simulation_does_what_a_single_environment_does(name: str, randomization: Randomization | None) -> None:
    """Through the end of the episode and into the next one, with the same generators."""
    task = make_task(name)
    batch = batch_of(name, seed=3, randomization=randomization)
    singles = [TaskEnv(task, randomization=randomization) for _ in range(NSIM)]
    for single, random in zip(singles, np.random.default_rng(3).spawn(NSIM), strict=True):
        single.np_random = random
    np.testing.assert_array_equal(batch.reset(), np.array([single.reset()[0] for single in singles]))
    actions = np.random.default_rng(4).uniform(-1.2, 1.2, (task.time_limit + 5, NSIM, task.layout.joints))
    for step, action in enumerate(actions):
        observation, reward, terminated, truncated, info = batch.step(action)
        results = [single.step(row) for single, row in zip(singles, action, strict=True)]
        np.testing.assert_array_equal(info["final_observation"], np.array([result[0] for result in results]))
        np.testing.assert_allclose(reward, [result[1] for result in results], rtol=0.0, atol=1e-14)
        assert info["success"].tolist() == [result[4]["success"] for result in results]
        np.testing.assert_allclose(info["distance"], [result[4]["distance"] for result in results], rtol=1e-14)
        assert not terminated.any()
        ends = step + 1 == task.time_limit
        assert truncated.tolist() == [result[3] for result in results] == [ends] * NSIM
        if ends:
            np.testing.assert_array_equal(observation, np.array([single.reset()[0] for single in singles]))
        else:
            np.testing.assert_array_equal(observation, info["final_observation"])
    assert batch.truths == [single.truth for single in singles]


def test_simulations_have_parameters_of_their_own() -> None:
    batch = batch_of("reach", seed=0, randomization=PUBLISHED_RANGES)
    batch.reset()
    first = list(batch.truths)
    assert len({truth.joints[0].resistance for truth in first}) == NSIM
    batch.reset(np.array([True, False, False, False, True]))
    assert [truth is old for truth, old in zip(batch.truths, first, strict=True)] == [False, True, True, True, False]


def test_only_masked_simulations_start_anew() -> None:
    batch = batch_of("reach", seed=0)
    batch.reset()
    before, *_ = batch.step(np.full((NSIM, 6), 0.5))
    mask = np.array([False, True, False, True, False])
    after = batch.reset(mask)
    np.testing.assert_array_equal(after[~mask], before[~mask])
    assert np.all(batch.task.layout.part(after[mask], "velocities") == 0.0)
    assert np.all(np.any(after[mask] != before[mask], axis=1))


def test_the_number_of_threads_does_not_matter() -> None:
    observations = []
    for nthread in (1, 2, 3):
        batch = batch_of("push", seed=9, nthread=nthread)
        batch.reset()
        for action in np.random.default_rng(1).uniform(-1.0, 1.0, (20, NSIM, 6)):
            observation, *_ = batch.step(action)
        observations.append(observation)
    np.testing.assert_array_equal(observations[0], observations[1])
    np.testing.assert_array_equal(observations[0], observations[2])


def test_given_episodes_are_used() -> None:
    wanted = batch_of("reach", seed=8).reset()
    batch = batch_of("reach", seed=0)
    part = batch.task.layout.part
    episodes = [Episode(part(row, "joints"), part(row, "goal")) for row in wanted]
    np.testing.assert_array_equal(batch.reset(episodes=episodes), wanted)


def test_returned_arrays_belong_to_the_caller() -> None:
    batch = batch_of("reach", seed=0)
    kept = batch.reset()
    copy = kept.copy()
    first, *_ = batch.step(np.ones((NSIM, 6)))
    first[:] = np.nan
    second, reward, *_ = batch.step(np.ones((NSIM, 6)))
    np.testing.assert_array_equal(kept, copy)
    assert np.isfinite(second).all()
    assert np.isfinite(reward).all()


def test_actions_that_are_not_finite_are_refused_with_their_simulations() -> None:
    batch = batch_of("reach", seed=0)
    batch.reset()
    actions = np.zeros((NSIM, 6))
    actions[[1, 3], 2] = np.nan
    with pytest.raises(NonFiniteCommand, match=r"simulations \[1, 3\]"):
        batch.step(actions)


@pytest.mark.parametrize("shape", [(6,), (3, 6), (2, 5), (2, 6, 1), ()])
def test_actions_of_another_shape_are_refused_and_move_nothing(shape: tuple[int, ...]) -> None:
    env = batch_of("reach", seed=0)
    env.reset()
    before = env.states()
    with pytest.raises(LimitViolation, match=rf"reach: actions of shape .*: give \({env.nsim}, 6\)"):
        env.step(np.zeros(shape))
    np.testing.assert_array_equal(env.states(), before)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="nsim = 0"):
        BatchTaskEnv(make_task("reach"), 0, np.random.default_rng(0))
    batch = batch_of("reach", seed=0)
    with pytest.raises(ConfigError, match=r"shape \(2,\)"):
        batch.reset(np.array([True, False]))
    with pytest.raises(ConfigError, match="0 episodes were given for 5"):
        batch.reset(episodes=[])


def test_a_diverged_simulation_is_named_and_can_be_reset() -> None:
    batch = batch_of("reach", seed=0)
    batch.reset()
    sick = np.arange(NSIM) == 2
    batch.reset(sick, [Episode(np.full(6, np.nan), np.zeros(3))])
    with pytest.raises(SimulationError, match=r"diverged in \[2\]"):
        batch.step(np.zeros((NSIM, 6)))
    batch.reset(sick)
    observation, *_ = batch.step(np.zeros((NSIM, 6)))
    assert np.isfinite(observation).all()
