"""Channels between the processes of one arm: iceoryx2 services that carry the records of `contracts.frame` as they are.

A session is the processes of one running arm, and has a name. Everything that iceoryx2 keeps for it lies in `/dev/shm`,
under names that begin with the user's and the session's: nothing of it touches a disk, a full disk stops no channel,
and the last process that leaves takes it all away. What killed processes leave is cleared by whoever comes next, and
what is left of whole sessions by the next deployment.

A publisher never waits for anybody: a subscriber that is slow loses the oldest records, one that is frozen or dead is
not noticed at all. A publisher that is closed takes with it what its subscribers have not connected to yet, so whoever
sends a request keeps the session open until a frame shows its effect.
"""

import contextlib
import ctypes
import fcntl
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from operator import methodcaller
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self, TypeVar

import iceoryx2
import numpy as np

from robot_mbrl.contracts.errors import ChannelError, ConfigError
from robot_mbrl.contracts.frame import ACTION_DTYPE, FRAME_DTYPE, PLAN_DTYPE, REQUEST_DTYPE, Record

ChannelName = Literal["frame", "action", "plan", "request", "stop"]

_SHARED_MEMORY: Final = Path("/dev/shm")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")
_MAX_PUBLISHERS: Final = 8
_MAX_SUBSCRIBERS: Final = 16
_BORROWED: Final = 2


def _beneath(kind: type, method: str) -> str:
    """Name of what iceoryx2's Python layer calls in `method`, where it has that: the layer costs more than the call.

    It asks `typing` at each step of each record what kind of payload the service has.
    """
    return f"__{method}" if hasattr(kind, f"__{method}") else method


_LOAN: Final = methodcaller(_beneath(iceoryx2.Publisher, "loan_uninit"))
_FILLED: Final = methodcaller(_beneath(iceoryx2.SampleMutUninit, "assume_init"))


class Channel(NamedTuple):
    """How one kind of record travels.

    Attributes:
        dtype: of the records.
        buffer: records that wait for a subscriber before the oldest one is lost.
        history: records that a subscriber gets that comes late, if their publisher is still there and sends again.
    """

    dtype: "np.dtype[np.void]"
    buffer: int
    history: int


CHANNELS: Final[dict[ChannelName, Channel]] = {
    # 4096 frames are 4 s at 1 kHz: as long as a recorder may be held up, by a slow disk for one, and lose nothing.
    "frame": Channel(FRAME_DTYPE, buffer=4096, history=64),
    "action": Channel(ACTION_DTYPE, buffer=16, history=1),
    "plan": Channel(PLAN_DTYPE, buffer=64, history=1),  # 3 s of plans at 20 Hz, for the recorder too
    "request": Channel(REQUEST_DTYPE, buffer=64, history=8),
    "stop": Channel(REQUEST_DTYPE, buffer=64, history=8),  # see `runtime.requests`
}


class Publisher:
    """Sends records; made by `Session.publisher`.

    Attributes:
        dropped: records that found no free memory and were not sent, because subscribers hold on to too many.
    """

    def __init__(self, port: Any, dtype: "np.dtype[np.void]") -> None:
        """Send by `port`, an iceoryx2 publisher."""
        self._port = port
        self._dtype, self._size = dtype, dtype.itemsize
        self.dropped = 0

    def send(self, record: Record) -> None:
        """Hand a copy of `record`, shape (1,), to all subscribers. Never waits.

        Raises:
            ChannelError: the record is not this channel's.
        """
        # `tobytes` copies in a tenth of the time that `ctypes.data` needs to tell where the record is.
        data = record.tobytes()
        # The same dtype object in nearly every call: comparing two of so many fields takes microseconds.
        if len(data) != self._size or (record.dtype is not self._dtype and record.dtype != self._dtype):
            raise ChannelError(
                f"a record of shape {record.shape} and {len(data)} bytes was given: give one of this channel's, "
                f"shape (1,) and {self._size} bytes"
            )
        try:
            sample = _LOAN(self._port)
        except iceoryx2.LoanError:
            self.dropped += 1
            return
        ctypes.memmove(sample.payload_ptr, data, self._size)
        _FILLED(sample).send()

    def connect(self) -> None:
        """Look for new subscribers and give them their history, which `send` does too."""
        self._port.update_connections()

    def close(self) -> None:
        """Give up the port; see the module about records that nobody has seen yet."""
        self._port.delete()


