"""How the legs of a tour went, from the frames of its flight alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.geometry import ArmGeometry
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.learning.flight_episodes import FOLLOWING
from robot_mbrl.policies.tour import Leg, TourClock, TourSettings

_RUN = (*FOLLOWING, ControlState.HOLDING)


@dataclass(frozen=True, slots=True)
class FlownLeg:
    """One leg.

    Attributes:
        number: counted on from turn to turn of the tour.
        leg: as the tour says.
        frames: (k,) of it.
        tool: (k, 3) where the tool was, by the measured angles [m].
        distance: (k,) from the tool to the leg's goal [m]; NaN without a goal.
        cut_short: whether a hold, a stop or the end of the run ended it.
    """

    number: int
    leg: Leg
    frames: FrameArray
    tool: FloatArray
    distance: FloatArray
    cut_short: bool

    @property
    def start_ns(self) -> int:
        """When it began [ns]."""
        return int(self.frames["wake_ns"][0])

    def reached(self, tolerance: float) -> bool:
        """Whether the tool was within `tolerance` [m] of the goal at the leg's end."""
        return not self.cut_short and bool(self.distance[-1] < tolerance)

    def time_to(self, tolerance: float) -> float | None:
        """After how long the tool was within `tolerance` [m] and stayed there [s]; None where it did not."""
        outside = np.flatnonzero(~(self.distance < tolerance))
        first = int(outside[-1]) + 1 if outside.size else 0
        if first == len(self.distance):
            return None
        return (int(self.frames["wake_ns"][first]) - self.start_ns) / NANOSECONDS


def flown_legs(frames: FrameArray, tour: TourSettings, geometry: ArmGeometry, joints: int) -> list[FlownLeg]:
    """The legs in `frames` (k,) of the flight of `tour` on an arm with `joints` joints."""
    found = []
    for number, part, cut_short in _parts(frames, tour):
        leg = tour.legs[number % len(tour.legs)]
        rows = frames[part]
        tool = np.array([geometry.tool_position(position) for position in rows["position"][:, :joints]])
        goal = np.full(3, np.nan) if leg.goal is None else np.array(leg.goal)
        found.append(FlownLeg(number, leg, rows, tool, np.linalg.norm(tool - goal, axis=1), cut_short))
    return found


def _parts(frames: FrameArray, tour: TourSettings) -> Iterator[tuple[int, slice, bool]]:
    """Number, rows and whether it was cut short, of each leg."""
    clock = TourClock([leg.seconds for leg in tour.legs])
    flying = np.isin(frames["state"], _RUN)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flying, [False]]).astype(int))).tolist()
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        times = _episode_time(frames[begin:end])
        clock.restart()
        since = begin
        number = clock.number
        for row, time in enumerate(times.tolist(), start=begin):
            if clock.advance(time):
                yield number, slice(since, row), False
                since, number = row, clock.number
        yield number, slice(since, end), True


def _episode_time(frames: FrameArray) -> NDArray[np.float64]:
    """(k,) the policy's time [s]: it runs slower while the arm is slowed, and stands still while it is held."""
    passed = np.diff(frames["stamp_ns"]) / NANOSECONDS
    counts = np.isin(frames["state"][1:], FOLLOWING)
    times: NDArray[np.float64] = np.concatenate([[0.0], np.cumsum(passed * frames["speed_scale"][1:] * counts)])
    return times
