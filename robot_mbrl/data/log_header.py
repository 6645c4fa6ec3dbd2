"""What a flight log says of itself: the arm, the monitor and its settings, the versions. Metadata of the MCAP file."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final, Literal

from pydantic import ValidationError

from robot_mbrl import __version__
from robot_mbrl.contracts.config import Settings, one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import MonitorSettings
from robot_mbrl.drivers.arms import ArmDefinition

METADATA_NAME: Final = "robot_mbrl"
_LIBRARIES: Final = ("mcap", "mujoco", "numpy", "onnxruntime", "pydantic")


class LogHeader(Settings):
    """What must be known to read a log, and to judge its frames again.

    Attributes:
        arm: the arm's definition, with joint names and limits.
        check_names: of the monitor; a frame's `reason` is an index into them.
        monitor: the monitor's settings, whole.
        geometry: whether the monitor knew the arm's geometry, and so watched workspace and clearances.
        settings: what the run was asked to do.
        versions: of this program, Python and the libraries that matter for the numbers.
        flight: name of the flight, the same in all of its files.
        kind: `flight` files hold every frame, an `incident` the time around one stop.
        part: number of the file within its flight; for an incident the number of the stop.
        clock_offset_ns: Unix time less CLOCK_MONOTONIC [ns], taken once a flight: a step of the wall clock meanwhile
            moves no message. A message's log time is its frame's `wake_ns` plus this.
    """

    arm: ArmDefinition
    check_names: tuple[str, ...]
    monitor: MonitorSettings
    geometry: bool
    settings: dict[str, Any]
    versions: dict[str, str]
    flight: str = ""
    kind: Literal["flight", "incident"] = "flight"
    part: int = 0
    clock_offset_ns: int = 0

    def to_metadata(self) -> dict[str, str]:
        """As MCAP keeps it: a text for each attribute, JSON where it is not plain text."""
        fields = self.model_dump(mode="json")
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "LogHeader":
        """Read what `to_metadata` gave.

        Raises:
            ConfigError: an attribute is missing, unknown or wrong.
        """
        plain = {"flight", "kind"}
        try:
            return cls.model_validate(
                {name: text if name in plain else json.loads(text) for name, text in metadata.items()}
            )
        except ValidationError as error:
            raise ConfigError(
                f"log header: not one of robot-mbrl {__version__} ({one_line(error, 'header')}): read the log with the "
                "version that wrote it"
            ) from error
        except json.JSONDecodeError as error:
            raise ConfigError(f"log header: not JSON ({error}): read the log with the version that wrote it") from error


def installed_versions() -> dict[str, str]:
    """Versions of this program, of Python and of the libraries that matter for a log's numbers."""
    libraries = {name: version(name) for name in _LIBRARIES}
    return {"robot-mbrl": __version__, "python": platform.python_version()} | libraries
