"""How requests travel to the control process: what stops the arm on a channel of its own.

A channel that overflows forgets its oldest records. A stop must not be among those that a flood of others pushes out.
"""

import os
from typing import Final

from robot_mbrl.contracts.frame import REQUEST_DTYPE, Record, Request, empty
from robot_mbrl.runtime.channels import ChannelName, Session

STOPS: Final = frozenset({Request.HOLD, Request.STOP, Request.EMERGENCY_STOP, Request.QUIT})
_CHANNELS: Final[tuple[ChannelName, ...]] = ("stop", "request")


class RequestSender:
    """Sends requests in one session."""

    def __init__(self, session: Session) -> None:
        """Open both channels of `session`.

        Raises:
            ChannelError: they cannot be used.
        """
        self._stops, self._others = (session.publisher(name) for name in _CHANNELS)

    def send(self, request: Request, now_ns: int, asked_ns: int | None = None) -> None:
        """Ask once, at `now_ns` [ns]; where that repeats what was asked for before, since `asked_ns` [ns]."""
        record = empty(REQUEST_DTYPE)
        record["stamp_ns"], record["request"], record["sender"] = now_ns, request, os.getpid()
        record["asked_ns"] = now_ns if asked_ns is None else asked_ns
        (self._stops if request in STOPS else self._others).send(record)


class RequestRecords:
    """The requests of one session; implements `inbox.Records`."""

    def __init__(self, session: Session) -> None:
        """Listen to both channels of `session`.

        Raises:
            ChannelError: they cannot be used.
        """
        self._subscribers = [session.subscriber(name) for name in _CHANNELS]

    def drain(self) -> list[Record]:
        """All records that wait, in the order in which they were sent."""
        records = [record for subscriber in self._subscribers for record in subscriber.drain()]
        return sorted(records, key=lambda record: int(record["stamp_ns"][0]))
