"""Tours: legs follow each other by the episode's time, each an episode of its own; one that is cut short is over."""

from collections.abc import Mapping

import numpy as np
import pytest

from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import Action, FloatArray
from robot_mbrl.policies.registry import build_policy
from robot_mbrl.policies.tour import Leg, TourClock, TourPolicy, TourSettings
from tests.policies.two_joints import SPACE

FIRST, SECOND = (0.1, 0.2, 0.3), (0.3, 0.2, 0.1)


class Witness:
    """Notes what it is asked; does nothing."""

    def __init__(self) -> None:
        self.resets = 0
        self.seen: list[tuple[float, tuple[float, ...] | None]] = []

    def reset(self) -> None:
        self.resets += 1

    def act(self, observation: Mapping[str, FloatArray]) -> Action:
        goal = observation.get("goal")
        self.seen.append((float(observation["time"][0]), None if goal is None else tuple(goal.tolist())))
        return Action(np.zeros(2), 0.5, 0)


def run(tour: TourPolicy, *times: float) -> None:
    for time in times:
        tour.act({"time": np.array([time]), "commanded": np.zeros(2)})


def tour_of(a: Witness, b: Witness) -> TourPolicy:
    legs = (Leg(policy="a", seconds=2.0, goal=FIRST), Leg(policy="b", seconds=1.0), Leg(policy="a", seconds=1.0))
    return TourPolicy(TourSettings(legs=legs), {"a": a, "b": b})


def test_each_leg_has_its_policy_its_goal_and_a_time_of_its_own() -> None:
    a, b = Witness(), Witness()
    run(tour_of(a, b), 0.0, 1.5, 2.0, 2.5, 3.0, 4.25)
    assert a.seen == [(0.0, FIRST), (1.5, FIRST), (0.0, None), (0.25, FIRST)]
    assert b.seen == [(0.0, None), (0.5, None)]


def test_doubt_is_told_where_one_policy_alone_has_it() -> None:
    here = {"time": np.array([0.0]), "commanded": np.zeros(2)}
    alone = TourPolicy(TourSettings(legs=(Leg(policy="a", seconds=1.0),)), {"a": Witness()})
    assert alone.act(here).disagreement == 0.5
    assert np.isnan(tour_of(Witness(), Witness()).act(here).disagreement)


def test_a_leg_begins_with_a_reset_of_its_policy() -> None:
    a, b = Witness(), Witness()
    run(tour_of(a, b), 0.0, 1.0)
    assert (a.resets, b.resets) == (0, 0)
    run(tour_of(a, b), 0.0, 1.0, 2.0, 2.9)
    assert (a.resets, b.resets) == (0, 1)


def test_waiting_for_the_first_motion_uses_no_leg_up() -> None:
    """An arm that is armed asks for an action again and again, with a reset before each."""
    a, b = Witness(), Witness()
    tour = tour_of(a, b)
    for _ in range(3):
        tour.reset()
        run(tour, 0.0)
    run(tour, 1.0)
    assert [goal for _, goal in a.seen] == [FIRST] * 4
    assert not b.seen


def test_after_a_stop_the_next_leg_comes() -> None:
    a, b = Witness(), Witness()
    tour = tour_of(a, b)
    run(tour, 0.0, 0.5)
    tour.reset()
    run(tour, 0.0, 0.9, 1.0)
    assert b.seen == [(0.0, None), (0.9, None)]
    assert a.seen[2:] == [(0.0, None)]


def test_a_long_pause_skips_whole_legs() -> None:
    clock = TourClock([2.0, 1.0])
    assert clock.advance(5.5)
    assert (clock.number, clock.begun) == (3, 5.0)


def test_a_tour_is_built_by_name_with_goals_for_those_that_want_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("tour")
    waypoints = "waypoints: [{duration: 1.0, position: {pan: 0.5, lift: 0.0}}]\n"
    (folder / "there.yaml").write_text(waypoints, encoding="utf-8")
    legs = (Leg(policy=f"scripted:{folder / 'there.yaml'}", seconds=2.0),)
    (folder / "tour.yaml").write_text(dump_settings(TourSettings(legs=legs)), encoding="utf-8")
    policy = build_policy(f"tour:{folder / 'tour.yaml'}", SPACE)
    action = policy.act({"time": np.array([1.9]), "commanded": np.zeros(2)})
    assert action.position.tolist() == [0.5, 0.0]


def test_a_tour_needs_its_file_and_its_legs(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ConfigError, match="tour:FILE"):
        build_policy("tour", SPACE)
    path = tmp_path_factory.mktemp("tour") / "empty.yaml"
    path.write_text("legs: []\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="legs"):
        build_policy(f"tour:{path}", SPACE)
