"""What the stop proof measures of one run, from what was observed. Pure functions of the observation.

Rest is what the emulator's physics says, not what the servos report: all joints slower than `REST_SPEED`. An arm is at
rest from the last moment on at which one of them was faster, so that a later twitch counts against the stop.

The physics has gears with play. A link that no gravity pulls to one side coasts to and fro in it when its servo stands
already, out of any servo's reach. So there are two moments: the one from which all is still, and the one from which no
joint moves but, having stood once, within the play of its own gear, never to leave it again. That one is what a stop
can bring about.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.benchmarks.stop_proof.observation import Observation
from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.types import FloatArray, IntArray, VerdictLevel

REST_SPEED: Final = 0.05
"""[rad/s]."""
REST_BOUND: Final = 0.3
"""Within which every fault's first visible effect is to be followed by rest [s]."""
ENCODER_STEP: Final = 0.0016
"""By which an angle may leave the play of its gear unnoticed [rad]: one tick of 4096."""
SETTLED_TIME: Final = 0.05
"""An arm that was at rest for so long after the latch [s] may not move any more."""
LATCHED: Final = (int(ControlState.STOPPED), int(ControlState.FAULT))


@dataclass(frozen=True, slots=True)
class Measures:
    """One run; times count from the first visible effect of the fault [s], None where it did not happen.

    Attributes:
        hidden: from the fault's beginning to its first visible effect [s].
        to_verdict: to the first frame that holds, stops or has stopped, or to the guardian's decision.
        to_rest: to the last moment at which a joint was faster than `REST_SPEED` and did more than coast in its
            gear's play; 0 if none was, None if not all is still at the end.
        to_stillness: to the last moment at which a joint was faster than `REST_SPEED` at all.
        distance: way of the joint that travelled farthest, from the visible effect to rest [rad].
        torque_kept: whether all torque was at the end as it was at the beginning.
        latched: whether the run ended stopped or in fault, or with the control process gone and the arm taken over.
        moved_after_latch: whether a joint moved again after latch and rest, by more than the play of its gear.
        drift: farthest that a joint was from its place of rest afterwards [rad].
        speed: of the fastest joint at the visible effect [rad/s].
        last: index of the joint that came to rest last; None if none moved.
        late_way: from end to end of where that joint was after `REST_BOUND` and what forced the arm [rad].
        late_play: of that joint's gear [rad].
        forced: to the moment from which on the fault does not force the arm any more [s]; 0 if it never did.
    """

    hidden: float
    to_verdict: float | None
    to_rest: float | None
    to_stillness: float | None
    distance: float
    torque_kept: bool
    latched: bool
    moved_after_latch: bool
    drift: float
    speed: float
    last: int | None
    late_way: float
    late_play: float
    forced: float


