"""Frames of a made-up arm of two joints, for tests of the monitor: at rest and well, but for what a test changes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, Record, empty
from robot_mbrl.contracts.monitor_settings import MonitorSettings
from robot_mbrl.contracts.types import Verdict, VerdictLevel
from robot_mbrl.safety.frame_view import FrameView
from robot_mbrl.safety.judgement import Check, Judgement
from robot_mbrl.safety.monitor import Monitor

JOINTS = 2
START_NS = 10**12
PERIOD_NS = 5_000_000

SETTINGS: dict[str, Any] = {
    "min_speed_scale": 0.2,
    "hold_limit": 0.5,
    "joints": [
        {
            "name": "a",
            "position": [-1, 1],
            "velocity": 4,
            "acceleration": 40,
            "jerk": 4000,
            "current": 2,
            "supply_voltage": 10,
        },
        {"name": "b", "position": [-2, 3], "velocity": 8, "acceleration": 80, "jerk": 4000, "supply_voltage": 5},
    ],
    "kinematics": {
        "window": 0.02,
        "measured_overtravel": {"hold": 0.05, "stop": 0.1},
        "command_overtravel": {"hold": 0.001, "stop": 0.2},
        "measured_velocity": {"slow": 1.0, "stop": 2.0},
        "measured_acceleration": {"stop": 3},
        "measured_jerk": {"stop": 3},
        "command_velocity": {"slow": 1, "stop": 20},
        "command_acceleration": {"slow": 1, "hold": 10},
        "command_jerk": {"slow": 1, "hold": 10},
        "action_jump": {"stop": 2},
        "tracking_lag": 0.1,
        "tracking_error": {"slow": 0.1, "stop": 0.2},
        "load": {"stop": 0.9, "persistence": 0.1},
        "current": {"stop": 1, "persistence": 0.1},
        "current_limits": {},
    },
    "workspace": {
        "box": {"low": [-1, -1, -1], "high": [1, 1, 1]},
        "floor": -0.5,
        "stop_depth": 0.05,
        "slow_clearance": 0.02,
        "hold_clearance": 0.01,
        "rest_clearance": 0.008,
        "following_lag": 0.05,
        "following_overshoot": 0.0,
        "rest_error": 0.0,
        "stop_clearance": 0.005,
    },
    "plausibility": {
        "jump": {"stop": 0.05},
        "frozen_time": 0.1,
        "frozen_travel": 0.1,
        "velocity_mismatch": {"stop": 1, "persistence": 0.05},
        "age": {"hold": 0.02, "stop": 0.05},
        "bus_errors": {"slow": 0.05, "stop": 0.25},
        "bus_window": 1.0,
    },
    "health": {
        "temperature": {"slow": 50, "stop": 70},
        "voltage_sag": {"slow": 0.1, "stop": 0.3},
        "voltage_excess": {"stop": 0.1},
        "age": {"slow": 0.5, "stop": 2},
        "stall_velocity": 0.05,
        "stall_load": 0.5,
        "stall_time": 0.2,
        "jam_error": 0.15,
        "jam_speed": 0.5,
        "jam_time": 0.05,
    },
    "timing": {
        "lateness": {"stop": 0.05},
        "missed_ticks": {"slow": 0.1, "stop": 0.5},
        "missed_window": 1.0,
        "action_overdue": {"stop": 0.001},
        "action_lifetime": 1.0,
        "first_action": 0.1,
        "heartbeat": {"slow": 0.25, "stop": 0.5},
    },
}


def settings(changes: Mapping[str, Any] | None = None) -> MonitorSettings:
    """The settings above, whole sections' keys changed by `changes`."""
    merged = {
        key: {**value, **(changes or {}).get(key, {})} if isinstance(value, dict) else value
        for key, value in SETTINGS.items()
    }
    for key, value in (changes or {}).items():
        if not isinstance(merged.get(key), dict):
            merged[key] = value
    return MonitorSettings.model_validate(merged)


class Tape:
    """Writes one frame after the other; what a test sets in one frame stays until it sets it again."""

    def __init__(self, state: ControlState = ControlState.RUNNING) -> None:
        self.tick = 0
        self._kept: dict[str, Any] = {"state": state}

    def frame(self, *, once: Mapping[str, Any] | None = None, **kept: Any) -> Record:
        """The next frame, 5 ms after the last: `kept` fields stay, those in `once` do not."""
        self._kept.update(kept)
        now_ns = START_NS + self.tick * PERIOD_NS
        frame = empty(FRAME_DTYPE)
        frame["tick"], frame["joints"] = self.tick, JOINTS
        frame["deadline_ns"] = frame["wake_ns"] = now_ns
        frame["stamp_ns"] = now_ns + to_ns(0.001)
        frame["action_ns"], frame["action_expires_ns"] = now_ns, now_ns + to_ns(0.1)
        frame["health_ns"] = now_ns
        frame["transactions"] = 10 * self.tick
        for name in ("position", "velocity", "reported_velocity", "load", "goal_position", "action_position"):
            frame[name][:, :JOINTS] = 0.0
        frame["requested_position"][:, :JOINTS] = 0.0
        frame["temperature"][:, :JOINTS] = 25.0
        frame["voltage"][0, :JOINTS] = (10.0, 5.0)
        for name, value in {**self._kept, **(once or {})}.items():
            if frame[name].ndim == 2:
                frame[name][0, :JOINTS] = value
            else:
                frame[name] = value
        self.tick += 1
        return frame

    def settle(self, monitor: Monitor, ticks: int = 20) -> None:
        """Judge some frames, all of which must pass."""
        for _ in range(ticks):
            verdict = monitor.judge(self.frame())
            assert verdict.level == VerdictLevel.PASS, verdict

    def judge(self, monitor: Monitor, seconds: float, **kept: Any) -> Verdict:
        """Judge frames for `seconds` [s] with `kept` fields; the last verdict."""
        verdict = monitor.judge(self.frame(**kept))
        for _ in range(round(seconds * 1e9 / PERIOD_NS)):
            verdict = monitor.judge(self.frame())
        return verdict


def judge_all(check: Check, frames: Iterable[Record]) -> list[Judgement]:
    """What one check alone says to each of `frames`."""
    view, judgements = FrameView(settings()), []
    for frame in frames:
        view.read(frame)
        view.derive()
        judgements.append(check.judge(view))
    return judgements


def commanded(paths: Sequence[Sequence[float]], state: ControlState = ControlState.RUNNING) -> Iterator[Record]:
    """Frames of an arm whose goals follow `paths` (ticks, 2) [rad] and that stands wherever it is told to."""
    tape = Tape(state)
    for before, now in zip((paths[0], *paths), paths, strict=False):
        yield tape.frame(goal_position=before, requested_position=now, action_position=now, position=before)
