"""Flights for tests: headers and frames of an SO-101 that was never there."""

from typing import Any

import numpy as np

from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, StopCause, empty
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.data.log_header import LogHeader, installed_versions
from robot_mbrl.drivers.arms import load_arm

MILLISECOND = 1_000_000
START_NS = 5_000_000_000
CHECK_NAMES = ("joint_position", "joint_velocity")


def header(**changed: Any) -> LogHeader:
    """A header of a flight of the SO-101 follower."""
    fields: dict[str, Any] = {
        "arm": load_arm("so101_follower"),
        "check_names": CHECK_NAMES,
        "monitor": {},
        "settings": {"rate": 1000},
        "versions": installed_versions(),
        "flight": "test",
        "clock_offset_ns": 1_700_000_000_000_000_000,
    }
    return LogHeader(**fields | changed)


def flight(count: int, *, first_tick: int = 0, period_ns: int = MILLISECOND) -> FrameArray:
    """`count` frames of a running arm whose joints swing."""
    frames: FrameArray = np.repeat(empty(FRAME_DTYPE), count)
    ticks = np.arange(first_tick, first_tick + count)
    due = START_NS + ticks * period_ns
    swing = 0.5 * np.sin(2e-9 * np.pi * (due - START_NS))[:, None] * np.linspace(1.0, 0.5, 6)
    frames["tick"] = ticks
    frames["deadline_ns"] = due
    frames["wake_ns"] = due + 20_000
    frames["stamp_ns"] = due + 60_000
    frames["write_ns"] = due + 150_000
    frames["joints"] = 6
    frames["state"] = ControlState.RUNNING
    frames["verdict"] = VerdictLevel.PASS
    frames["reason"] = frames["reason_joint"] = -1
    frames["speed_scale"] = 1.0
    frames["position"][:, :6] = swing
    for name in ("action_position", "requested_position", "executed_position"):
        frames[name][:, :6] = swing + 0.01
    return frames


def stop(frames: FrameArray, index: int, *, joint: int = 2) -> None:
    """Let the arm be stopped, in place, from `frames[index]` on, by the monitor's verdict in the frame before."""
    frames["state"][index:] = ControlState.STOPPED
    frames["verdict"][index - 1] = VerdictLevel.STOP
    frames["reason"][index - 1] = 0
    frames["reason_joint"][index - 1] = joint
    frames["value"][index - 1] = 1.75
    frames["limit"][index - 1] = 1.69
    frames["stop_cause"][index:] = StopCause.NONE


def of_ticks(frames: FrameArray) -> list[int]:
    """The ticks of `frames`."""
    return [int(tick) for tick in frames["tick"]]
