"""The folder of the flight logs: names that sort by time, and a bound on what the files take."""

from collections.abc import Iterable
from pathlib import Path

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.data.log_header import LogHeader

FLIGHT_PATTERN = "flight-*.mcap"
INCIDENT_PATTERN = "incident-*.mcap"


class LogFolder:
    """Where the logs are.

    Flights and incidents each have a bound of their own: the oldest file goes first, and no flight pushes out an
    incident. Files with other names, such as salvaged ones, are left alone.
    """

    def __init__(self, path: Path, flights_bytes: int, incidents_bytes: int) -> None:
        """Make the folder where it is missing.

        Args:
            path: of the folder.
            flights_bytes: what flight files may take together.
            incidents_bytes: what incident files may take together.

        Raises:
            ConfigError: it cannot be made.
        """
        self.path = path
        self._bounds = {FLIGHT_PATTERN: flights_bytes, INCIDENT_PATTERN: incidents_bytes}
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"log folder {path}: {error.strerror}: give a folder that can be written") from error

    def path_of(self, header: LogHeader) -> Path:
        """The file for a log with `header`."""
        return self.path / f"{header.kind}-{header.flight}-{header.part:04d}.mcap"

    def make_room(self, kind: str, coming: int, in_use: Iterable[Path]) -> list[Path]:
        """Delete the oldest files until `coming` bytes more keep within the bound of their kind.

        Args:
            kind: `flight` or `incident`.
            coming: bytes that will be written.
            in_use: files that stay.

        Returns:
            The files that are gone.

        Raises:
            OSError: a file cannot be deleted.
        """
        pattern = FLIGHT_PATTERN if kind == "flight" else INCIDENT_PATTERN
        kept = set(in_use)
        files = sorted(self.path.glob(pattern))
        total = sum(file.stat().st_size for file in files) + coming
        gone = []
        for file in files:
            if total <= self._bounds[pattern]:
                break
            if file not in kept:
                total -= file.stat().st_size
                file.unlink()
                gone.append(file)
        return gone


def flight_files(folder: Path, flight: str) -> list[Path]:
    """The files of one flight in `folder`, in order, without its incidents."""
    return sorted(folder.glob(f"flight-{flight}-*.mcap"))
