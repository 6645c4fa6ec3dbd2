"""The control socket of an emulated arm: JSON lines on a Unix socket beside the link, `PATH.ctl`.

One request a line, one answer a line, `{"ok": true, ...}` or `{"ok": false, "error": "..."}`. A request either makes a
fault, `{"fault": "stuck", "servo": "elbow_flex", "duration": 2}` (see `faults`), or commands:

    {"command": "truth"}       where the joints really are: time_ns, simulated time, position, velocity, ...
    {"command": "status"}      what the bus and the event loop have counted
    {"command": "clear"}       end all wire faults
    {"command": "quit"}        end the emulated arm
"""

import contextlib
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import TypeAdapter, ValidationError

from robot_mbrl.contracts.config import Settings, one_line
from robot_mbrl.contracts.errors import ConfigError, PortBusy, PortError, RobotMbrlError
from robot_mbrl.drivers.virtual.faults import Fault
from robot_mbrl.drivers.virtual.wire_faults import TimedFault

_LONGEST_LINE: Final = 65536
_LONGEST_PATH: Final = 107
"""Bytes of a Unix socket's path, `sun_path` less its terminator."""

Answer = dict[str, Any]


class Command(Settings):
    """Something that is asked of an emulated arm and is not a fault."""

    command: Literal["truth", "status", "clear", "quit"]


_FAULT: Final[TypeAdapter[TimedFault]] = TypeAdapter(Fault)


def control_path(link: Path) -> Path:
    """Where the control socket of the emulated arm at `link` is."""
    return link.with_name(link.name + ".ctl")


def answers(path: Path) -> bool:
    """Whether a living emulated arm listens at `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def parse_request(line: bytes) -> TimedFault | Command:
    """What a line asks for.

    Raises:
        ConfigError: it is not JSON, or neither a known fault nor a known command.
    """
    try:
        content = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"control request: not JSON ({error}): give one object a line") from error
    if not isinstance(content, dict) or ("fault" in content) == ("command" in content):
        raise ConfigError("control request: give an object with either the key fault or the key command")
    try:
        return _FAULT.validate_python(content) if "fault" in content else Command.model_validate(content)
    except ValidationError as error:
        raise ConfigError(one_line(error, "control request")) from error


class ControlSocket:
    """Listens, reads lines, writes answers; never blocks."""

    def __init__(self, path: Path, handle: Callable[[TimedFault | Command], Answer]) -> None:
        """Listen at `path`, readable and writable for this user only.

        Raises:
            PortBusy: another emulated arm lives there, or something else stands there.
            PortError: the socket cannot be made.
        """
        if len(os.fsencode(path)) > _LONGEST_PATH:
            raise PortError(f"{path}: a socket's path may have {_LONGEST_PATH} bytes: give a shorter link")
        self._path = path
        self._handle = handle
        self._buffers: dict[socket.socket, bytes] = {}
        _make_room(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            self._listener.bind(str(path))
        except OSError as error:
            self._listener.close()
            raise PortError(
                f"{path}: the control socket cannot be made ({error.strerror}): give a link in a folder that exists "
                "and that you may write to"
            ) from error
        finally:
            os.umask(mask)
        self._listener.listen()
        self._listener.setblocking(False)
        self.waiting: list[socket.socket] = [self._listener]
        """What `select` has to watch."""

    def serve(self, ready: socket.socket) -> None:
        """Take a caller, or answer what one has sent."""
        if ready is self._listener:
            caller, _ = self._listener.accept()
            caller.setblocking(False)
            self._buffers[caller] = b""
            self.waiting.append(caller)
            return
        try:
            data = ready.recv(_LONGEST_LINE)
            if not data or len(self._buffers[ready]) > _LONGEST_LINE:
                self._hang_up(ready)
                return
            *lines, self._buffers[ready] = (self._buffers[ready] + data).split(b"\n")
            for line in lines:
                ready.sendall(self._answer(line))
        except OSError:
            self._hang_up(ready)

    def close(self) -> None:
        """Hang up on everybody and remove the socket. Idempotent."""
        for caller in self.waiting:
            caller.close()
        self.waiting.clear()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _answer(self, line: bytes) -> bytes:
        try:
            request = parse_request(line)
            answer: Answer = {"ok": True, **self._handle(request)}
        except RobotMbrlError as error:
            answer = {"ok": False, "error": str(error)}
        return json.dumps(answer).encode() + b"\n"

    def _hang_up(self, caller: socket.socket) -> None:
        self.waiting.remove(caller)
        del self._buffers[caller]
        caller.close()


def _make_room(path: Path) -> None:
    """Remove the socket of an emulated arm that died; leave anything else alone."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise PortBusy(f"{path}: is there already and is no control socket: give another link or remove it")
    if answers(path):
        raise PortBusy(f"{path}: an emulated arm is running there: stop it or give another link")
    path.unlink()
