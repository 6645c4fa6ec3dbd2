"""What is seen of one run: the emulator's truth, and the frames that the control process sent."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, Record
from robot_mbrl.contracts.types import FloatArray, IntArray
from robot_mbrl.drivers.virtual.control_client import ControlClient, Truth
from robot_mbrl.runtime.channels import Session


@dataclass(frozen=True, slots=True)
class Observation:
    """One run; k looks at the truth, m frames, n joints. All stamps are ns of CLOCK_MONOTONIC.

    Attributes:
        truth_ns: (k,) when the truth was so.
        position: (k, n) of the shafts [rad].
        velocity: (k, n) of the shafts [rad/s].
        torque: (k, n) whether each servo's torque is on.
        frames: (m,) of `FRAME_DTYPE`.
    """

    truth_ns: IntArray
    position: FloatArray
    velocity: FloatArray
    torque: NDArray[np.bool_]
    frames: NDArray[np.void]


class Observer:
    """Collects frames and truth, a little at each `look`; a context manager."""

    def __init__(self, control_path: Path, session: str) -> None:
        """Look at the emulated arm behind `control_path` and at the frames of `session`."""
        self._client = ControlClient(control_path)
        self._session = Session(session)
        self._subscriber = self._session.subscriber("frame")
        self._truths: list[Truth] = []
        self._frames: list[Record] = []

    @property
    def frame(self) -> Record | None:
        """The newest frame; None before the first."""
        return self._frames[-1] if self._frames else None

    @property
    def state(self) -> ControlState | None:
        """State of the control process in its newest frame."""
        return None if self.frame is None else ControlState(int(self.frame["state"][0]))

    @property
    def speed(self) -> float:
        """Of the fastest joint when the truth was last looked at [rad/s]."""
        return float(np.abs(self._truths[-1].velocity).max()) if self._truths else 0.0

    def recent(self, count: int) -> NDArray[np.void]:
        """(count,) the newest frames."""
        return np.concatenate(self._frames[-count:])

    def look(self) -> None:
        """Take what has come."""
        self._truths.append(self._client.truth())
        self._frames += self._subscriber.drain()

    def since(self, start_ns: int) -> Observation:
        """What was seen from `start_ns` [ns] on."""
        truths = [truth for truth in self._truths if truth.time_ns >= start_ns]
        frames = [frame for frame in self._frames if int(frame["wake_ns"][0]) >= start_ns]
        return Observation(
            truth_ns=np.array([truth.time_ns for truth in truths], np.int64),
            position=np.array([truth.position for truth in truths]),
            velocity=np.array([truth.velocity for truth in truths]),
            torque=np.array([truth.torque for truth in truths]),
            frames=np.concatenate(frames) if frames else np.zeros(0, FRAME_DTYPE),
        )

    def close(self) -> None:
        """Leave arm and session. Idempotent."""
        self._session.close()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
