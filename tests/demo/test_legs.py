"""What is told of the legs of a tour: where they begin and end, what they reached, and which were cut short."""

import numpy as np
import pytest

from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.geometry import Clearance
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.demo.legs import FlownLeg, flown_legs
from robot_mbrl.policies.tour import Leg, TourSettings
from tests.demo.frames import PERIOD, flight

RUNNING, STOPPED, SLOWED = ControlState.RUNNING, ControlState.STOPPED, ControlState.SLOWED
TOUR = TourSettings(legs=tuple(Leg(policy=f"pets:{name}", seconds=1.0, goal=(0.1, 0.0, 0.0)) for name in "ab"))


class Ruler:
    """An arm whose tool is where its joints say: at (q_0, q_1, 0)."""

    def tool_position(self, position: FloatArray) -> FloatArray:
        return np.array([position[0], position[1], 0.0])

    def clearance(self, position: FloatArray) -> Clearance:
        raise NotImplementedError


def test_legs_follow_each_other_by_the_time_of_running() -> None:
    frames = flight((0.5, ControlState.ARMED), (2.5, RUNNING))
    legs = flown_legs(frames, TOUR, Ruler(), 2)
    assert [(leg.number, leg.leg.policy, leg.cut_short) for leg in legs] == [
        (0, "pets:a", False),
        (1, "pets:b", False),
        (2, "pets:a", True),
    ]
    assert [len(leg.frames) for leg in legs] == [100, 100, 50]


def test_a_slowed_arm_takes_longer_for_its_leg() -> None:
    frames = flight((3.0, SLOWED))
    frames["speed_scale"] = 0.5
    assert [len(leg.frames) for leg in flown_legs(frames, TOUR, Ruler(), 2)] == [200, 100]


def test_after_a_stop_the_next_leg_comes() -> None:
    frames = flight((0.5, RUNNING), (1.0, STOPPED), (1.2, RUNNING))
    legs = flown_legs(frames, TOUR, Ruler(), 2)
    assert [(leg.number, leg.cut_short) for leg in legs] == [(0, True), (1, False), (2, True)]


def leg_with(distance: list[float], *, cut_short: bool = False) -> FlownLeg:
    frames = flight((PERIOD * len(distance), RUNNING))
    return FlownLeg(0, TOUR.legs[0], frames, np.zeros((len(distance), 3)), np.array(distance), cut_short)


def test_a_target_is_reached_at_the_end_of_its_leg() -> None:
    assert leg_with([0.1, 0.03, 0.01]).reached(0.02)
    assert not leg_with([0.1, 0.01, 0.03]).reached(0.02)
    assert not leg_with([0.1, 0.03, 0.01], cut_short=True).reached(0.02)


def test_the_time_to_a_target_counts_until_the_tool_stays() -> None:
    assert leg_with([0.1, 0.01, 0.03, 0.01, 0.01]).time_to(0.02) == pytest.approx(3 * PERIOD)
    assert leg_with([0.01, 0.01]).time_to(0.02) == 0.0
    assert leg_with([0.01, 0.03]).time_to(0.02) is None


def test_the_distance_is_the_tools_from_the_goal() -> None:
    frames = flight((1.5, RUNNING))
    frames["position"][:, 0] = 0.04
    assert flown_legs(frames, TOUR, Ruler(), 2)[0].distance == pytest.approx(0.06)
