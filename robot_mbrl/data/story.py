"""What happened in a flight, told from its frames: states, stops and their causes, lost frames.

A frame's state is the one in which its tick began: what a verdict leads to shows in the next frame.
"""

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS, to_ns
from robot_mbrl.contracts.frame import ControlState, StopCause
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.data.log_header import LogHeader
from robot_mbrl.safety.state_machine import LATCHED

_STATE_NAMES: Final = {int(state): state.name.lower() for state in ControlState}
_CAUSE_NAMES: Final = {int(cause): cause.name.lower() for cause in StopCause}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of frames in one state.

    Attributes:
        state: of all of them, by name.
        start_ns: when the first tick began [ns].
        end_ns: when the tick after the last began, or the last one itself [ns].
    """

    state: str
    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """How long it was [s]."""
        return (self.end_ns - self.start_ns) / NANOSECONDS


def changes(frames: FrameArray) -> list[int]:
    """Indices of `frames` (k,) whose state is another than that of the frame before; the first frame is none."""
    return [int(index) + 1 for index in np.flatnonzero(np.diff(frames["state"]))]


def state_name(state: int) -> str:
    """Name of a `ControlState`, also of one that does not exist: a recorder takes whatever comes."""
    return _STATE_NAMES.get(state, f"state {state}")


def is_stop(before: int, after: int) -> bool:
    """Whether going from state `before` to `after` is coming to a stop, or a stop becoming a fault."""
    return after in LATCHED and before not in {after, ControlState.FAULT}


def stops(frames: FrameArray) -> list[int]:
    """Indices of `frames` (k,) in which the arm had just come to a stop, or a stop become a fault."""
    states = frames["state"].tolist()
    return [index for index in changes(frames) if is_stop(states[index - 1], states[index])]


def spans(frames: FrameArray) -> list[Span]:
    """The states that `frames` (k,) went through, in order."""
    if not len(frames):
        return []
    edges = [0, *changes(frames), len(frames) - 1]
    return [
        Span(state_name(int(frames["state"][start])), int(frames["wake_ns"][start]), int(frames["wake_ns"][end]))
        for start, end in itertools.pairwise(edges)
    ]


def lost_between(first: np.void, last: np.void, count: int) -> int:
    """How many frames are missing from `first` to `last`, when there are `count` with both of them.

    Ticks number the frames, so that those which the control loop skipped are not missing.
    """
    return max(0, int(last["tick"]) - int(first["tick"]) + 1 - count)


def cause(frames: FrameArray, index: int, header: LogHeader) -> str:
    """Why the arm stopped at `frames[index]`: who asked for it, which check spoke, or what the frames give away."""
    frame, before, earlier = frames[index], frames[max(0, index - 1)], frames[max(0, index - 2)]
    if frame["stop_cause"] != StopCause.NONE:
        return _CAUSE_NAMES.get(int(frame["stop_cause"]), f"stop cause {frame['stop_cause']}")
    if before["verdict"] == VerdictLevel.STOP:
        # The stop of a check has another limit than its hold.
        held = earlier["verdict"] == VerdictLevel.HOLD and earlier["limit"] == before["limit"]
        return f"on hold for too long by {verdict(before, header)}" if held else verdict(before, header)
    faulty = np.flatnonzero(before["hardware_error"])
    signs = {
        f"hardware error of {_joint(int(faulty[0]), header) if len(faulty) else ''}": len(faulty) > 0,
        "the bus failed": bus_failures(before) > bus_failures(earlier),
        "the operator's console fell silent": _console_lost(frame, header),
        "ticks missed": frame["missed_ticks"] > before["missed_ticks"],
        "the policy's action expired": 0 <= before["action_expires_ns"] <= frame["wake_ns"],
    }
    return next((text for text, seen in signs.items() if seen), "no cause in the frames")


def _console_lost(frame: np.void, header: LogHeader) -> bool:
    """Whether the last sign of life of a console that has to give some is older in `frame` than the settings allow."""
    patience = header.settings.get("loop", {}).get("heartbeat")
    silence_ns = int(frame["wake_ns"]) - int(frame["heartbeat_ns"])
    return patience is not None and int(frame["heartbeat_ns"]) >= 0 and silence_ns > to_ns(patience)


def bus_failures(frame: np.void) -> int:
    """Answers that came garbled or not at all, up to `frame`."""
    return int(frame["corrupt"] + frame["timeouts"])


def verdict(frame: np.void, header: LogHeader) -> str:
    """What the monitor said in `frame`: check, joint, value and limit."""
    joint = int(frame["reason_joint"])
    where = f" of {_joint(joint, header)}" if joint >= 0 else ""
    name = check_name(int(frame["reason"]), header)
    return f"{name}{where}: {frame['value']:.4g} against a limit of {frame['limit']:.4g}"


def check_name(index: int, header: LogHeader) -> str:
    """Name of one of the monitor's checks, also of one that does not exist."""
    return header.check_names[index] if 0 <= index < len(header.check_names) else f"check {index}"


def _joint(index: int, header: LogHeader) -> str:
    names = header.arm.joint_names
    return names[index] if index < len(names) else f"joint {index}"
