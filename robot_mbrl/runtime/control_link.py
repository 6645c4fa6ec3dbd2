"""The supervisor's side of the control process: requests go out, frames come in."""

from collections import deque
from collections.abc import Callable, Collection
from itertools import takewhile
from types import TracebackType
from typing import Final, Self

import numpy as np

from robot_mbrl.contracts.clock import Clock, to_ns
from robot_mbrl.contracts.frame import ControlState, Record, Request
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.requests import RequestSender
from robot_mbrl.safety.state_machine import LATCHED

LOOK: Final = 0.01
"""Between two looks at the frames [s]."""
REPEAT: Final = 0.5
"""A request is said again after this long without effect [s]; to say it twice does no harm."""
KEPT: Final = 1024
"""Frames that are kept to tell why the arm stopped: a second at 1 kHz, however late somebody looks."""
REST_SPEED: Final = 0.05
"""A joint that is slower is at rest [rad/s]; under it lies what an encoder of 4096 steps makes of a standing joint."""


class ControlLink:
    """Talks to the control process of one session; a context manager.

    Attributes:
        recent: the newest frames that have come, the oldest first.
        stopped_ns: when the latch began that the newest frame shows [ns]; None while it shows none.
    """

    def __init__(self, session: str, clock: Clock) -> None:
        """Join `session`.

        Raises:
            ChannelError: the channels cannot be used.
        """
        self._session = Session(session)
        self._requests = RequestSender(self._session)
        self._frames = self._session.subscriber("frame")
        self._clock = clock
        self.recent: deque[Record] = deque(maxlen=KEPT)
        self.stopped_ns: int | None = None

    @property
    def frame(self) -> Record | None:
        """The newest frame that has come; None before the first."""
        return self.recent[-1] if self.recent else None

    @property
    def state(self) -> ControlState | None:
        """State of the control process in its newest frame."""
        return None if self.frame is None else ControlState(int(self.frame["state"][0]))

    def look(self) -> bool:
        """Take the frames that have come; returns whether there were any."""
        return bool(self._take())

    def _take(self) -> list[Record]:
        frames = self._frames.drain()
        self.recent.extend(frames)
        for frame in frames:
            if not _is_latched(frame):
                self.stopped_ns = None
            elif self.stopped_ns is None:
                self.stopped_ns = int(frame["wake_ns"][0])
        return frames

    def send(self, request: Request, asked_ns: int | None = None) -> None:
        """Ask once; where that repeats what was asked for before, since `asked_ns` [ns]."""
        self._requests.send(request, self._clock.now_ns(), asked_ns)

    def ask(
        self,
        request: Request,
        reached: Collection[ControlState],
        patience: float,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> bool:
        """Ask until a frame of a tick that began afterwards is in one of the states `reached`.

        However often it is said, it stays one request, made now: a stop that comes later overrules all of it.

        Args:
            request: what to ask for.
            reached: states that show its effect, or make it moot.
            patience: how long to go on [s].
            meanwhile: called at each look; what it raises ends the asking.

        Returns:
            Whether such a frame came.
        """
        began_ns = self._clock.now_ns()
        said_ns: int | None = None
        while self._clock.now_ns() - began_ns < to_ns(patience):
            meanwhile()
            now_ns = self._clock.now_ns()
            if said_ns is None or now_ns - said_ns > to_ns(REPEAT):
                self.send(request, began_ns)
                said_ns = now_ns
            fresh = [frame for frame in self._take() if int(frame["wake_ns"][0]) > began_ns]
            if any(int(frame["state"][0]) in reached for frame in fresh):
                return True
            self._clock.sleep_until_ns(now_ns + to_ns(LOOK))
        return False

    def await_rest(self, patience: float, meanwhile: Callable[[], None] = lambda: None) -> bool:
        """Wait at most `patience` [s] for a frame since the stop in which no joint moves; returns whether one came.

        One is enough, and it need not be the newest: an arm whose torque goes off when it rests may fall then, and its
        control process may end.
        """
        deadline_ns = self._clock.now_ns() + to_ns(patience)
        while True:
            since_stop = takewhile(_is_latched, reversed(self.recent))
            if any(map(_is_still, since_stop)):
                return True
            if self._clock.now_ns() >= deadline_ns:
                return False
            meanwhile()
            self._clock.sleep_until_ns(self._clock.now_ns() + to_ns(LOOK))
            self.look()

    def await_after_stop(
        self, seconds: float, meanwhile: Callable[[], None] = lambda: None, hurry: Callable[[], bool] = lambda: False
    ) -> None:
        """Look on until `seconds` [s] after the stop that is latched, unless none is, or there is `hurry`."""
        while self.stopped_ns is not None and self._clock.now_ns() - self.stopped_ns < to_ns(seconds) and not hurry():
            meanwhile()
            self._clock.sleep_until_ns(self._clock.now_ns() + to_ns(LOOK))
            self.look()

    def close(self) -> None:
        """Leave the session. Idempotent."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _is_latched(frame: Record) -> bool:
    return int(frame["state"][0]) in LATCHED


def _is_still(frame: Record) -> bool:
    velocity = frame["velocity"][0, : int(frame["joints"][0])]
    return bool((np.abs(velocity) < REST_SPEED).all())
