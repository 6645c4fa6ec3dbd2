"""Keeps what emulated servos hold in EEPROM in a file, so that it outlives the program as it does on real servos."""

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from robot_mbrl.contracts.atomic_file import write_atomically
from robot_mbrl.contracts.config import one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.virtual.servo import EmulatedServo

_CONTENT = TypeAdapter(dict[str, str])
"""Joint name to the EEPROM in hexadecimal."""


class EepromStore:
    """One JSON file for all servos of an arm."""

    def __init__(self, path: Path) -> None:
        """Name the file; nothing is read yet."""
        self._path = path

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def load(self, servos: Sequence[EmulatedServo]) -> bool:
        """Put the file's contents into the servos and power them up; False when there is no file yet.

        Raises:
            ConfigError: the file cannot be read or belongs to other servos.
        """
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be read ({error.strerror}): give another state file") from error
        try:
            content = _CONTENT.validate_json(text)
        except ValidationError as error:
            raise ConfigError(one_line(error, str(self._path))) from error
        names = [servo.name for servo in servos]
        if sorted(content) != sorted(names):
            raise ConfigError(
                f"{self._path}: holds {', '.join(content) or 'nothing'}, this arm has {', '.join(names)}: "
                "give this arm's state file, or remove it to start with new servos"
            )
        for servo in servos:
            try:
                servo.load_eeprom(bytes.fromhex(content[servo.name]))
            except ValueError as error:
                raise ConfigError(f"{self._path}: {error}: remove the file to start with new servos") from error
        return True

    def save(self, servos: Sequence[EmulatedServo]) -> None:
        """Replace the file by what the servos hold now; all or nothing.

        Raises:
            OSError: the file cannot be written; the servos stay dirty.
        """
        content = {servo.name: servo.eeprom.hex() for servo in servos}
        write_atomically(self._path, json.dumps(content, indent=1) + "\n")
        for servo in servos:
            servo.eeprom_dirty = False
