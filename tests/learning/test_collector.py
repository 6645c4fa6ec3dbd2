"""Collecting: what rows mean, whose seeds they come from, and coming back to the middle of episodes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import SimulationError
from robot_mbrl.contracts.types import IntArray
from robot_mbrl.learning.collector import EVALUATION, TRAINING, Collector, EpisodeEnd, RandomActions, episode_seed
from tests.learning.sequence_doubles import Leaning, counting_envs

Row = dict[str, NDArray[Any]]


class Rows:
    """Keeps rows."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def add(self, streams: IntArray, step: Mapping[str, NDArray[Any]], latent: Mapping[str, NDArray[Any]]) -> None:
        """Take them."""
        assert streams.tolist() == list(range(len(streams)))
        self.rows.append({name: np.array(value) for name, value in {**step, **latent}.items()})

    def column(self, name: str, stream: int) -> NDArray[Any]:
        """A field of one stream, (rows, ...)."""
        return np.array([row[name][stream] for row in self.rows])


def collect(ticks: int) -> tuple[Rows, list[EpisodeEnd]]:
    rows, learner = Rows(), Leaning()
    collector = Collector(counting_envs(2), learner, seed=1)
    ends = [end for _ in range(ticks) for end in collector.tick(learner, sink=rows)]
    return rows, ends


def test_a_row_holds_the_action_that_led_to_it_and_an_episode_ends_with_its_last_observation() -> None:
    rows, ends = collect(60)
    for stream in (0, 1):
        counted, number, acted = rows.column("observation", stream).T
        first, last = rows.column("is_first", stream), rows.column("is_last", stream)
        action, reward = rows.column("action", stream)[:, 0], rows.column("reward", stream)
        assert np.array_equal(first, counted == 0)
        assert np.array_equal(first[1:], last[:-1])
        assert np.allclose(acted, 2.0 * action), "actions in -1..1 stand for -2..2"
        assert np.all(action[first] == 0.0)
        assert np.all(reward[first] == 0.0)
        assert np.allclose(reward, number * acted)
        assert np.array_equal(rows.column("is_terminal", stream), last & (counted % 2 == 0))
        lengths = counted[last].astype(int).tolist()
        of_this = [end for end in ends if end.environment == stream]
        assert lengths[: len(of_this)] == [end.length for end in of_this]
        assert [end.success for end in of_this] == [float(length % 2 == 0) for length in lengths[: len(of_this)]]
        starts = np.flatnonzero(first)
        returns = [reward[a : a + n + 1].sum() for a, n in zip(starts, lengths, strict=False)]
        assert np.allclose([end.returned for end in of_this], returns[: len(of_this)])


def test_episodes_come_from_seeds_of_their_own() -> None:
    rows, _ = collect(60)
    seen = [rows.column("observation", stream)[rows.column("is_first", stream), 1] for stream in (0, 1)]
    for stream in (0, 1):
        for episode, number in enumerate(seen[stream]):
            random = np.random.Generator(np.random.PCG64(episode_seed(1, TRAINING, stream, episode)))
            random.integers(7, 13)
            assert number == np.float32(random.random())
    seeds = {episode_seed(s, kind, e, n) for s in (0, 1) for kind in (0, 1) for e in range(5) for n in range(5)}
    assert len(seeds) == 100
    assert episode_seed(1, EVALUATION, 0, 0) not in {episode_seed(1, TRAINING, 0, n) for n in range(1000)}


@pytest.mark.parametrize("ticks", [0, 1, 8, 37])
def test_a_restored_collector_goes_on_to_the_bit(ticks: int) -> None:
    straight, learner = Rows(), Leaning()
    collector = Collector(counting_envs(3), learner, seed=2)
    for _ in range(ticks):
        collector.tick(learner)
    state = collector.state()
    for _ in range(20):
        collector.tick(learner, explore=False, sink=straight)
    again, resumed = Rows(), Collector(counting_envs(3), learner, seed=2)
    resumed.restore(state)
    assert (resumed.ticks, resumed.actions) == (state["counters"][0], state["counters"][1])
    for _ in range(20):
        resumed.tick(learner, explore=False, sink=again)
    for name in straight.rows[0]:
        assert all(np.array_equal(a[name], b[name]) for a, b in zip(straight.rows, again.rows, strict=True)), name


def test_an_environment_that_does_not_follow_from_its_seed_is_found_out() -> None:
    learner = Leaning()
    collector = Collector(counting_envs(2), learner, seed=2)
    for _ in range(4):
        collector.tick(learner)
    state = collector.state()
    state["observation"][1, 1] += 0.5
    with pytest.raises(SimulationError, match=r"environments \[1\] did not come back"):
        Collector(counting_envs(2), learner, seed=2).restore(state)


def test_random_actions_fill_their_range_while_the_learner_still_observes() -> None:
    rows, learner = Rows(), Leaning()
    envs = counting_envs(4)
    collector, chooser = Collector(envs, learner, seed=1), RandomActions(envs.spaces, np.random.default_rng(0))
    for _ in range(200):
        collector.tick(learner, sink=rows, chooser=chooser)
    actions = np.concatenate([rows.column("action", stream)[~rows.column("is_first", stream)] for stream in range(4)])
    assert np.abs(actions).max() <= 1.0
    assert abs(float(actions.mean())) < 0.1
    assert float(actions.var()) == pytest.approx(1.0 / 3.0, rel=0.15)
    assert np.ptp(rows.column("deter", 0)) > 0.0


class Told:
    """Chooses 0.5 everywhere, and keeps what it was told."""

    def __init__(self) -> None:
        self.observations: list[NDArray[Any]] = []
        self.first: list[NDArray[np.bool_]] = []

    def choose(self, observation: NDArray[Any], is_first: NDArray[np.bool_]) -> NDArray[np.float32]:
        """See `Chooser`."""
        self.observations.append(observation.copy())
        self.first.append(is_first.copy())
        return np.full((len(is_first), 1), 0.5, np.float32)


def test_a_chooser_is_told_what_each_row_holds_and_its_actions_lead_to_the_next() -> None:
    rows, told, learner = Rows(), Told(), Leaning()
    collector = Collector(counting_envs(2), learner, seed=1)
    for _ in range(40):
        collector.tick(learner, sink=rows, chooser=told)
    for stream in (0, 1):
        first = rows.column("is_first", stream)
        assert np.array_equal(np.array(told.observations)[:, stream], rows.column("observation", stream))
        assert np.array_equal(np.array(told.first)[:, stream], first)
        assert np.array_equal(rows.column("action", stream)[:, 0], np.where(first, 0.0, 0.5))
