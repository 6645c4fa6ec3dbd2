"""Frames of flights that never were, for tests of what is told of flights."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, Record, empty
from robot_mbrl.data.frame_codec import FrameArray

PERIOD = 0.01
"""Between two frames [s]."""


def frame(seconds: float, state: ControlState, **fields: Any) -> Record:
    """One frame of a two-joint arm at rest, `seconds` [s] after the beginning of time."""
    record = empty(FRAME_DTYPE)
    record["wake_ns"] = record["stamp_ns"] = record["deadline_ns"] = to_ns(seconds)
    record["joints"], record["state"], record["speed_scale"] = 2, state, 1.0
    record["position"][0, :2] = record["velocity"][0, :2] = 0.0
    for name, value in fields.items():
        record[name] = value
    return record


def flight(*spans: tuple[float, ControlState]) -> FrameArray:
    """Frames `PERIOD` apart, each of `spans` for its time [s] in its state."""
    records: list[Record] = []
    for seconds, state in spans:
        records += [frame(PERIOD * (len(records) + k), state) for k in range(round(seconds / PERIOD))]
    return joined(records)


def joined(records: Sequence[Record]) -> FrameArray:
    """One array of all."""
    frames: FrameArray = np.concatenate(records)
    return frames
