"""Sequence replay for DreamerV3 on memory-mapped files.

Each of several streams is what one environment went through: rows in order, episode after episode. A sample is a window
of a stream: one row of context, whose stored latent starts the sequence, and the `length` rows that are learned from
(replay context 1). The learner writes the latents that it inferred for those rows back. Windows of rows that were never
sampled come first, without overlap, so that the newest data are replayed at least once; the rest of a batch is uniform
over all windows (Hafner et al. 2023, "Mastering Diverse Domains through World Models", appendix on replay).

Files, in one folder:

=============== ==========================================================================================
`steps.bin`     rings of rows, one a stream
`latents.bin`   the latent of each row, in half precision
`counts.bin`    rows of each stream so far: an aligned 8-byte store, which a SIGKILL finds done or not begun
`pending.bin`   latents on their way into `latents.bin`: what a SIGKILL interrupts is done again at opening
`lock`          held by the process that has the folder open
=============== ==========================================================================================

The files have their whole size from the beginning, whatever a run fills of it: setting room aside takes no time where
the filesystem knows how to, and a disk that is too small is found out before the first row, not at the millionth. For
the same reason there must be room, too, for the copies of all latents that `save` makes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.errors import ConfigError, SimulationError
from robot_mbrl.contracts.types import IntArray
from robot_mbrl.learning.mapped_array import MappedArray, array_bytes, require_room
from robot_mbrl.learning.run_files import hold

STEP_FIELDS: Final = ("observation", "action", "reward", "is_first", "is_last", "is_terminal")
STEPS_FILE: Final = "steps.bin"
LATENTS_FILE: Final = "latents.bin"
STATE_FILE: Final = "replay.json"
_STATE_FIELDS: Final = frozenset({"spaces", "shape", "counts", "fresh", "random"})
_PENDING_ROWS: Final = 4096
"""Latents that are written in one go."""
_COPY_ROWS: Final = 4096
"""Rows that are copied in one go when saving and restoring."""
_SAVES: Final = 2
"""Copies of the latents that are there at once: the newest save, and the next one while it is written."""
_NUMBERS: Final = ("observation", "action", "reward")
"""Fields of a row that must be finite."""


class ReplaySpaces(Settings):
    """What a row holds.

    Attributes:
        observation: shape of an observation.
        pixels: observations are uint8 images instead of float32 numbers.
        action: length of an action, o one for each choice of a discrete one.
        deter: length of the deterministic latent.
        groups: discrete latents.
        classes: of each of them.
    """

    observation: tuple[int, ...]
    pixels: bool = False
    action: int = Field(ge=1)
    deter: int = Field(ge=1)
    groups: int = Field(ge=1)
    classes: int = Field(ge=2, le=256)

    @property
    def step_dtype(self) -> np.dtype[np.void]:
        """Layout of a row; the action is the one that led to the observation."""
        flags = [(name, np.bool_) for name in STEP_FIELDS[3:]]
        number = np.uint8 if self.pixels else np.float32
        return np.dtype(
            [
                ("observation", number, self.observation),
                ("action", np.float32, (self.action,)),
                ("reward", np.float32),
                *flags,
            ]
        )

    @property
    def latent_dtype(self) -> np.dtype[np.void]:
        """Layout of a stored latent: of each discrete one only which class it is."""
        return np.dtype([("deter", np.float16, (self.deter,)), ("stoch", np.uint8, (self.groups,))])


@dataclass(frozen=True, slots=True)
class SequenceBatch:
    """Windows of rows.

    Attributes:
        fields: by name `observation` (b, t, ...), `action` (b, t, a), `reward`, `is_first`, `is_last`, `is_terminal`
            (b, t), and the latent before the first row, `deter` (b, deter) and `stoch` (b, groups * classes) float32.
        streams: (b,) which stream each window is from.
        rows: (b,) number of each window's first row in its stream.
    """

    fields: dict[str, NDArray[Any]]
    streams: IntArray
    rows: IntArray


class SequenceReplay:
    """Streams of rows with their latents, in `folder`. One process at a time."""

    def __init__(
        self,
        folder: Path,
        spaces: ReplaySpaces,
        random: np.random.Generator,
        *,
        streams: int,
        capacity: int,
        slack: int = 1,
        resident: int = 1 << 28,
    ) -> None:
        """Open the replay in `folder`, or make it.

        Args:
            folder: where the files are; it is made.
            spaces: what a row holds.
            random: chooses windows.
            streams: number of environments.
            capacity: rows that can be sampled, of all streams together.
            slack: rows that a stream may go on after `save` so that `restore` can still go back, at least 1.
            resident: bound on the bytes of the files that stay in this process's memory.

        Raises:
            ConfigError: capacity or slack too small, another process has the folder, its files have another layout, or
                the disk has no room for them and for the copies that `save` makes.
        """
        if streams < 1 or capacity < 2 * streams or slack < 1:
            raise ConfigError(
                f"replay of {capacity} rows in {streams} streams, slack {slack}: give 2 rows a stream and slack of 1"
            )
        self.spaces, self._random = spaces, random
        self._lock = hold(folder, "has this replay open")
        self._capacity, self._rows = capacity // streams, capacity // streams + slack
        try:
            self._open(folder, streams, resident)
        except BaseException:
            self._lock.close()
            raise
        self._fresh: IntArray = np.maximum(self._oldest, 0) + 1

    def _open(self, folder: Path, streams: int, resident: int) -> None:
        spaces, rings, number = self.spaces, (streams, self._rows), np.dtype(np.int64)
        pending = np.dtype([("stream", np.int64), ("slot", np.int64), ("latent", spaces.latent_dtype)])
        layouts: dict[str, tuple[np.dtype[Any], tuple[int, ...], int]] = {
            STEPS_FILE: (spaces.step_dtype, rings, resident // 2),
            LATENTS_FILE: (spaces.latent_dtype, rings, resident // 2),
            "counts.bin": (number, (streams,), resident),
            "pending.bin": (pending, (_PENDING_ROWS,), resident),
            "pending_count.bin": (number, (1,), resident),
        }
        sizes = {name: array_bytes(dtype, shape) for name, (dtype, shape, _) in layouts.items()}
        # A replay that is opened again may have its copies on the disk already.
        new = not all((folder / name).exists() for name in layouts)
        require_room(folder, sizes, _SAVES * sizes[LATENTS_FILE] if new else 0)
        arrays = [MappedArray(folder / name, *layout) for name, layout in layouts.items()]
        self._steps, self._latents, self._counts, self._pending, self._pending_count = arrays
        self._finish_pending()

    @property
    def counts(self) -> IntArray:
        """(streams,) rows added so far, a copy."""
        return self._counts.array.copy()

    @property
    def _oldest(self) -> IntArray:
        oldest: IntArray = np.maximum(self._counts.array - self._capacity, 0)
        return oldest

    def __len__(self) -> int:
        """Rows that can be sampled."""
        return int((self._counts.array - self._oldest).sum())

    def windows(self, length: int) -> int:
        """How many different windows of `length` rows after one of context there are."""
        return int(self._window_counts(length).sum())

    def add(self, streams: IntArray, step: Mapping[str, NDArray[Any]], latent: Mapping[str, NDArray[Any]]) -> None:
        """Append one row to each of some streams; once this returns, a SIGKILL does not take them away.

        Args:
            streams: (k,) which, each at most once.
            step: the fields of a row, (k, ...) each.
            latent: `deter` (k, deter) and `stoch` (k, groups * classes) one-hot, inferred for the row.

        Raises:
            SimulationError: a number is not finite, and would spoil every update that it is drawn for; nothing was
                added.
        """
        slots = self._counts.array[streams] % self._rows
        rows = np.empty(len(streams), self.spaces.step_dtype)
        for name in STEP_FIELDS:
            rows[name] = step[name]
        packed = self._packed(latent["deter"], latent["stoch"])
        for name, values in {**{name: rows[name] for name in _NUMBERS}, "latent": packed["deter"]}.items():
            _require_finite(name, values, streams)
        self._steps.array[streams, slots] = rows
        self._latents.array[streams, slots] = packed
        self._counts.array[streams] += 1
        self._steps.touch(len(streams), rows.dtype.itemsize)
        self._latents.touch(len(streams), self.spaces.latent_dtype.itemsize)

    def sample(self, batch: int, length: int) -> SequenceBatch:
        """Draw `batch` windows of `length` rows: what was never replayed first, the others uniformly.

        Raises:
            ConfigError: no stream is long enough.
        """
        fresh = self._take_fresh(batch, length)
        streams, context = self._draw(batch - len(fresh), length)
        if fresh:
            taken = np.array(fresh, np.int64)
            streams, context = np.concatenate([taken[:, 0], streams]), np.concatenate([taken[:, 1], context])
        slots = (context[:, None] + np.arange(1, length + 1)) % self._rows
        rows = self._steps.array[streams[:, None], slots]
        latents = self._latents.array[streams, context % self._rows]
        self._steps.touch(batch, length * rows.dtype.itemsize)
        self._latents.touch(batch, latents.dtype.itemsize)
        fields = {name: np.ascontiguousarray(rows[name]) for name in STEP_FIELDS}
        one_hot = np.arange(self.spaces.classes, dtype=np.uint8) == latents["stoch"][..., None]
        fields["deter"] = latents["deter"].astype(np.float32)
        fields["stoch"] = one_hot.reshape(batch, -1).astype(np.float32)
        return SequenceBatch(fields, streams, context + 1)

    def write_latents(self, batch: SequenceBatch, deter: NDArray[Any], stoch: NDArray[Any]) -> None:
        """Store the latents inferred for the rows of `batch`; rows that were overwritten meanwhile are left out.

        Args:
            batch: what `sample` gave.
            deter: (b, t, deter).
            stoch: (b, t, groups * classes) one-hot.
        """
        length = deter.shape[1]
        rows = (batch.rows[:, None] + np.arange(length)).ravel()
        streams = np.repeat(batch.streams, length)
        packed = self._packed(deter.reshape(len(rows), -1), stoch.reshape(len(rows), -1))
        kept = rows >= self._oldest[streams]
        streams, rows, packed = streams[kept], rows[kept], packed[kept]
        for start in range(0, len(rows), _PENDING_ROWS):
            part = slice(start, start + _PENDING_ROWS)
            pending = self._pending.array[: len(rows[part])]
            pending["stream"], pending["slot"] = streams[part], rows[part] % self._rows
            pending["latent"] = packed[part]
            self._pending_count.array[0] = len(pending)
            self._finish_pending()
        self._latents.touch(len(batch.rows), length * packed.dtype.itemsize)

    def save(self, folder: Path) -> None:
        """Put everything on the disk, and what later changes will overwrite into `folder`, which exists."""
        state = {
            "spaces": self.spaces.model_dump(mode="json"),
            "shape": list(self._steps.array.shape),
            "counts": self._counts.array.tolist(),
            "fresh": self._fresh.tolist(),
            "random": self._random.bit_generator.state,
        }
        for mapped in (self._steps, self._latents, self._counts):
            mapped.flush()
        with (folder / LATENTS_FILE).open("wb") as file:
            for stream, part in self._used(self._counts.array):
                file.write(self._latents.array[stream, part].tobytes())
                self._latents.touch(1, _COPY_ROWS * self.spaces.latent_dtype.itemsize)
        (folder / STATE_FILE).write_text(json.dumps(state), encoding="utf-8")

    def restore(self, folder: Path) -> None:
        """Go back to what `save` put into `folder`: the same rows, latents and random numbers, to the bit.

        Raises:
            ConfigError: that was another replay or is damaged, or this one went on for longer than its slack since.
        """
        try:
            state = json.loads((folder / STATE_FILE).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{folder / STATE_FILE}: not JSON, or cut short ({error}): copy the run again") from error
        if not isinstance(state, dict) or not state.keys() >= _STATE_FIELDS:
            raise ConfigError(
                f"{folder / STATE_FILE}: must hold {', '.join(sorted(_STATE_FIELDS))}: copy the run folder again"
            )
        if state["spaces"] != self.spaces.model_dump(mode="json") or state["shape"] != list(self._steps.array.shape):
            raise ConfigError(
                f"{folder / STATE_FILE}: saved from a replay of another layout: restore into the same one"
            )
        counts = np.array(state["counts"], np.int64)
        ahead = int((self._counts.array - counts).max())
        slack = self._rows - self._capacity
        if ahead > slack or (self._counts.array < counts).any():
            raise ConfigError(
                f"{folder / STATE_FILE}: the replay's files are {ahead} rows ahead of it, {slack} can be undone: "
                f"restore the newest save"
            )
        with (folder / LATENTS_FILE).open("rb") as file:
            for stream, part in self._used(counts):
                size = (part.stop - part.start) * self.spaces.latent_dtype.itemsize
                self._latents.array[stream, part] = np.frombuffer(_read(file, size), self.spaces.latent_dtype)
                self._latents.touch(1, size)
        self._counts.array[:] = counts
        self._fresh = np.array(state["fresh"], np.int64)
        self._random.bit_generator.state = state["random"]

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()

    def _window_counts(self, length: int) -> IntArray:
        counts: IntArray = np.maximum(self._counts.array - self._oldest - length, 0)
        return counts

    def _take_fresh(self, most: int, length: int) -> list[tuple[int, int]]:
        """Up to `most` (stream, context row) of rows never sampled, from the stream that has most of them."""
        taken: list[tuple[int, int]] = []
        np.maximum(self._fresh, self._oldest + 1, out=self._fresh)
        while len(taken) < most:
            stream = int(np.argmax(self._counts.array - self._fresh))
            if self._counts.array[stream] - self._fresh[stream] < length:
                break
            taken.append((stream, int(self._fresh[stream]) - 1))
            self._fresh[stream] += length
        return taken

    def _draw(self, number: int, length: int) -> tuple[IntArray, IntArray]:
        """Draw streams (number,) and context rows (number,), each window of any stream as likely as any other."""
        ends = np.cumsum(self._window_counts(length))
        if ends[-1] == 0:
            longest = int(self._counts.array.max())
            raise ConfigError(f"the replay has no stream of {length + 1} rows, the longest has {longest}: collect more")
        drawn = self._random.integers(ends[-1], size=number)
        streams = np.searchsorted(ends, drawn, side="right")
        return streams, drawn - np.append(0, ends)[streams] + self._oldest[streams]

    def _packed(self, deter: NDArray[Any], stoch: NDArray[Any]) -> NDArray[np.void]:
        packed = np.empty(len(deter), self.spaces.latent_dtype)
        packed["deter"] = deter
        packed["stoch"] = stoch.reshape(len(stoch), self.spaces.groups, self.spaces.classes).argmax(-1)
        return packed

    def _finish_pending(self) -> None:
        pending = self._pending.array[: self._pending_count.array[0]]
        self._latents.array[pending["stream"], pending["slot"]] = pending["latent"]
        self._pending_count.array[0] = 0

    def _used(self, counts: IntArray) -> list[tuple[int, slice]]:
        """Runs of slots that hold rows, at most `_COPY_ROWS` each, as (stream, slots)."""
        used = np.minimum(counts, self._rows).tolist()
        return [
            (stream, slice(start, min(start + _COPY_ROWS, last)))
            for stream, last in enumerate(used)
            for start in range(0, last, _COPY_ROWS)
        ]


def _require_finite(name: str, values: NDArray[Any], streams: IntArray) -> None:
    finite = np.isfinite(values).reshape(len(streams), -1).all(-1)
    if not finite.all():
        worst = int(np.argmin(finite))
        found = values[worst].ravel()
        raise SimulationError(
            f"{name} of environment {streams[worst]} holds {found[~np.isfinite(found)][0]}, not a finite number: the "
            "simulation or the learner diverged; mend the task, or lower the learning rate in a new run"
        )


def _read(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ConfigError(f"{file.name}: ends {size - len(data)} bytes early: restore another save")
    return data
