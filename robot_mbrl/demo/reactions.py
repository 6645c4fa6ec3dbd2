"""What the monitor made of each disturbance, from the frames of the flight and the stamps of the disturbances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.data.log_header import LogHeader
from robot_mbrl.data.story import cause, state_name, stops
from robot_mbrl.demo.journal import Event
from robot_mbrl.learning.monitor_calibration import SCORES

_ANSWERS: Final = (ControlState.SLOWED, ControlState.HOLDING)


@dataclass(frozen=True, slots=True)
class Reaction:
    """What followed a disturbance before it was undone.

    Attributes:
        event: the disturbance.
        milder: whether the arm was slowed or held, each by its name, with the time until then [s].
        stopped: the time until the arm was stopping [s]; None where it did not stop.
        cause: of the stop, empty without one.
    """

    event: Event
    milder: tuple[tuple[str, float], ...]
    stopped: float | None
    cause: str

    @property
    def by_doubt(self) -> bool:
        """Whether it was the learned model that stopped the arm."""
        return is_doubt(self.cause)


def reactions(frames: FrameArray, header: LogHeader, events: Sequence[Event]) -> list[Reaction]:
    """One for each disturbance among `events`, in the frames (k,) of the flight that `header` describes.

    What counts as one's is what came before the next event: each is undone, or given up, by an event.
    """
    found = []
    for index, event in enumerate(events):
        if event.kind != "disturbance":
            continue
        end_ns = events[index + 1].stamp_ns if index + 1 < len(events) else int(frames["wake_ns"][-1]) + 1
        rows = np.flatnonzero((frames["wake_ns"] >= event.stamp_ns) & (frames["wake_ns"] < end_ns))
        first = next((row for row in stops(frames) if len(rows) and rows[0] <= row <= rows[-1]), None)
        before = rows if first is None else rows[rows < first]
        milder = [
            (state_name(int(state)), _since(event, frames, int(before[frames["state"][before] == state][0])))
            for state in _ANSWERS
            if (frames["state"][before] == state).any()
        ]
        found.append(
            Reaction(
                event=event,
                milder=tuple(milder),
                stopped=None if first is None else _since(event, frames, first),
                cause="" if first is None else cause(frames, first, header),
            )
        )
    return found


def is_doubt(told: str) -> bool:
    """Whether a stop's cause is one of the scores of doubt."""
    return told.startswith(SCORES)


def _since(event: Event, frames: FrameArray, row: int) -> float:
    return (int(frames["wake_ns"][row]) - event.stamp_ns) / NANOSECONDS
