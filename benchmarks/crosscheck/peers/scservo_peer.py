"""The verbs of `serve.py` done with scservo_sdk, which feetech-servo-sdk and ftservo-python-sdk both install.

The two differ in where the port goes: into every call of the former, into the constructor of the latter.
"""

import importlib
import time
from collections.abc import Callable
from typing import Any

sdk: Any = importlib.import_module("scservo_sdk")
port_handler: Any = importlib.import_module("scservo_sdk.port_handler")
stepped_clock: Any = importlib.import_module("stepped_clock")
FACTORY_LATENCY_MS = port_handler.LATENCY_TIMER


class Peer:
    """The STS protocol with the SDK's own packet handler and groups."""

    port: Any = None

    def open(self, port: str, baud: int, protocol: str, latency_ms: float | None = None) -> None:
        """Open `port`. `latency_ms` is the SDK's own allowance for a slow adapter; None leaves it at its default."""
        if protocol != "feetech":
            raise ValueError(f"scservo_sdk does not speak {protocol}")
        port_handler.LATENCY_TIMER = FACTORY_LATENCY_MS if latency_ms is None else latency_ms
        self.port = sdk.PortHandler(port)
        port_in_constructor = hasattr(sdk, "sms_sts")
        self.handler = sdk.sms_sts(self.port) if port_in_constructor else sdk.PacketHandler(0)
        self.port_argument = () if port_in_constructor else (self.port,)
        if not (self.port.openPort() and self.port.setBaudRate(baud)):
            raise OSError(f"cannot open {port}")

    def close(self) -> None:
        """Close the port, if it is open."""
        if self.port is not None:
            self.port.closePort()
            self.port = None

    def scan(self, ids: list[int]) -> list[tuple[int, int]]:
        """(ID, model number) of those of `ids` that answer."""
        found = []
        for servo_id in ids:
            model, result, _ = self.handler.ping(*self.port_argument, servo_id)
            if result == sdk.COMM_SUCCESS:
                found.append((servo_id, int(model)))
        return found

    def read(self, servo_id: int, address: int, size: int) -> dict[str, Any]:
        """Data and the status byte."""
        data, result, error = self.handler.readTxRx(*self.port_argument, servo_id, address, size)
        self._require(result)
        return {"data": list(data), "error": error}

    def write(self, servo_id: int, address: int, data: list[int]) -> dict[str, Any]:
        """The status byte."""
        result, error = self.handler.writeTxRx(*self.port_argument, servo_id, address, len(data), data)
        self._require(result)
        return {"error": error}

    def reg_write(self, servo_id: int, address: int, data: list[int]) -> dict[str, Any]:
        """The status byte."""
        result, error = self.handler.regWriteTxRx(*self.port_argument, servo_id, address, len(data), data)
        self._require(result)
        return {"error": error}

    def action(self) -> None:
        """Let all servos carry out what was registered."""
        self._require(self.handler.action(*self.port_argument, sdk.BROADCAST_ID))

    def sync_read(self, ids: list[int], address: int, size: int) -> list[list[int]]:
        """Data of each of `ids`; ftservo-python-sdk keeps the status byte in front of them."""
        group = self._group(ids, address, size)
        self._require(group.txRxPacket())
        return [list(group.data_dict[servo_id])[-size:] for servo_id in ids]

    def sync_write(self, ids: list[int], address: int, values: list[list[int]]) -> None:
        """Write `values`, one for each of `ids`."""
        group = sdk.GroupSyncWrite(*self.port_argument, self.handler, address, len(values[0]))
        for servo_id, data in zip(ids, values, strict=True):
            group.addParam(servo_id, data)
        self._require(group.txPacket())

    def sync_read_state(self, ids: list[int], address: int, size: int) -> dict[str, Any]:
        """Everything that a `GroupSyncRead` knows after a sync read."""
        group = self._group(ids, address, size)
        self._require(group.txRxPacket())
        return {name: value for name, value in vars(group).items() if name not in ("port", "ph")}

    def read_while_clock_jumps(self, servo_id: int, address: int, size: int, jump: float) -> list[int] | None:
        """Data, or None where the SDK calls the answer late, when the clock steps by `jump` [s] after the request."""
        port_handler.time = stepped_clock.SteppedClock(jump)
        try:
            data, result, _ = self.handler.readTxRx(*self.port_argument, servo_id, address, size)
        finally:
            port_handler.time = time
        if result == sdk.COMM_RX_TIMEOUT:
            return None
        self._require(result)
        return list(data)

    def seconds_to_give_up(self, servo_id: int) -> float:
        """How long the SDK waits for a servo that is not there [s]."""
        start = time.monotonic()
        _, result, _ = self.handler.ping(*self.port_argument, servo_id)
        seconds = time.monotonic() - start
        if result != sdk.COMM_RX_TIMEOUT:
            raise OSError(f"ID {servo_id} was to be silent, and the SDK says {self.handler.getTxRxResult(result)}")
        return seconds

    def sync_reader(self, ids: list[int], address: int, size: int) -> Callable[[], bool]:
        """One sync read as a function for a stopwatch, true when it succeeded."""
        group = self._group(ids, address, size)
        return lambda: bool(group.txRxPacket() == sdk.COMM_SUCCESS)

    def _group(self, ids: list[int], address: int, size: int) -> Any:
        group = sdk.GroupSyncRead(*self.port_argument, self.handler, address, size)
        for servo_id in ids:
            group.addParam(servo_id)
        return group

    def _require(self, result: int) -> None:
        if result != sdk.COMM_SUCCESS:
            raise OSError(self.handler.getTxRxResult(result))
