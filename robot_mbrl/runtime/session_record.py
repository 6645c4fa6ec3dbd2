"""Who runs an arm: a small file for each session, so that another program can stop the arm when its processes cannot.

It lies beside the session's channels in shared memory, and goes when the arm has been dealt with.
"""

import os
import select
import signal
from pathlib import Path
from typing import Final, Self

from pydantic import ValidationError

from robot_mbrl.contracts.atomic_file import write_atomically
from robot_mbrl.contracts.config import Settings
from robot_mbrl.runtime.settings import DeploySettings

_FOLDER: Final = Path("/dev/shm")


def _prefix() -> str:
    return f"robot_mbrl-deployment-{os.getuid()}-"


def _path(session: str) -> Path:
    return _FOLDER / f"{_prefix()}{session}"


class ProcessIdentity(Settings):
    """A process that cannot be mistaken for a later one with the same ID.

    Attributes:
        pid: process ID.
        started: when it started, as `/proc/PID/stat` tells [clock ticks since boot].
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """The process that has `pid` now.

        Raises:
            ProcessLookupError: there is none.
        """
        return cls(pid=pid, started=_start_time(pid))

    def is_alive(self) -> bool:
        """Whether it has not ended; a frozen one has not."""
        try:
            return _start_time(self.pid) == self.started and not _ended(self.pid)
        except ProcessLookupError:
            return False

    def send_signal(self, number: signal.Signals, patience: float = 0.0) -> None:
        """Send a signal to it, if it is there, and give it `patience` [s] to end."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if _start_time(self.pid) == self.started:
                signal.pidfd_send_signal(handle, number)
                select.select([handle], (), (), patience)
        except ProcessLookupError:
            return
        finally:
            os.close(handle)


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError as error:
        raise ProcessLookupError(f"process {pid} has ended") from error
    # The second field is the program's name in parentheses and may hold anything; what follows is counted from 3.
    return text.rpartition(")")[2].split()


def _start_time(pid: int) -> int:
    return int(_stat(pid)[19])


def _ended(pid: int) -> bool:
    """Whether the process is a zombie: it has ended, and its parent has not asked how."""
    return _stat(pid)[0] in {"Z", "X"}


class SessionRecord(Settings):
    """The processes of one session.

    Attributes:
        supervisor: parent of the others.
        control: holds the arm's port.
        guardian: stops the arm when control cannot.
        settings: what all of them were told.
    """

    supervisor: ProcessIdentity
    control: ProcessIdentity
    guardian: ProcessIdentity
    settings: DeploySettings

    def save(self) -> None:
        """Write the file."""
        write_atomically(_path(self.settings.session), self.model_dump_json())


def remove_record(session: str) -> None:
    """Take a session's file away. Idempotent."""
    _path(session).unlink(missing_ok=True)


def load_record(session: str) -> SessionRecord | None:
    """What a session left of itself; None when there is nothing, or nothing that this version can read."""
    try:
        return SessionRecord.model_validate_json(_path(session).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None


def recorded_sessions() -> list[str]:
    """Names of all sessions of this user that have a file."""
    return sorted(path.name.removeprefix(_prefix()) for path in _FOLDER.glob(f"{_prefix()}*"))
