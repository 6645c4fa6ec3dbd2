"""The serial port: opened through pyserial, locked for this process, read without waiting longer than asked."""

import errno
import os
import select
import termios
from pathlib import Path
from typing import Protocol

import serial

from robot_mbrl.contracts.clock import NANOSECONDS, Clock, to_ns
from robot_mbrl.contracts.errors import ConfigError, PortBusy, PortError, PortLost, PortNotFound, PortPermission
from robot_mbrl.drivers.line import BITS_PER_BYTE

READ_SIZE = 4096
MAX_KERNEL_READS = 32
"""Reads after which whatever still comes is new: the kernel holds less than so many times `READ_SIZE` of a line."""
WRITE_MARGIN = 1.0
"""How much longer than its bytes take on the wire a write may wait for the device to take them [s]."""


class Transport(Protocol):
    """A byte stream with a deadline: what a bus needs of a port. Tests pass in their own."""

    @property
    def name(self) -> str:
        """Name for messages."""

    @property
    def baud(self) -> int:
        """Bits per second."""

    def write(self, data: bytes) -> None:
        """Queue `data` for sending. Raises `PortLost`, also where the device stopped taking bytes."""

    def read(self, deadline_ns: int, due_ns: int = 0) -> bytes:
        """Return what has arrived, waiting for the first byte until `deadline_ns` [ns]; empty when none came.

        Args:
            deadline_ns: when to give up.
            due_ns: when all of the answer is likely to be there; a transport may let it gather until then.

        Raises:
            PortLost: the port went away.
        """

    def discard(self) -> int:
        """Throw away what has arrived and return how many bytes that was. Raises `PortLost`."""

    def close(self) -> None:
        """Give the port up. Idempotent."""


class SerialTransport:
    """A serial device (or a pty) held exclusively.

    pyserial opens, configures and locks it. Reading and writing go to its file descriptor directly: pyserial's
    own `read` waits for a whole count of bytes, and costs a second system call for each.
    """

    def __init__(self, path: str, baud: int, clock: Clock, *, low_latency: bool = True, spin: float = 0.0) -> None:
        """Open `path` at `baud` [bit/s].

        Args:
            path: device, or the link of a virtual arm.
            baud: bits per second.
            clock: for deadlines.
            low_latency: set the driver's low-latency flag where the port has one (FTDI waits 16 ms without).
            spin: look at the port without sleeping for this long before and after an answer is due [s]. Waking up
                costs 50 to 100 µs, once for each packet; spinning costs processor time instead. 0 sleeps always.

        Raises:
            PortNotFound: there is no such device.
            PortPermission: the user may not open it.
            PortBusy: another process holds it.
            PortError: it is no serial port, or does not do this baud rate.
        """
        self._clock = clock
        self._path = path
        self._baud = baud
        self._spin_ns = to_ns(spin)
        self._serial = _open(path, baud)
        self._fd = self._serial.fileno()
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)
        self.low_latency = low_latency and self._request_low_latency()

    @property
    def name(self) -> str:
        """Path of the device."""
        return self._path

    @property
    def baud(self) -> int:
        """Bits per second."""
        return self._baud

    def _request_low_latency(self) -> bool:
        """Set ASYNC_LOW_LATENCY; False where the device has no such flag (ttyACM, ptys)."""
        try:
            self._serial.set_low_latency_mode(True)
        except (OSError, ValueError, NotImplementedError):
            return False
        return True

    def _lost(self, error: OSError) -> PortLost:
        return PortLost(f"port {self._path} went away ({error.strerror}): plug it in again and reconnect")

    def write(self, data: bytes) -> None:
        """Hand `data` to the kernel; returns before it is on the wire.

        Raises:
            PortLost: the port went away or is closed, or the device did not take the bytes in the time that they need
                on the wire and `WRITE_MARGIN`.
        """
        self._require_open()
        rest = data
        deadline_ns = 0
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                deadline_ns = deadline_ns or self._clock.now_ns() + to_ns(self._longest_write(len(data)))
                self._await_room(deadline_ns, len(data))
            except OSError as error:
                raise self._lost(error) from error

    def _longest_write(self, size: int) -> float:
        return size * BITS_PER_BYTE / self._baud + WRITE_MARGIN

    def _await_room(self, deadline_ns: int, size: int) -> None:
        """Sleep until the device takes bytes again."""
        remaining = (deadline_ns - self._clock.now_ns()) / NANOSECONDS
        if remaining <= 0.0 or not select.select((), (self._fd,), (), remaining)[1]:
            raise PortLost(
                f"port {self._path} did not take {size} bytes within {self._longest_write(size):.1f} s: "
                "plug it in again and reconnect"
            )

    def read(self, deadline_ns: int, due_ns: int = 0) -> bytes:
        """Return what has arrived, waiting for the first byte until `deadline_ns` [ns]."""
        self._require_open()
        if self._spin_ns and due_ns:
            self._clock.sleep_until_ns(due_ns - self._spin_ns)
            spin_end_ns = min(deadline_ns, due_ns + self._spin_ns)
            while self._clock.now_ns() < spin_end_ns:
                if self._poll.poll(0):
                    return self._read_available()
        wait_ms = max(0.0, (deadline_ns - self._clock.now_ns()) * 1e3 / NANOSECONDS)
        # poll() counts whole milliseconds; rounding up never gives an answer less time than it has.
        events = self._poll.poll(-int(-wait_ms // 1))
        if not events:
            return b""
        return self._read_available()

    def _read_available(self) -> bytes:
        try:
            data = os.read(self._fd, READ_SIZE)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error) from error
        if not data:
            raise PortLost(f"port {self._path} went away (end of file): plug it in again and reconnect")
        return data

    def discard(self) -> int:
        """Throw away what has arrived and return how many bytes that was; bounded on a line that is never quiet."""
        self._require_open()
        count = 0
        for _ in range(MAX_KERNEL_READS):
            if not self._poll.poll(0):
                break
            count += len(self._read_available())
        return count

    def close(self) -> None:
        """Give the port up."""
        if self._serial.is_open:
            self._poll.unregister(self._fd)
            # The kernel gives the number to the next file that is opened.
            self._fd = -1
            self._serial.close()

    def _require_open(self) -> None:
        if self._fd < 0:
            raise PortLost(f"port {self._path} is closed: open it again")


def _open(path: str, baud: int) -> serial.Serial:
    """Open with pyserial and turn its errors into ours."""
    if not Path(path).exists():
        raise PortNotFound(f"port {path} does not exist: check the cable, then `ls /dev/ttyACM* /dev/ttyUSB*`")
    if not os.access(path, os.R_OK | os.W_OK):
        raise PortPermission(
            f"port {path} may not be opened by this user: `sudo usermod -aG dialout $USER`, then log in again"
        )
    try:
        return serial.Serial(path, baud, timeout=0, exclusive=True)
    except ValueError as error:
        raise ConfigError(f"port {path} cannot do {baud} baud ({error}): give the servos' own rate") from error
    except (serial.SerialException, termios.error, OSError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number in (errno.EAGAIN, errno.EBUSY, errno.EWOULDBLOCK):
            raise PortBusy(f"port {path} is held by another process: `fuser {path}` names it; end it") from error
        if number in (errno.EACCES, errno.EPERM):
            raise PortPermission(f"port {path} may not be opened by this user: join the group that owns it") from error
        raise PortError(f"port {path} is not a serial port that can be used ({error}): give another one") from error
