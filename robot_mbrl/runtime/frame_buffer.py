"""The one frame that the control loop fills anew each tick, and the last ones, in memory that never grows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.frame import FRAME_DTYPE, Record, empty
from robot_mbrl.contracts.types import MAX_JOINTS


class FrameBuffer:
    """A frame in the making. Joint arrays are cut to the arm's n joints; `frame["position"][:] = q` fills one.

    Attributes:
        record: the frame, shape (1,).
    """

    def __init__(self, joints: int) -> None:
        """An empty frame of an arm with `joints` joints."""
        self.record: Record = empty(FRAME_DTYPE)
        self.record["joints"] = joints
        self.record["reason"] = self.record["reason_joint"] = -1
        # Bytes are copied ten times faster than structures of many fields.
        self._bytes = self.record.view(np.uint8)
        self._blank = self._bytes.copy()
        arrays = {name: self.record[name] for name in FRAME_DTYPE.names or ()}
        self._views: dict[str, NDArray[Any]] = {
            name: array[0, :joints] if array.shape == (1, MAX_JOINTS) else array for name, array in arrays.items()
        }

    def clear(self) -> None:
        """Start a new frame."""
        self._bytes[:] = self._blank

    def __getitem__(self, field: str) -> NDArray[Any]:
        """The view of a field: shape (n,) for joint arrays, (1,) for all others."""
        return self._views[field]

    def __setitem__(self, field: str, value: object) -> None:
        """Set all of a field."""
        self._views[field][:] = value


class FrameRing:
    """The last `capacity` frames."""

    def __init__(self, capacity: int) -> None:
        """Set the memory aside."""
        self._frames = np.zeros(capacity, FRAME_DTYPE)
        self._rows = self._frames.view(np.uint8).reshape(capacity, -1)
        self._count = 0

    def append(self, frame: Record) -> None:
        """Keep a copy of `frame`, shape (1,), in place of the oldest one."""
        self._rows[self._count % len(self._rows)] = frame.view(np.uint8)
        self._count += 1

    def frames(self) -> Record:
        """What is kept, the oldest first, shape (k,)."""
        capacity = len(self._frames)
        kept = np.roll(self._frames, -self._count % capacity) if self._count > capacity else self._frames[: self._count]
        return kept.copy()
