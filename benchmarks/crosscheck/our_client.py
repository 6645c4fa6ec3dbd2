"""Our servo bus behind the verbs of `peers/serve.py`, so that a stopwatch treats it as it treats the others."""

from collections.abc import Callable

from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.drivers.bus import open_bus


class Peer:
    """The bus as the drivers use it."""

    def open(self, port: str, baud: int, protocol: str) -> None:
        """Open `port`."""
        self.bus = open_bus(port, protocol, baud, MonotonicClock())

    def close(self) -> None:
        """Close the port."""
        self.bus.close()

    def sync_reader(self, ids: list[int], address: int, size: int) -> Callable[[], bool]:
        """One sync read as a function for a stopwatch, true when it succeeded."""
        return lambda: len(self.bus.sync_read(address, size, ids)) == len(ids)
