"""Nominal episodes out of flight logs: what a monitor's model is trained on, and what its thresholds are taken from.

An episode is a stretch in which a policy moved the arm without a break: from a run to its hold or its stop. Long ones
can be cut into pieces of one length, so that what is promised of an episode is promised of so many seconds.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.types import FloatArray, VerdictLevel
from robot_mbrl.data.frame_codec import FrameArray, join_frames
from robot_mbrl.data.log_folder import FLIGHT_PATTERN
from robot_mbrl.data.reader import FlightRecord, read_log
from robot_mbrl.data.story import verdict
from robot_mbrl.policies.dynamics_window import Windows, windows

FOLLOWING: Final = (ControlState.RUNNING, ControlState.SLOWED)
"""States in which actions are executed, and the model is asked."""
_EPISODE: Final = (*FOLLOWING, ControlState.HOLDING)


@dataclass(frozen=True, slots=True)
class FlightEpisode:
    """One episode of an arm with n joints, tick by tick.

    Attributes:
        source: where it comes from, for messages.
        flight: name of the flight that it is of.
        wake_ns: (k,) when each tick began [ns].
        following: (k,) whether actions were being executed.
        stamps_ns: (k,) when the state was measured [ns].
        position: (k, n) [rad].
        velocity: (k, n) estimated [rad/s].
        held: (k, n) goals that the servos held when the state was measured [rad].
        requested: (k, n) goals that the tick asked for [rad].
    """

    source: str
    flight: str
    wake_ns: NDArray[np.int64]
    following: NDArray[np.bool_]
    stamps_ns: NDArray[np.int64]
    position: FloatArray
    velocity: FloatArray
    held: FloatArray
    requested: FloatArray

    @property
    def seconds(self) -> float:
        """From its first tick to its last [s]."""
        return float(self.wake_ns[-1] - self.wake_ns[0]) * 1e-9


def read_episodes(
    paths: Sequence[Path],
    joint_names: tuple[str, ...] | None = None,
    longest: float | None = None,
    *,
    nominal: bool = True,
) -> tuple[tuple[str, ...], list[FlightEpisode]]:
    """The arm's joints and all episodes of the flight logs at `paths`, files or folders of them, in the paths' order.

    Args:
        paths: of logs; in folders the incidents are left out, which repeat what the flights hold.
        joint_names: that the logs must be of; None takes those of the first.
        longest: cut episodes into pieces of this length [s], and drop what is left over; None keeps them whole.
        nominal: refuse flights that the monitor stopped.

    Raises:
        ConfigError: a log cannot be read, is given twice, is of another arm, is not nominal, or holds a number that is
            not finite; or there is no episode in any of them.
    """
    episodes: list[FlightEpisode] = []
    for flight, records in _flights(paths).items():
        names = records[0].header.arm.joint_names
        joint_names = names if joint_names is None else joint_names
        if names != joint_names:
            raise ConfigError(
                f"{records[0].path}: a flight of {', '.join(names)}, wanted is {', '.join(joint_names)}: leave it out"
            )
        frames = join_frames([record.frames for record in records])
        if nominal:
            _check_nominal(frames, records[0])
        for episode in cut_episodes(frames, len(names), str(records[0].path), flight):
            episodes += [episode] if longest is None else pieces(episode, longest)
    if joint_names is None or not episodes:
        shown = ", ".join(map(str, paths)) or "no path"
        least = "" if longest is None else f" of {longest:g} s"
        raise ConfigError(f"{shown}: no episode{least} in which a policy moved the arm: give logs of nominal flights")
    return joint_names, episodes


def cut_episodes(frames: FrameArray, joints: int, source: str, flight: str | None = None) -> Iterator[FlightEpisode]:
    """The episodes of a flight's frames (k,), of an arm with `joints` joints.

    Args:
        frames: in the order of their ticks.
        joints: of the arm.
        source: where they come from, for messages.
        flight: its name; None takes `source`.

    Raises:
        ConfigError: a state or a goal in an episode is not finite.
    """
    flying = np.isin(frames["state"], _EPISODE)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flying, [False]]))).tolist()
    for number, (begin, end) in enumerate(zip(edges[::2], edges[1::2], strict=True), start=1):
        part = frames[begin:end]
        episode = FlightEpisode(
            source=f"{source}, episode {number}",
            flight=source if flight is None else flight,
            wake_ns=part["wake_ns"],
            following=np.isin(part["state"], FOLLOWING),
            stamps_ns=part["stamp_ns"],
            position=part["position"][:, :joints],
            velocity=part["velocity"][:, :joints],
            held=part["goal_position"][:, :joints],
            requested=part["requested_position"][:, :joints],
        )
        _check_finite(episode)
        yield episode


def pieces(episode: FlightEpisode, seconds: float) -> list[FlightEpisode]:
    """`episode` in pieces of `seconds` [s]; a rest that is shorter is dropped."""
    whole = int((episode.wake_ns[-1] - episode.wake_ns[0]) // to_ns(seconds))
    return [_piece(episode, seconds, index) for index in range(whole)]


def piece_at(episode: FlightEpisode, moment: float, seconds: float | None) -> FlightEpisode:
    """The piece of `episode`, cut into `seconds` [s], that holds the `moment` since it began [s]; None keeps it whole.

    The last piece may be shorter: what happened at that moment can be what ended the episode.

    Raises:
        ConfigError: the episode ended before that moment.
    """
    if episode.wake_ns[-1] - episode.wake_ns[0] < to_ns(moment):
        raise ConfigError(
            f"{episode.source}: ended after {episode.seconds:.1f} s, before {moment:g} s: leave the flight out, or "
            "give an earlier onset"
        )
    return episode if seconds is None else _piece(episode, seconds, to_ns(moment) // to_ns(seconds))


def episode_windows(episode: FlightEpisode, period: float) -> Windows:
    """All periods of `period` [s] of an episode in which actions were executed."""
    row = episode.following
    return windows(episode.stamps_ns[row], episode.position[row], episode.velocity[row], episode.held[row], period)


def _piece(episode: FlightEpisode, seconds: float, index: int) -> FlightEpisode:
    """What `episode` did from `index` times `seconds` [s] after it began on, for as long."""
    edges = episode.wake_ns[0] + np.array([index, index + 1]) * to_ns(seconds)
    begin, end = np.searchsorted(episode.wake_ns, edges).tolist()
    return replace(
        episode,
        source=f"{episode.source}, piece {index + 1}",
        wake_ns=episode.wake_ns[begin:end],
        following=episode.following[begin:end],
        stamps_ns=episode.stamps_ns[begin:end],
        position=episode.position[begin:end],
        velocity=episode.velocity[begin:end],
        held=episode.held[begin:end],
        requested=episode.requested[begin:end],
    )


def _flights(paths: Iterable[Path]) -> dict[str, list[FlightRecord]]:
    """The records of each flight by its name, in the order of its parts."""
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob(FLIGHT_PATTERN)) if path.is_dir() else [path]
    flights: dict[str, dict[int, FlightRecord]] = {}
    for file in files:
        record = read_log(file)
        header = record.header
        if header.kind != "flight":
            raise ConfigError(f"{file}: an {header.kind}, which repeats a part of its flight: give the flight")
        # A flight that was never named is one of its own.
        parts = flights.setdefault(header.flight or str(file.resolve()), {})
        other = parts.setdefault(header.part, record)
        if other is not record:
            raise ConfigError(
                f"{file}: part {header.part} of flight '{header.flight}', as {other.path} is: give it once"
            )
    return {name: [parts[number] for number in sorted(parts)] for name, parts in flights.items()}


def _check_nominal(frames: FrameArray, record: FlightRecord) -> None:
    stopped = np.flatnonzero(frames["verdict"] == VerdictLevel.STOP)
    if len(stopped):
        told = verdict(frames[stopped[0]], record.header)
        raise ConfigError(f"{record.path}: the monitor stopped the arm ({told}): not a nominal flight, leave it out")


def _check_finite(episode: FlightEpisode) -> None:
    for what in ("position", "velocity", "held", "requested"):
        values: FloatArray = getattr(episode, what)
        odd = ~np.isfinite(values)
        # While the arm is held nothing is asked for.
        odd &= episode.following[:, None] if what == "requested" else True
        if odd.any():
            tick, joint = np.argwhere(odd)[0].tolist()
            raise ConfigError(
                f"{episode.source}: {what} of joint {joint} is {values[tick, joint]} in tick {tick}: leave it out"
            )
