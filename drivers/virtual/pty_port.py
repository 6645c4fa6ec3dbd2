"""The emulated adapter's device: a pty whose other end is linked to a path that clients open.

A pty has no baud rate, but it keeps the one that a client sets; servos at another rate must not understand that
client. The adapter keeps the client's end open itself, so that clients may come and go without a hang-up.
"""

import contextlib
import errno
import fcntl
import os
import stat
import struct
import tty
from pathlib import Path
from typing import Final

from robot_mbrl.contracts.errors import PortBusy, PortError, PortPermission
from robot_mbrl.drivers.virtual.pseudo_terminal import open_pseudo_terminal

# <asm-generic/termbits.h>: struct termios2 holds the speeds as plain numbers, also those that have no B constant.
_TCGETS2: Final = 0x802C542A
_TCSETS2: Final = 0x402C542B
_TERMIOS2: Final = struct.Struct("IIIIB19sII")
_CBAUD: Final = 0o010017
_BOTHER: Final = 0o010000
_READ_SIZE: Final = 4096


class PtyPort:
    """A serial port that is a pty.

    Attributes:
        link: path that clients open.
        overflows: how many times a client that does not read has lost bytes.
    """

    def __init__(self, link: Path, baud: int) -> None:
        """Describe the port; `plug` makes it. A client that never sets a speed finds `baud`."""
        self.link = link
        self.overflows = 0
        self._baud = baud
        self._master = -1
        self._slave = -1

    @property
    def plugged(self) -> bool:
        """Whether the device exists."""
        return self._master >= 0

    def fileno(self) -> int:
        """The adapter's end, for `select`."""
        return self._master

    def plug(self) -> None:
        """Make the device and link it.

        Raises:
            PortBusy: something else stands at the link's place.
            PortError: the link cannot be made, or there is no pseudo-terminal.
        """
        refuse_foreign(self.link)
        self._master, self._slave = open_pseudo_terminal()
        tty.setraw(self._slave)
        _set_speed(self._slave, self._baud)
        os.set_blocking(self._master, False)
        beside = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        try:
            beside.symlink_to(os.ttyname(self._slave))
            beside.replace(self.link)
        except OSError as error:
            self._close_ends()
            with contextlib.suppress(FileNotFoundError):
                beside.unlink()
            kind = PortPermission if error.errno in (errno.EACCES, errno.EPERM) else PortError
            raise kind(
                f"{self.link}: the link to the virtual arm cannot be made ({error.strerror}): give a path in a folder "
                "that exists and that you may write to"
            ) from error

    def unplug(self) -> None:
        """Take the device away: whoever has it open gets a hang-up. Idempotent."""
        if not self.plugged:
            return
        with contextlib.suppress(FileNotFoundError):
            if self.link.readlink() == Path(os.ttyname(self._slave)):
                self.link.unlink()
        self._close_ends()

    def baud(self) -> int:
        """Bits per second that the client has set."""
        return int(_TERMIOS2.unpack(fcntl.ioctl(self._slave, _TCGETS2, bytes(_TERMIOS2.size)))[7])

    def read(self) -> bytes:
        """What the client has written, empty if nothing."""
        try:
            return os.read(self._master, _READ_SIZE)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        """Hand bytes to the client; what does not fit in its buffer is lost, as on a real adapter."""
        try:
            if os.write(self._master, data) < len(data):
                self.overflows += 1
        except BlockingIOError:
            self.overflows += 1

    def _close_ends(self) -> None:
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1


def refuse_foreign(link: Path) -> None:
    """Let only a free place, or the dead link of an earlier virtual arm, be taken.

    Raises:
        PortBusy: `link` is anything else.
    """
    try:
        mode = link.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISLNK(mode) or not str(link.readlink()).startswith("/dev/pts/"):
        raise PortBusy(f"{link}: is there already and is not the link of a virtual arm: give another path or remove it")


def _set_speed(fd: int, baud: int) -> None:
    fields = list(_TERMIOS2.unpack(fcntl.ioctl(fd, _TCGETS2, bytes(_TERMIOS2.size))))
    fields[2] = fields[2] & ~_CBAUD | _BOTHER
    fields[6] = fields[7] = baud
    fcntl.ioctl(fd, _TCSETS2, _TERMIOS2.pack(*fields))