def measure(
    seen: Observation,
    play: FloatArray,
    fault_ns: int,
    visible_ns: int,
    taken_over_ns: int | None = None,
    over_ns: int = 0,
) -> Measures:
    """Measure a run whose fault began at `fault_ns` and showed at `visible_ns` [ns].

    Args:
        seen: everything from before the fault to the end of the run.
        play: (n,) of the gears, from one end to the other [rad].
        fault_ns: when the fault was made.
        visible_ns: when it first had an effect that anybody on the host could see.
        taken_over_ns: when the guardian acted, None if it did not.
        over_ns: from when on the fault does not force the arm any more: what stands before that does not rest.
    """
    after = seen.truth_ns >= visible_ns
    times, position, velocity = seen.truth_ns[after], seen.position[after], seen.velocity[after]
    fast: NDArray[np.bool_] = np.abs(velocity) > REST_SPEED
    joints_moving: NDArray[np.bool_] = fast & ~_coasting(fast, position, play)
    moving: NDArray[np.bool_] = np.any(joints_moving, axis=1)
    rest, stillness = _end_of(moving), _end_of(np.any(fast, axis=1))
    verdict_ns = _first(verdict_time(seen, fault_ns), taken_over_ns)
    latch_ns = _first(_latch(seen, fault_ns), taken_over_ns)
    settled = None if latch_ns is None else _settled(times, moving | (times < over_ns), latch_ns)
    forced_ns = max(over_ns - visible_ns, 0)
    path = np.abs(np.diff(position[: rest + 1], axis=0)).sum(axis=0)
    last = int(joints_moving[rest - 1].argmax()) if rest else None
    late = position[times > visible_ns + forced_ns + to_ns(REST_BOUND)]
    return Measures(
        hidden=(visible_ns - fault_ns) * 1e-9,
        to_verdict=None if verdict_ns is None else (verdict_ns - visible_ns) * 1e-9,
        to_rest=_elapsed(times, rest, visible_ns) if stillness < len(times) else None,
        to_stillness=_elapsed(times, stillness, visible_ns),
        distance=float(path.max()) if len(position) > 1 else 0.0,
        torque_kept=bool((seen.torque[-1] == seen.torque[0]).all()),
        latched=latch_ns is not None and (taken_over_ns is not None or int(seen.frames["state"][-1]) in LATCHED),
        moved_after_latch=settled is not None and bool(moving[settled:].any()),
        drift=0.0 if settled is None else float(np.abs(position[settled:] - position[settled]).max()),
        speed=float(np.abs(velocity[0]).max()),
        last=last,
        late_way=0.0 if last is None or not len(late) else float(np.ptp(late[:, last])),
        late_play=0.0 if last is None else float(play[last]),
        forced=forced_ns * 1e-9,
    )


def _coasting(fast: NDArray[np.bool_], position: FloatArray, play: FloatArray) -> NDArray[np.bool_]:
    """(k, n) whether a joint had come to rest once and stays within the play of its gear from then on."""
    backwards = position[::-1]
    span = (np.maximum.accumulate(backwards) - np.minimum.accumulate(backwards))[::-1]
    rested: NDArray[np.bool_] = np.logical_or.accumulate(~fast)
    return rested & (span <= play + ENCODER_STEP)


def _end_of(moving: NDArray[np.bool_]) -> int:
    """Index of the first look after the last motion."""
    return int(np.flatnonzero(moving)[-1]) + 1 if moving.any() else 0


def _elapsed(times: IntArray, index: int, visible_ns: int) -> float | None:
    """From `visible_ns` to the look `index` [s]; None when that was not made any more."""
    if index == 0:
        return 0.0
    return (int(times[index]) - visible_ns) * 1e-9 if index < len(times) else None


def verdict_time(seen: Observation, fault_ns: int) -> int | None:
    """When the first frame since the fault was judged to hold or stop, or was stopped already [ns]."""
    frames = seen.frames
    stopping = (frames["verdict"] >= VerdictLevel.HOLD) | np.isin(frames["state"], LATCHED) | (frames["stop_cause"] > 0)
    return _when(seen, stopping, fault_ns)


def _latch(seen: Observation, fault_ns: int) -> int | None:
    return _when(seen, np.isin(seen.frames["state"], LATCHED), fault_ns)


def _when(seen: Observation, which: NDArray[np.bool_], fault_ns: int) -> int | None:
    stamps = seen.frames["wake_ns"]
    found = stamps[which & (stamps >= fault_ns)]
    return int(found[0]) if len(found) else None


def _first(*stamps: int | None) -> int | None:
    return min((stamp for stamp in stamps if stamp is not None), default=None)


def _settled(times: IntArray, moving: NDArray[np.bool_], since_ns: int) -> int | None:
    """Index of the first look from `since_ns` on that ends `SETTLED_TIME` of rest; None if there was none."""
    start: int | None = None
    for index, (stamp, moves) in enumerate(zip(times.tolist(), moving.tolist(), strict=True)):
        if moves:
            start = None
        elif start is None:
            start = stamp
        if start is not None and stamp >= since_ns and stamp - start >= to_ns(SETTLED_TIME):
            return index
    return None
