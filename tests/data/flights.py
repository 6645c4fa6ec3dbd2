"""Flights for tests: headers and frames of an SO-101 that was never there."""

from typing import Any

import numpy as np

from robot_mbrl.contracts.frame import FRAME_DTYPE, PLAN_DTYPE, ControlState, StopCause, empty
from robot_mbrl.contracts.geometry import ArmGeometry
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.data.frame_codec import FrameArray, PlanArray
from robot_mbrl.data.log_header import LogHeader, installed_versions
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.monitor_setup import build_monitor, monitor_settings

MILLISECOND = 1_000_000
START_NS = 5_000_000_000
ARM = load_arm("so101_follower")
CHECK_NAMES = build_monitor(ARM).check_names


def header(**changed: Any) -> LogHeader:
    """A header of a flight of the SO-101 follower."""
    fields: dict[str, Any] = {
        "arm": ARM,
        "check_names": CHECK_NAMES,
        "monitor": monitor_settings(ARM),
        "geometry": False,
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
    phase, amplitude = 2e-9 * np.pi * (due - START_NS)[:, None], np.linspace(0.5, 0.25, 6)
    swing = amplitude * np.sin(phase)
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
    frames["action_ns"] = due - 5 * MILLISECOND
    frames["action_expires_ns"] = due + 100 * MILLISECOND
    frames["position"][:, :6] = swing
    frames["velocity"][:, :6] = frames["reported_velocity"][:, :6] = 2.0 * np.pi * amplitude * np.cos(phase)
    frames["load"][:, :6] = 0.1
    frames["temperature"][:, :6] = 31.0
    frames["voltage"][:, :6] = 7.4
    frames["health_ns"][:, :6] = (due - 20 * MILLISECOND)[:, None]
    for name in ("action_position", "goal_position", "requested_position", "executed_position"):
        frames[name][:, :6] = swing + 0.01
    return frames


def planned(frames: FrameArray, *, every: int = 50, steps: int = 4) -> PlanArray:
    """A plan at each `every`th of `frames`, that takes effect 30 ms later and expects the arm to stay where it is."""
    seen = frames[::every]
    plans: PlanArray = np.repeat(empty(PLAN_DTYPE), len(seen))
    plans["sequence"] = np.arange(len(seen))
    plans["stamp_ns"] = seen["stamp_ns"]
    plans["begins_ns"] = seen["stamp_ns"] + 30 * MILLISECOND
    plans["expires_ns"] = seen["stamp_ns"] + 150 * MILLISECOND
    plans["period_ns"] = 50 * MILLISECOND
    plans["steps"], plans["joints"] = steps, 6
    plans["disagreement"][:, :steps] = np.linspace(0.1, 0.4, steps)
    for name in ("goal_position", "predicted_position"):
        plans[name][:, :steps, :6] = seen["position"][:, None, :6]
    return plans


def stop(frames: FrameArray, index: int, *, joint: int = 2) -> None:
    """Let the arm be stopped, in place, from `frames[index]` on, by the monitor's verdict in the frame before."""
    frames["state"][index:] = ControlState.STOPPED
    frames["verdict"][index - 1] = VerdictLevel.STOP
    frames["reason"][index - 1] = CHECK_NAMES.index("measured_position")
    frames["reason_joint"][index - 1] = joint
    frames["value"][index - 1] = 1.75
    frames["limit"][index - 1] = 1.69
    frames["stop_cause"][index:] = StopCause.NONE


def judged(frames: FrameArray, geometry: ArmGeometry | None = None) -> FrameArray:
    """`frames` with the verdicts of a live monitor, which sees each frame before anything is filled in after it."""
    monitor, blank = build_monitor(ARM, geometry), empty(FRAME_DTYPE)
    result = frames.copy()
    for name in ("verdict", "reason", "reason_joint", "value", "limit", "speed_scale", "executed_position", "write_ns"):
        result[name] = blank[name]
    for index in range(len(result)):
        verdict = monitor.judge(result[index : index + 1])
        result["verdict"][index] = verdict.level
        result["reason"][index] = verdict.check
        result["reason_joint"][index] = verdict.joint
        result["value"][index] = verdict.value
        result["limit"][index] = verdict.limit
        result["speed_scale"][index] = verdict.speed_scale
    for name in ("executed_position", "write_ns"):
        result[name] = frames[name]
    return result


def of_ticks(frames: FrameArray) -> list[int]:
    """The ticks of `frames`."""
    return [int(tick) for tick in frames["tick"]]
