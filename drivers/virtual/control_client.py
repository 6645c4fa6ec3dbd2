"""A client of the control socket, for tests, demos and the command line."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError, PortLost, PortNotFound
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.virtual.wire_faults import TimedFault


@dataclass(frozen=True, slots=True)
class Truth:
    """What the physics knows, n joints.

    Attributes:
        time_ns: when this was so [ns of CLOCK_MONOTONIC].
        time: simulated time [s].
        position: (n,) angle of each shaft [rad], model frame.
        velocity: (n,) [rad/s].
        current: (n,) winding current [A].
        temperature: (n,) [°C].
        voltage: (n,) supply [V].
        tick: (n,) encoder reading without homing offset, not wrapped [ticks].
        torque: (n,) whether each servo's torque is switched on.
    """

    time_ns: int
    time: float
    position: FloatArray
    velocity: FloatArray
    current: FloatArray
    temperature: FloatArray
    voltage: FloatArray
    tick: FloatArray
    torque: NDArray[np.bool_]


class ControlClient:
    """Talks to one emulated arm; use it as a context manager."""

    def __init__(self, path: Path, timeout: float = 5.0) -> None:
        """Connect to the socket at `path`; no answer may take longer than `timeout` [s].

        Raises:
            PortNotFound: no emulated arm listens there.
        """
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise PortNotFound(
                f"{path}: no emulated arm listens there ({error.strerror}): start `robot-mbrl virtual-arm` first"
            ) from error
        self._lines = self._socket.makefile("rb")

    def fault(self, fault: TimedFault | Mapping[str, Any]) -> None:
        """Make a fault, from `drivers.virtual.faults` or as a mapping with the key `fault`.

        Raises:
            ConfigError: the emulated arm refuses it.
        """
        self.ask(fault.model_dump(mode="json") if isinstance(fault, TimedFault) else dict(fault))

    def truth(self) -> Truth:
        """Where the joints really are."""
        answer = self.ask({"command": "truth"})
        arrays = {
            name: np.array(answer[name])
            for name in ("position", "velocity", "current", "temperature", "voltage", "tick", "torque")
        }
        return Truth(time_ns=answer["time_ns"], time=answer["time"], **arrays)

    def status(self) -> dict[str, Any]:
        """What the bus and the event loop have counted."""
        return self.ask({"command": "status"})

    def clear(self) -> None:
        """End all wire faults."""
        self.ask({"command": "clear"})

    def quit(self) -> None:
        """End the emulated arm."""
        self.ask({"command": "quit"})

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send one request and return its answer.

        Raises:
            ConfigError: the emulated arm refuses it.
            PortLost: the emulated arm is gone, or does not answer in time.
        """
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            line = self._lines.readline()
        except OSError as error:
            raise PortLost(f"{self._path}: the emulated arm does not answer ({error}): start it again") from error
        if not line:
            raise PortLost(f"{self._path}: the emulated arm has ended: start it again")
        answer: dict[str, Any] = json.loads(line)
        if not answer.pop("ok"):
            raise ConfigError(answer["error"])
        return answer

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._lines.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
