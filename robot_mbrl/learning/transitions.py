"""The transitions that an ensemble is fitted to, in memory and in a file that grows with them.

The file is one line of JSON that says what a record holds, then records of fixed size, float32 throughout, appended as
they come: whatever a killed process had written up to its last whole record is readable.
"""

import json
import os
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.task_model import Float32Array

FORMAT: Final = "robot_mbrl.transitions.1"
_HEADER_LIMIT: Final = 4096
_MOST: Final = 100_000
"""Numbers of a state or an action, or lessons of a transition, that a file of ours never has."""


class Lessons(NamedTuple):
    """What a teacher was asked and would do: states (l, d), actions (l, a)."""

    states: Float32Array
    actions: Float32Array


class _Sizes(NamedTuple):
    """How many numbers a state and an action have, and how many lessons each transition holds."""

    states: int
    actions: int
    lessons: int

    @property
    def record(self) -> np.dtype[np.void]:
        """What one transition is in memory and on disk."""
        state, action, lessons = (self.states,), (self.actions,), (self.lessons,)
        parts = {"state": state, "action": action, "next_state": state, "reward": ()}
        parts |= {"asked": lessons + state, "lesson": lessons + action}
        return np.dtype([(name, "<f4", shape) for name, shape in parts.items()])

    @property
    def header(self) -> bytes:
        """The first line of a file."""
        told = {"format": FORMAT, "states": self.states, "actions": self.actions}
        return json.dumps(told | ({"lessons": self.lessons} if self.lessons else {})).encode() + b"\n"


class Transitions:
    """The newest `capacity` transitions (state, action, next state, reward) in the order they came.

    Where somebody teaches, each holds lessons besides, always as many.

    Attributes:
        capacity: most transitions that are kept in memory; the file keeps them all.
        total: how many were ever added.
    """

    def __init__(self, states: int, actions: int, capacity: int, lessons: int = 0) -> None:
        """Make room for `capacity` transitions of `states` state and `actions` action variables, `lessons` each.

        Raises:
            ConfigError: a size is below 1.
        """
        if min(states, actions, capacity) < 1:
            raise ConfigError(f"transitions of {states} states, {actions} actions, capacity {capacity}: give 1 or more")
        self.capacity, self.total = capacity, 0
        self._lessons = lessons
        self._rows = np.zeros(capacity, _Sizes(states, actions, lessons).record)

    def __len__(self) -> int:
        """Return how many transitions are in memory."""
        return min(self.total, self.capacity)

    def add(
        self,
        state: Float32Array,
        action: Float32Array,
        next_state: Float32Array,
        reward: float,
        lessons: Lessons | None = None,
    ) -> None:
        """Keep one transition, in place of the oldest when the memory is full; with its `lessons` where taught.

        Raises:
            ConfigError: it holds a number that is not finite, or has not as many lessons as all others.
        """
        given = 0 if lessons is None else len(lessons.states)
        if given != self._lessons:
            raise ConfigError(f"transition {self.total} has {given} lessons: each has {self._lessons}, give as many")
        row = self._rows[self.total % self.capacity]
        row["state"], row["action"], row["next_state"], row["reward"] = state, action, next_state, reward
        if lessons is not None:
            row["asked"], row["lesson"] = lessons
        if not all(np.isfinite(part).all() for part in row.item()):
            raise ConfigError(
                f"transition {self.total} holds a number that is not finite: state {np.asarray(state).tolist()}, "
                f"action {np.asarray(action).tolist()}, reward {reward}: look at the environment"
            )
        self.total += 1

    @property
    def states(self) -> Float32Array:
        """(N, d) states, oldest first."""
        return self._column("state")

    @property
    def actions(self) -> Float32Array:
        """(N, a) actions, oldest first."""
        return self._column("action")

    @property
    def next_states(self) -> Float32Array:
        """(N, d) states after the actions, oldest first."""
        return self._column("next_state")

    @property
    def rewards(self) -> Float32Array:
        """(N,) rewards, oldest first."""
        return self._column("reward")

    @property
    def lessons(self) -> Lessons:
        """All l = N times as many as each holds, oldest first."""
        rows = self.rows(self.total - len(self))
        asked, lesson = rows["asked"], rows["lesson"]
        return Lessons(asked.reshape(-1, asked.shape[-1]), lesson.reshape(-1, lesson.shape[-1]))

    def rows(self, start: int) -> NDArray[np.void]:
        """Records `start` to `total`, counted since the beginning, oldest first.

        Raises:
            ConfigError: the memory does not hold them any more.
        """
        if not self.total - len(self) <= start <= self.total:
            raise ConfigError(
                f"transitions {start} to {self.total} were asked for, but only the newest {len(self)} are in memory: "
                "give a larger capacity"
            )
        return self._rows[np.arange(start, self.total) % self.capacity]

    def _column(self, name: str) -> Float32Array:
        column: Float32Array = self.rows(self.total - len(self))[name]
        return column


