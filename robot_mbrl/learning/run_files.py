"""What every training run keeps in its folder: a lock, the settings that it was begun with, a table of its results."""

import csv
import fcntl
import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO, Final, TypeVar

from robot_mbrl.contracts.atomic_file import write_atomically
from robot_mbrl.contracts.config import Settings, dump_settings, load_settings
from robot_mbrl.contracts.errors import ConfigError

SETTINGS: Final = "settings.yaml"
CURVE: Final = "curve.csv"
BOARD: Final = "tensorboard"
LOCK: Final = "lock"

RunSettings = TypeVar("RunSettings", bound=Settings)


def hold(folder: Path, doing: str) -> IO[bytes]:
    """Make `folder` and keep other processes out of it until the file that is returned is closed.

    Args:
        folder: to lock; its file `LOCK` is.
        doing: what another process does that has it, for the error, such as "trains here".

    Raises:
        ConfigError: another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / LOCK).open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise ConfigError(f"{folder}: another process {doing}: end it, or give another folder") from error
    except BaseException:
        file.close()
        raise
    return file


def read_settings(folder: Path, kind: type[RunSettings]) -> RunSettings:
    """The settings of the run in `folder`.

    Raises:
        ConfigError: there is no run, or one of another kind.
    """
    path = folder / SETTINGS
    if not path.exists():
        raise ConfigError(f"{folder}: has no {SETTINGS}: give the folder of a training run")
    return load_settings(path, kind)


def require_settings(folder: Path, settings: Settings, may_change: Collection[str], file: str = SETTINGS) -> None:
    """Compare `settings` with those in the `file` of `folder`, where there is one; only `may_change` may differ.

    Raises:
        ConfigError: the folder holds a run with other settings.
    """
    if (folder / file).exists():
        begun = load_settings(folder / file, type(settings))
        old, new = (run.model_dump(exclude=set(may_change)) for run in (begun, settings))
        changed = [name for name in old if old[name] != new[name]]
        if changed:
            raise ConfigError(
                f"{folder}: holds a run with other settings ({', '.join(changed)}): give those of its {file}, or "
                "another folder"
            )


def begin_settings(folder: Path, settings: Settings, may_change: Collection[str]) -> None:
    """Write `settings` of the run in `folder`, unless they differ from those in it by more than `may_change`.

    Raises:
        ConfigError: see `require_settings`.
    """
    require_settings(folder, settings, may_change)
    write_atomically(folder / SETTINGS, dump_settings(settings))


def table(kind: type[Settings], rows: Sequence[Settings]) -> str:
    """`rows` of `kind` as CSV: its fields' names, then a line for each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = tuple(kind.model_fields)
    writer.writerow(names)
    writer.writerows([getattr(row, name) for name in names] for row in rows)
    return text.getvalue()
