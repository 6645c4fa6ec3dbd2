"""What the other processes send to the control loop: requests, heartbeats and actions."""

from typing import Final, Protocol

import numpy as np

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.frame import ACTION_DTYPE, Record, Request, empty
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.runtime.frame_buffer import FrameBuffer
from robot_mbrl.runtime.requests import STOPS

LIFETIME: Final = 1.0
"""What asks for torque or motion is dropped when it waited longer [s]: who asked may have thought better of it."""

_KNOWN: Final = frozenset(Request)
_LATCHING: Final = frozenset({Request.STOP, Request.EMERGENCY_STOP})


class Records(Protocol):
    """Where records come from; a channel's subscriber is one."""

    def drain(self) -> list[Record]:
        """All records that wait, the oldest first."""
        ...


class RequestBox:
    """Requests in the order they came, each taken once; heartbeats are only noted.

    What was first asked before the newest stop is dropped, however often it is repeated: who asked did not know of it.
    A latch that somebody just made must not be left by a reset that was meant for the one before.

    Attributes:
        heartbeat_ns: when the newest heartbeat was sent [ns], -1 before the first.
    """

    def __init__(self, records: Records, now_ns: int) -> None:
        """Listen from `now_ns` [ns] on: what was sent before was meant for another run."""
        self._records = records
        self._start_ns = now_ns
        self._stopped_ns = -1
        self.heartbeat_ns = -1

    def take(self, now_ns: int) -> list[Request]:
        """Requests that came since the last call, at `now_ns` [ns]; numbers that mean nothing are passed over."""
        records = [record for record in self._records.drain() if self._counts(record)]
        # All stops first: what can wait is done after all of a tick's stops, whatever their order.
        for record in records:
            if int(record["request"][0]) in _LATCHING:
                self._stopped_ns = max(self._stopped_ns, int(record["stamp_ns"][0]))
        requests: list[Request] = []
        for record in records:
            request, stamp_ns = Request(int(record["request"][0])), int(record["stamp_ns"][0])
            if request is Request.HEARTBEAT:
                self.heartbeat_ns = min(max(self.heartbeat_ns, stamp_ns), now_ns)
            elif request in STOPS or (now_ns - stamp_ns <= to_ns(LIFETIME) and _asked_ns(record) >= self._stopped_ns):
                requests.append(request)
        return requests

    def _counts(self, record: Record) -> bool:
        """Whether a record is of this run and means something."""
        return int(record["stamp_ns"][0]) >= self._start_ns and int(record["request"][0]) in _KNOWN


def _asked_ns(record: Record) -> int:
    """When a request was first made [ns]."""
    stamp_ns, asked_ns = int(record["stamp_ns"][0]), int(record["asked_ns"][0])
    return stamp_ns if asked_ns < 0 else min(asked_ns, stamp_ns)


class ActionBox:
    """The policy's newest action."""

    def __init__(self, records: Records, joints: int) -> None:
        """Listen for actions of an arm with `joints` joints."""
        self._records = records
        self._joints = joints
        self._action = empty(ACTION_DTYPE)

    def take(self) -> Record | None:
        """The newest action, if one came since the last call; one that is not finite comes before all others.

        A policy that made such a number is not to be trusted, and the monitor is to see it, be it that a better action
        followed before anybody looked.
        """
        actions = self._records.drain()
        if not actions:
            return None
        self._action = next((action for action in actions if not self._is_finite(action)), actions[-1])
        return self._action

    def tell(self, frame: FrameBuffer) -> None:
        """Write the newest action into the frame, as it came: the monitor is to see what is wrong with it."""
        action = self._action
        frame["action_ns"] = action["stamp_ns"]
        frame["action_expires_ns"] = action["expires_ns"]
        frame["policy_disagreement"] = action["disagreement"]
        frame["action_position"] = self.position

    @property
    def position(self) -> FloatArray:
        """(n,) goal of the newest action [rad], NaN when there is none."""
        position: FloatArray = self._action["position"][0, : self._joints]
        return position

    @property
    def expires_ns(self) -> int:
        """When the newest action expires [ns], -1 when there is none."""
        return int(self._action["expires_ns"][0])

    @property
    def finite(self) -> bool:
        """Whether there is an action, all of finite numbers."""
        return self._is_finite(self._action)

    def fresh(self, now_ns: int) -> bool:
        """Whether there is an action that may be executed at `now_ns` [ns]."""
        return now_ns < self.expires_ns

    def _is_finite(self, action: Record) -> bool:
        return bool(np.isfinite(action["position"][0, : self._joints]).all())
