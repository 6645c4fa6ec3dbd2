"""What every training run keeps in its folder: the settings that it was begun with, and a table of its results."""

import csv
import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, TypeVar

from robot_mbrl.contracts.atomic_file import write_atomically
from robot_mbrl.contracts.config import Settings, dump_settings, load_settings
from robot_mbrl.contracts.errors import ConfigError

SETTINGS: Final = "settings.yaml"
CURVE: Final = "curve.csv"
BOARD: Final = "tensorboard"

RunSettings = TypeVar("RunSettings", bound=Settings)


def read_settings(folder: Path, kind: type[RunSettings]) -> RunSettings:
    """The settings of the run in `folder`.

    Raises:
        ConfigError: there is no run, or one of another kind.
    """
    path = folder / SETTINGS
    if not path.exists():
        raise ConfigError(f"{folder}: has no {SETTINGS}: give the folder of a training run")
    return load_settings(path, kind)


def begin_settings(folder: Path, settings: Settings, may_change: Collection[str]) -> None:
    """Write `settings` of the run in `folder`; where one was begun already, only `may_change` may differ.

    Raises:
        ConfigError: the folder holds a run with other settings.
    """
    if (folder / SETTINGS).exists():
        begun = read_settings(folder, type(settings))
        old, new = (run.model_dump(exclude=set(may_change)) for run in (begun, settings))
        changed = [name for name in old if old[name] != new[name]]
        if changed:
            raise ConfigError(
                f"{folder}: holds a run with other settings ({', '.join(changed)}): give those of its {SETTINGS}, or "
                "another folder"
            )
    write_atomically(folder / SETTINGS, dump_settings(settings))


def table(kind: type[Settings], rows: Sequence[Settings]) -> str:
    """`rows` of `kind` as CSV: its fields' names, then a line for each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = tuple(kind.model_fields)
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in rows)
    return text.getvalue()
