"""The verbs of `serve.py` done with rustypot (Rust), whose raw calls are the same for both protocols."""

import importlib
from collections.abc import Callable
from typing import Any

rustypot: Any = importlib.import_module("rustypot")


class Peer:
    """A controller of the servo family that speaks the protocol asked for."""

    controller: Any = None

    def open(self, port: str, baud: int, protocol: str, latency_ms: float | None = None) -> None:
        """Open `port`; every answer may take `latency_ms`."""
        controllers = {"feetech": "Sts3215PyController", "dynamixel": "Xl330PyController"}
        timeout = (100.0 if latency_ms is None else latency_ms) / 1e3
        self.controller = getattr(rustypot, controllers[protocol])(port, baud, timeout)

    def close(self) -> None:
        """Close the port, if it is open."""
        if self.controller is not None:
            self.controller.close()
            self.controller = None

    def scan(self, ids: list[int]) -> list[tuple[int, int]]:
        """(ID, model number) of those of `ids` that answer."""
        return sorted(self.controller.scan(ids).items())

    def broadcast_ping(self, ids: list[int]) -> list[tuple[int, int]]:
        """(ID, model number) of those of `ids` that answer a ping to all."""
        return sorted(self.controller.broadcast_scan(ids).items())

    def ping(self, servo_id: int) -> bool:
        """Whether the servo answers."""
        return bool(self.controller.ping(servo_id))

    def read(self, servo_id: int, address: int, size: int) -> dict[str, Any]:
        """Data and the status or error byte."""
        data, error = self.controller.read_raw_data_with_error(servo_id, address, size)
        return {"data": list(data), "error": error}

    def write(self, servo_id: int, address: int, data: list[int]) -> dict[str, Any]:
        """The status or error byte."""
        return {"error": self.controller.write_raw_data_with_error(servo_id, address, data)}

    def reboot(self, servo_id: int) -> bool:
        """Whether the servo answered."""
        return bool(self.controller.reboot(servo_id))

    def sync_read(self, ids: list[int], address: int, size: int) -> list[list[int]]:
        """Data of each of `ids`."""
        return [list(data) for data in self.controller.sync_read_raw_data(ids, address, size)]

    def sync_read_errors(self, ids: list[int], address: int, size: int) -> list[int]:
        """Status or error byte of each of `ids`."""
        return [error for _, error in self.controller.sync_read_raw_data_with_error(ids, address, size)]

    def fast_sync_read(self, ids: list[int], address: int, size: int) -> list[list[int]]:
        """Data of each of `ids`, asked for with a fast sync read."""
        self.controller.set_fast_sync_read(True)
        try:
            return self.sync_read(ids, address, size)
        finally:
            self.controller.set_fast_sync_read(False)

    def sync_write(self, ids: list[int], address: int, values: list[list[int]]) -> None:
        """Write `values`, one for each of `ids`."""
        self.controller.sync_write_raw_data(ids, address, values)

    def registers(self, servo: str) -> list[tuple[str, int, int, int]]:
        """(name, address, size, sign bit or 0) of every register that rustypot knows of `servo`."""
        controllers = {
            "sts3215": "Sts3215PyController",
            "xl330-m288": "Xl330PyController",
            "xl430-w250": "Xl430PyController",
        }
        known = getattr(rustypot, controllers[servo]).registers()
        return [(register.name, register.addr, register.size, register.sign_bit or 0) for register in known]

    def sync_reader(self, ids: list[int], address: int, size: int) -> Callable[[], bool]:
        """One sync read as a function for a stopwatch, true when it succeeded."""
        return lambda: len(self.controller.sync_read_raw_data(ids, address, size)) == len(ids)