class Subscriber:
    """Receives records; made by `Session.subscriber`."""

    def __init__(self, port: Any, dtype: "np.dtype[np.void]") -> None:
        """Receive by `port`, an iceoryx2 subscriber."""
        self._port = port
        self._dtype = dtype

    def receive(self) -> Record | None:
        """The oldest record that waits, shape (1,), or None. Never waits."""
        sample = self._port.receive()
        if sample is None:
            return None
        record = np.empty(1, self._dtype)
        ctypes.memmove(record.ctypes.data, sample.payload_ptr, record.nbytes)
        sample.delete()
        return record

    def newest(self) -> Record | None:
        """The newest of the records that wait, None when there is none; the others are thrown away."""
        newest = None
        for record in self._waiting():
            newest = record
        return newest

    def drain(self) -> list[Record]:
        """All records that wait, the oldest first."""
        return list(self._waiting())

    def close(self) -> None:
        """Give up the port."""
        self._port.delete()

    def _waiting(self) -> Iterator[Record]:
        # Bounded: a publisher that floods the channel must not keep its reader here for ever.
        for _ in range(self._port.buffer_size * _MAX_PUBLISHERS):
            record = self.receive()
            if record is None:
                return
            yield record


PortT = TypeVar("PortT", Publisher, Subscriber)


