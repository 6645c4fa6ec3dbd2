"""The verbs of `serve.py` done with dynamixel-sdk, in its own environment."""

import importlib
import importlib.resources
import time
from collections.abc import Callable
from typing import Any

sdk: Any = importlib.import_module("dynamixel_sdk")
port_handler: Any = importlib.import_module("dynamixel_sdk.port_handler")
stepped_clock: Any = importlib.import_module("stepped_clock")
FACTORY_LATENCY_MS = port_handler.LATENCY_TIMER


class Peer:
    """Protocol 2.0 with the SDK's own packet handler and groups."""

    port: Any = None

    def open(self, port: str, baud: int, protocol: str, latency_ms: float | None = None) -> None:
        """Open `port`. `latency_ms` is the SDK's own allowance for a slow adapter; None leaves it at its default."""
        if protocol != "dynamixel":
            raise ValueError(f"dynamixel-sdk does not speak {protocol}")
        port_handler.LATENCY_TIMER = FACTORY_LATENCY_MS if latency_ms is None else latency_ms
        self.port = sdk.PortHandler(port)
        self.handler = sdk.PacketHandler(2.0)
        if not (self.port.openPort() and self.port.setBaudRate(baud)):
            raise OSError(f"cannot open {port}")

    def close(self) -> None:
        """Close the port, if it is open."""
        if self.port is not None:
            self.port.closePort()
            self.port = None

    def ping(self, servo_id: int) -> int:
        """Model number."""
        model, result, error = self.handler.ping(self.port, servo_id)
        self._require(result, error)
        return int(model)

    def scan(self, ids: list[int]) -> list[tuple[int, int]]:
        """(ID, model number) of those of `ids` that answer."""
        found = []
        for servo_id in ids:
            model, result, _ = self.handler.ping(self.port, servo_id)
            if result == sdk.COMM_SUCCESS:
                found.append((servo_id, int(model)))
        return found

    def broadcast_ping(self) -> dict[str, Any]:
        """(ID, model number) of all that answer, and how long the SDK took [s]."""
        start = time.monotonic()
        found, result = self.handler.broadcastPing(self.port)
        seconds = time.monotonic() - start
        self._require(result)
        return {"found": [(servo_id, model) for servo_id, (model, _) in sorted(found.items())], "seconds": seconds}

    def read(self, servo_id: int, address: int, size: int) -> dict[str, Any]:
        """Data and the error byte."""
        data, result, error = self.handler.readTxRx(self.port, servo_id, address, size)
        self._require(result)
        return {"data": list(data), "error": error}

    def write(self, servo_id: int, address: int, data: list[int]) -> dict[str, Any]:
        """The error byte."""
        result, error = self.handler.writeTxRx(self.port, servo_id, address, len(data), data)
        self._require(result)
        return {"error": error}

    def write_blind(self, servo_id: int, address: int, data: list[int]) -> None:
        """Send a write without waiting for its answer."""
        self._require(self.handler.writeTxOnly(self.port, servo_id, address, len(data), data))

    def reg_write(self, servo_id: int, address: int, data: list[int]) -> dict[str, Any]:
        """The error byte."""
        result, error = self.handler.regWriteTxRx(self.port, servo_id, address, len(data), data)
        self._require(result)
        return {"error": error}

    def action(self) -> None:
        """Let all servos carry out what was registered."""
        self._require(self.handler.action(self.port, sdk.BROADCAST_ID))

    def reboot(self, servo_id: int) -> dict[str, Any]:
        """The error byte."""
        result, error = self.handler.reboot(self.port, servo_id)
        self._require(result)
        return {"error": error}

    def sync_read(self, ids: list[int], address: int, size: int) -> list[list[int]]:
        """Data of each of `ids`, all that `GroupSyncRead` keeps of the answers."""
        group = self._group(ids, address, size)
        self._require(group.txRxPacket())
        return [list(group.data_dict[servo_id]) for servo_id in ids]

    def fast_sync_read(self, ids: list[int], address: int, size: int) -> list[list[int]]:
        """Data of each of `ids`."""
        group = self._group(ids, address, size)
        self._require(group.fastSyncRead())
        return [list(group.data_dict[servo_id]) for servo_id in ids]

    def bulk_read(self, items: list[tuple[int, int, int]]) -> list[list[int]]:
        """Data of each (ID, address, size)."""
        group = sdk.GroupBulkRead(self.port, self.handler)
        for item in items:
            group.addParam(*item)
        self._require(group.txRxPacket())
        return [list(group.data_dict[servo_id][0]) for servo_id, _, _ in items]

    def sync_write(self, ids: list[int], address: int, values: list[list[int]]) -> None:
        """Write `values`, one for each of `ids`."""
        group = sdk.GroupSyncWrite(self.port, self.handler, address, len(values[0]))
        for servo_id, data in zip(ids, values, strict=True):
            group.addParam(servo_id, data)
        self._require(group.txPacket())

    def read_while_clock_jumps(self, servo_id: int, address: int, size: int, jump: float) -> list[int] | None:
        """Data, or None where the SDK calls the answer late, when the clock steps by `jump` [s] after the request."""
        port_handler.time = stepped_clock.SteppedClock(jump)
        try:
            data, result, _ = self.handler.readTxRx(self.port, servo_id, address, size)
        finally:
            port_handler.time = time
        if result == sdk.COMM_RX_TIMEOUT:
            return None
        self._require(result)
        return list(data)

    def sync_read_state(self, ids: list[int], address: int, size: int) -> dict[str, Any]:
        """Everything that a `GroupSyncRead` knows after a sync read."""
        group = self._group(ids, address, size)
        self._require(group.txRxPacket())
        return {name: value for name, value in vars(group).items() if name not in ("port", "ph")}

    def seconds_to_give_up(self, servo_id: int) -> float:
        """How long the SDK waits for a servo that is not there [s]."""
        start = time.monotonic()
        _, result, _ = self.handler.ping(self.port, servo_id)
        seconds = time.monotonic() - start
        if result != sdk.COMM_RX_TIMEOUT:
            raise OSError(f"ID {servo_id} was to be silent, and the SDK says {self.handler.getTxRxResult(result)}")
        return seconds

    def registers(self, servo: str) -> list[tuple[str, int, int, int]]:
        """(name, address, size, 0) of every register in the table of `servo` that the SDK's package brings."""
        files = {"xl330-m288": "xl330_m288_fw52.model", "xl430-w250": "xl430_w250.model"}
        folder = importlib.resources.files("dynamixel_easy_sdk") / "control_table"
        table = (folder / files[servo]).read_text(encoding="utf-8").split("[control table]")[1]
        rows = [line.split("\t") for line in table.strip().splitlines()[1:]]
        return [(name.strip().lower().replace(" ", "_"), int(address), int(size), 0) for address, size, name in rows]

    def sync_reader(self, ids: list[int], address: int, size: int) -> Callable[[], bool]:
        """One sync read as a function for a stopwatch, true when it succeeded."""
        group = self._group(ids, address, size)
        return lambda: bool(group.txRxPacket() == sdk.COMM_SUCCESS)

    def _group(self, ids: list[int], address: int, size: int) -> Any:
        group = sdk.GroupSyncRead(self.port, self.handler, address, size)
        for servo_id in ids:
            group.addParam(servo_id)
        return group

    def _require(self, result: int, error: int = 0) -> None:
        if result != sdk.COMM_SUCCESS:
            raise OSError(self.handler.getTxRxResult(result))
        if error:
            raise OSError(self.handler.getRxPacketError(error))
