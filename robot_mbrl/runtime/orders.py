"""What a process is told by the supervisor, line by line on its standard input."""

import os
import select


class Orders:
    """Lines on a file descriptor, without waiting for any."""

    def __init__(self, descriptor: int) -> None:
        """Read from `descriptor`."""
        self._descriptor = descriptor
        self._buffer = b""
        self.ended = False
        """Whether there will be no more."""

    def next(self, patience: float = 0.0) -> str | None:
        """The next line; None when no whole one has come within `patience` [s]."""
        while b"\n" not in self._buffer:
            if self.ended or not select.select([self._descriptor], (), (), patience)[0]:
                return None
            data = os.read(self._descriptor, 4096)
            self.ended = not data
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        # A line that was too long for the pipe may end within a character.
        return line.decode(errors="replace")