class Session:
    """This process's place in the session called `name`; a context manager. Not for use by two threads at a time."""

    def __init__(self, name: str) -> None:
        """Join the session, or begin it.

        Raises:
            ConfigError: the name has characters that a file name should not have, or is too long.
            ChannelError: shared memory cannot be used.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(f"session name {name!r}: give 1 to 40 letters, digits, '-' or '_'")
        self.name = name
        self._prefix = f"robot_mbrl-{os.getuid()}-{name}"
        self._ports: list[Publisher | Subscriber] = []
        self._services: dict[ChannelName, Any] = {}
        self._config = iceoryx2.config.default()
        self._config.global_cfg.prefix = iceoryx2.FileName.new(f"{self._prefix}.")
        self._config.global_cfg.root_path = iceoryx2.Path.new(str(self.folder))
        iceoryx2.set_log_level(iceoryx2.LogLevel.Fatal)
        try:
            with _gate(fcntl.LOCK_SH):
                builder = iceoryx2.NodeBuilder.new().config(self._config)
                # Signals are the program's own business: they end in a controlled stop.
                builder = builder.signal_handling_mode(iceoryx2.SignalHandlingMode.Disabled)
                self._node: Any = builder.create(iceoryx2.ServiceType.Ipc)
        except (OSError, iceoryx2.NodeCreationFailure) as error:
            raise ChannelError(
                f"session {name}: cannot begin in {_SHARED_MEMORY} ({error}): check its free space and rights"
            ) from error

    @property
    def folder(self) -> Path:
        """Where iceoryx2 keeps the list of the session's processes and services."""
        return _SHARED_MEMORY / self._prefix

    def publisher(self, channel: ChannelName) -> Publisher:
        """A new publisher.

        Raises:
            ChannelError: there are too many, or the channel cannot be opened.
        """
        kind = CHANNELS[channel]
        # iceoryx2 would set memory aside for each subscriber on its own. But buffers that overflow all hold the newest
        # records, the same ones: one full buffer, and what is borrowed and kept as history, is enough for all.
        samples = kind.buffer + kind.history + (_MAX_SUBSCRIBERS + 1) * (_BORROWED + 1)
        return self._open(
            channel,
            Publisher,
            lambda service: (
                service.publisher_builder()
                .backpressure_strategy(iceoryx2.BackpressureStrategy.DiscardData)
                .override_sample_preallocation(samples)
            ),
        )

    def subscriber(self, channel: ChannelName) -> Subscriber:
        """A new subscriber, which gets what is sent from now on and the channel's history.

        Raises:
            ChannelError: there are too many, or the channel cannot be opened.
        """
        return self._open(channel, Subscriber, lambda service: service.subscriber_builder())

    def _open(self, channel: ChannelName, port: type[PortT], configure: Callable[[Any], Any]) -> PortT:
        try:
            # No names for what lies between: an error's traceback would keep it, and with it the session's node.
            made = port(configure(self._service(channel)).create(), CHANNELS[channel].dtype)
        except (iceoryx2.PublisherCreateError, iceoryx2.SubscriberCreateError) as error:
            raise ChannelError(
                f"session {self.name}: no {port.__name__.lower()} for {channel} ({error}): "
                f"at most {_MAX_PUBLISHERS} publishers and {_MAX_SUBSCRIBERS} subscribers: end other processes"
            ) from error
        self._ports.append(made)
        return made

    def _service(self, channel: ChannelName) -> Any:
        if channel not in self._services:
            kind = CHANNELS[channel]
            builder = (
                self._node.service_builder(iceoryx2.ServiceName.new(f"robot_mbrl/{self.name}/{channel}"))
                .publish_subscribe(_payload(channel, kind.dtype))
                .enable_safe_overflow(True)
                .history_size(kind.history)
                .subscriber_max_buffer_size(kind.buffer)
                .subscriber_max_borrowed_samples(_BORROWED)
                .max_publishers(_MAX_PUBLISHERS)
                .max_subscribers(_MAX_SUBSCRIBERS)
                .max_nodes(_MAX_PUBLISHERS + _MAX_SUBSCRIBERS)
            )
            try:
                self._services[channel] = builder.open_or_create()
            except iceoryx2.PublishSubscribeOpenOrCreateError as error:
                raise ChannelError(
                    f"session {self.name}: channel {channel} cannot be opened ({error}): "
                    f"end the session's processes, if they are of another version, or remove {self.folder}*"
                ) from error
        return self._services[channel]

    def clear_dead(self) -> None:
        """Take away what killed processes left in this session."""
        self._node.try_cleanup_dead_nodes()

    def close(self) -> None:
        """Give up all ports and, as the last process of the session, remove its files. Idempotent."""
        if self._node is None:
            return
        for port in self._ports:
            port.close()
        self._ports.clear()
        self.clear_dead()
        self._services.clear()
        self._node = None
        # Somebody who is joining at this moment holds the gate, and will remove the files when leaving.
        with contextlib.suppress(BlockingIOError), _gate(fcntl.LOCK_EX | fcntl.LOCK_NB):
            if not iceoryx2.Node.list(iceoryx2.ServiceType.Ipc, self._config):
                for file in _SHARED_MEMORY.glob(f"{self._prefix}.*"):
                    file.unlink(missing_ok=True)
                shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def clear_abandoned() -> list[str]:
    """Take away what sessions of this user left whose processes were all killed; returns the names of all sessions.

    Those that are still running lose nothing by it.
    """
    prefix = f"robot_mbrl-{os.getuid()}-"
    names = sorted(path.name.removeprefix(prefix) for path in _SHARED_MEMORY.glob(f"{prefix}*") if path.is_dir())
    for name in names:
        with Session(name):
            pass
    return names


@contextlib.contextmanager
def _gate(operation: int) -> Iterator[None]:
    """Hold an advisory lock on the shared memory's folder itself, which leaves no lock file behind.

    Those who join share it, so that none of them can hold up another; who removes files wants it alone or not at all.
    """
    handle = os.open(_SHARED_MEMORY, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, operation)
        yield
    finally:
        os.close(handle)


def _payload(channel: ChannelName, dtype: "np.dtype[np.void]") -> type[ctypes.Structure]:
    """What iceoryx2 is told of a record: its size and alignment, and a name that is another for another layout."""
    layout = zlib.crc32(repr(dtype.descr).encode())
    words = dtype.itemsize // ctypes.sizeof(ctypes.c_uint64)

    class Payload(ctypes.Structure):
        _fields_ = (("words", ctypes.c_uint64 * words),)

        @staticmethod
        def type_name() -> str:
            return f"robot_mbrl.{channel}.{layout:08x}"

    return Payload
