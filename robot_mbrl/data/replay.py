"""Feeds a log's frames to the safety monitor again and compares its verdicts with the logged ones, bit for bit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import FRAME_DTYPE, empty
from robot_mbrl.contracts.types import Verdict
from robot_mbrl.data.frame_codec import FrameArray, join_frames
from robot_mbrl.data.log_folder import flight_files
from robot_mbrl.data.log_header import LogHeader
from robot_mbrl.data.reader import read_log
from robot_mbrl.data.story import lost_between
from robot_mbrl.safety.monitor import Monitor
from robot_mbrl.sim.geometry import MujocoGeometry

SPOKEN: Final = ("verdict", "reason", "reason_joint", "value", "limit", "speed_scale")
"""Fields of a frame that hold the monitor's verdict."""

_WRITTEN_LATER: Final = (*SPOKEN, "executed_position", "write_ns")
"""Fields that are filled after the monitor has spoken."""

WARM_UP: Final = 5.0
"""How long a monitor that comes in late is not believed [s]: longer than its windows and persistences. After that it
knows what the live one knew, but for where the samples of its windows fall: levels are compared, not bits."""

_SPOKEN_DTYPE: Final = np.dtype([(name, FRAME_DTYPE[name]) for name in SPOKEN])
_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a replayed verdict is another than the logged one.

    Attributes:
        tick: of the frame.
        stamp_ns: when its tick began [ns].
        field: first field that differs.
        logged: its value in the log.
        replayed: its value now.
    """

    tick: int
    stamp_ns: int
    field: str
    logged: float
    replayed: float


@dataclass(frozen=True, slots=True)
class Replay:
    """How a replay went.

    Attributes:
        judged: frames that the monitor was given.
        compared: frames whose verdicts were compared: all, unless the log begins in mid-flight.
        lost: frames that the log lacks: the live monitor saw them, this one did not.
        differing: compared frames with another verdict.
        first: the first of them, None when all verdicts are identical.
    """

    judged: int
    compared: int
    lost: int
    differing: int
    first: Difference | None


def flight_of(path: Path) -> tuple[LogHeader, FrameArray]:
    """Header of the log `path`, and the frames (k,) of its flight from the start to this log's end.

    Where files of the flight are gone, the log's own frames are all there is.
    """
    record = read_log(path)
    others = [read_log(file) for file in flight_files(path.parent, record.header.flight) if file != path]
    is_part = record.header.kind == "flight"
    parts = sorted([*others, record] if is_part else others, key=lambda part: part.header.part)
    if not len(record.frames) or [part.header.part for part in parts] != list(range(len(parts))):
        return record.header, record.frames
    end = record.frames["tick"][-1]
    whole = join_frames([part.frames for part in parts])
    whole = whole[whole["tick"] <= end]
    return record.header, whole if len(whole) and whole["tick"][-1] == end else record.frames


def build_monitor(header: LogHeader) -> Monitor:
    """The monitor that judged the flight of `header`.

    Raises:
        ConfigError: this version's monitor has other checks.
    """
    monitor = Monitor(header.monitor, MujocoGeometry(header.arm) if header.geometry else None)
    if monitor.check_names != header.check_names:
        missing = ", ".join(sorted(set(header.check_names) ^ set(monitor.check_names))) or "their order"
        written_by = header.versions.get("robot-mbrl", "unknown")
        raise ConfigError(f"this version's checks are others than the log's ({missing}): replay with {written_by}")
    return monitor


def replay(
    frames: FrameArray, monitor: Monitor, *, from_start: bool, progress: Callable[[float], None] | None = None
) -> Replay:
    """Let `monitor` judge `frames` (k,), and compare.

    Args:
        frames: in order.
        monitor: that has seen nothing yet.
        from_start: whether the live monitor's first frame is among them. If so all bits of all verdicts must be the
            same; if not, the levels after `WARM_UP`.
        progress: gets the share that is done, 0..1.

    Raises:
        ConfigError: there are no frames.
    """
    if not len(frames):
        raise ConfigError("no frames in the log: there is nothing to judge")
    replayed = np.empty(len(frames), _SPOKEN_DTYPE)
    for start, batch in _batches(_as_judged(frames)):
        for index in range(len(batch)):
            _fill(replayed[start + index], monitor.judge(batch[index : index + 1]))
        if progress is not None:
            progress((start + len(batch)) / len(frames))
    begin = 0 if from_start else _index_after(frames, WARM_UP)
    fields = SPOKEN if from_start else SPOKEN[:1]
    differs = _differences(frames, replayed, fields)
    differs[:begin] = False
    at = np.flatnonzero(differs)
    return Replay(
        judged=len(frames),
        compared=len(frames) - begin,
        lost=lost_between(frames[0], frames[-1], len(frames)),
        differing=len(at),
        first=_describe(frames, replayed, int(at[0])) if len(at) else None,
    )


def starts_flight(frames: FrameArray) -> bool:
    """Whether the first of `frames` is the first of its flight."""
    return bool(len(frames)) and int(frames["tick"][0]) <= 1


def _as_judged(frames: FrameArray) -> FrameArray:
    """Copies of `frames` without what was filled in later, so that a monitor that repeats what it reads is caught."""
    judged = frames.copy()
    blank = empty(FRAME_DTYPE)
    for name in _WRITTEN_LATER:
        judged[name] = blank[name]
    return judged


def _batches(frames: FrameArray) -> Iterator[tuple[int, FrameArray]]:
    for start in range(0, len(frames), _BATCH):
        yield start, frames[start : start + _BATCH]


def _fill(row: np.void, verdict: Verdict) -> None:
    row["verdict"] = verdict.level
    row["reason"] = verdict.check
    row["reason_joint"] = verdict.joint
    row["value"] = verdict.value
    row["limit"] = verdict.limit
    row["speed_scale"] = verdict.speed_scale


def _bits(values: NDArray[np.void], name: str) -> NDArray[np.uint8]:
    """(k, bytes) of one field."""
    return np.ascontiguousarray(values[name]).view(np.uint8).reshape(len(values), -1)


def _differences(frames: FrameArray, replayed: NDArray[np.void], fields: tuple[str, ...]) -> NDArray[np.bool_]:
    """(k,) whether any bit of `fields` differs."""
    differs = np.zeros(len(frames), np.bool_)
    for name in fields:
        differs |= (_bits(frames, name) != _bits(replayed, name)).any(axis=1)
    return differs


def _describe(frames: FrameArray, replayed: NDArray[np.void], index: int) -> Difference:
    logged, now = frames[index : index + 1], replayed[index : index + 1]
    field = next(name for name in SPOKEN if (_bits(logged, name) != _bits(now, name)).any())
    frame = frames[index]
    return Difference(int(frame["tick"]), int(frame["wake_ns"]), field, float(logged[field][0]), float(now[field][0]))


def _index_after(frames: FrameArray, seconds: float) -> int:
    return int(np.searchsorted(frames["wake_ns"], frames["wake_ns"][0] + to_ns(seconds)))
