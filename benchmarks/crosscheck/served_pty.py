"""Ptys that stand between a client and its servos: one that listens in, one that answers from a script."""

import os
import pty
import select
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import serial

READ_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Recording:
    """What went over the line.

    Attributes:
        sent: bytes from the client, in order.
        received: bytes to the client, in order.
    """

    sent: bytes
    received: bytes


class ServedPty:
    """A pty served by a thread of this process; `port` is what a client opens."""

    def __init__(self) -> None:
        self._master, self._slave = pty.openpty()
        # The slave stays open here too, so that a client may close it and another one open it.
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._wake_reader, self._wake_writer = os.pipe()
        self._changed = threading.Condition()
        self._sent = bytearray()
        self._received = bytearray()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._thread.start()

    def take(self, sent_size: int, deadline: float = 5.0) -> Recording:
        """What was recorded since the last call; waits up to `deadline` [s] for `sent_size` bytes from the client."""
        end = time.monotonic() + deadline
        with self._changed:
            self._changed.wait_for(lambda: len(self._sent) >= sent_size or self._failure, end - time.monotonic())
            if self._failure is not None:
                raise self._failure
            recording = Recording(bytes(self._sent), bytes(self._received))
            self._sent.clear()
            self._received.clear()
        return recording

    def close(self) -> None:
        """End the thread and take the pty away."""
        os.write(self._wake_writer, b"x")
        self._thread.join()
        for descriptor in (self._master, self._slave, self._wake_reader, self._wake_writer):
            os.close(descriptor)

    def __enter__(self) -> Self:
        """The served port."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the pty away."""
        self.close()

    def _run(self) -> None:
        sources = self._sources()
        try:
            while True:
                readable, _, _ = select.select([self._wake_reader, *sources], [], [])
                if self._wake_reader in readable:
                    return
                for descriptor in readable:
                    sources[descriptor](os.read(descriptor, READ_SIZE))
        except OSError as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _sources(self) -> dict[int, Callable[[bytes], None]]:
        """What is read from, and where its bytes go."""
        return {self._master: self._from_client}

    def _from_client(self, data: bytes) -> None:
        with self._changed:
            self._sent += data
            self._changed.notify_all()

    def _to_client(self, data: bytes) -> None:
        with self._changed:
            self._received += data
        os.write(self._master, data)


class Tap(ServedPty):
    """A client's port that passes everything on to another port, and records it."""

    def __init__(self, port: str, baud: int) -> None:
        """Open `port` at `baud` and stand in front of it."""
        self._servos = serial.Serial(port, baud, timeout=0)
        super().__init__()

    def close(self) -> None:
        """Take the pty away and close the port behind it."""
        super().close()
        self._servos.close()

    def _sources(self) -> dict[int, Callable[[bytes], None]]:
        return {self._master: self._from_client, self._servos.fileno(): self._to_client}

    def _from_client(self, data: bytes) -> None:
        super()._from_client(data)
        os.write(self._servos.fileno(), data)


class CannedServos(ServedPty):
    """Servos that give one fixed answer to every request of one size, at once."""

    def __init__(self, request_size: int, answer: bytes, delay: float = 0.0) -> None:
        """Answer `answer`, `delay` seconds after each `request_size` bytes."""
        self._request_size = request_size
        self._answer = answer
        self._delay = delay
        self._pending = 0
        super().__init__()

    def inject(self, data: bytes) -> None:
        """Send the client what it has not asked for; returns when the client can read it."""
        self._to_client(data)
        select.select([self._slave], [], [])

    def _from_client(self, data: bytes) -> None:
        super()._from_client(data)
        self._pending += len(data)
        while self._pending >= self._request_size:
            self._pending -= self._request_size
            time.sleep(self._delay)
            self._to_client(self._answer)