class TransitionFile:
    """Appends transitions to a file and reads them back."""

    def __init__(self, path: Path, states: int, actions: int, lessons: int = 0) -> None:
        """Open `path` for transitions of these sizes, made when it is not there yet.

        Raises:
            ConfigError: the file holds something else.
        """
        self._path, self._sizes = path, _Sizes(states, actions, lessons)
        self._record, self._header = self._sizes.record, self._sizes.header
        if not path.exists() or path.stat().st_size == 0:
            path.write_bytes(self._header)
        self._file = path.open("r+b")
        found = self._file.readline(_HEADER_LIMIT)
        if found != self._header:
            self._file.close()
            raise ConfigError(f"{path}: begins with {found[:80]!r}, not with {self._header!r}: give another run folder")

    def __enter__(self) -> Self:
        """Return the file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def read(self, count: int, capacity: int) -> Transitions:
        """The first `count` transitions of the file; what follows them is cut off.

        Raises:
            ConfigError: the file has fewer.
        """
        whole = self._whole_records()
        if whole < count:
            raise ConfigError(f"{self._path}: holds {whole} transitions, not {count}: it was cut short, start anew")
        self._file.truncate(len(self._header) + count * self._record.itemsize)
        result = Transitions(self._sizes.states, self._sizes.actions, capacity, self._sizes.lessons)
        kept = min(count, capacity)
        self._file.seek(len(self._header) + (count - kept) * self._record.itemsize)
        result.total = count - kept
        _add(np.frombuffer(self._file.read(), self._record), result)
        return result

    def append(self, transitions: Transitions, start: int) -> None:
        """Write records `start` to the newest behind those that are there, and have them reach the disk."""
        self._file.seek(len(self._header) + start * self._record.itemsize)
        self._file.write(transitions.rows(start).tobytes())
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _whole_records(self) -> int:
        size = os.fstat(self._file.fileno()).st_size
        return (size - len(self._header)) // self._record.itemsize


def read_transitions(path: Path, capacity: int = 10**7) -> Transitions:
    """Every whole transition of the file at `path`, at most the newest `capacity`.

    Raises:
        ConfigError: it cannot be read, or is no file of transitions.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}): give a file of transitions") from error
    header, newline, body = content.partition(b"\n")
    sizes = _sizes(header) if newline else None
    if sizes is None:
        raise ConfigError(f"{path}: does not begin with {FORMAT!r}: give the transitions of a run")
    whole = np.frombuffer(body, sizes.record, count=len(body) // sizes.record.itemsize)
    result = Transitions(sizes.states, sizes.actions, max(1, min(capacity, len(whole))), sizes.lessons)
    _add(whole[-result.capacity :], result)
    return result


def _add(rows: NDArray[np.void], transitions: Transitions) -> None:
    for row in rows:
        lessons = Lessons(row["asked"], row["lesson"])
        transitions.add(row["state"], row["action"], row["next_state"], float(row["reward"]), lessons)


def _sizes(header: bytes) -> _Sizes | None:
    """What a header says; None when it is none of ours."""
    try:
        found: Any = json.loads(header[:_HEADER_LIMIT])
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    states, actions, lessons = found.get("states"), found.get("actions"), found.get("lessons", 0)
    if not (isinstance(states, int) and isinstance(actions, int) and isinstance(lessons, int)):
        return None
    if not (0 < states < _MOST and 0 < actions < _MOST and 0 <= lessons < _MOST):
        return None
    return _Sizes(states, actions, lessons)
