"""Channels: what is sent arrives whole and in order, nobody is waited for, nothing is left behind."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ChannelError, ConfigError
from robot_mbrl.contracts.frame import ACTION_DTYPE, FRAME_DTYPE, REQUEST_DTYPE, Record, Request, empty
from robot_mbrl.runtime.channels import CHANNELS, ChannelName, Session, clear_abandoned

CHILD = """
import os, signal, sys, time
from robot_mbrl.contracts.frame import empty
from robot_mbrl.runtime.channels import CHANNELS, Session
name, channel, ending = sys.argv[1:]
session = Session(name)
publisher, subscriber = session.publisher(channel), session.subscriber(channel)
record = empty(CHANNELS[channel].dtype)
for number in range(5):
    record[record.dtype.names[0]] = number
    publisher.send(record)
if ending == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
print("ready", flush=True)
sys.stdin.read()
session.close()
"""


@pytest.fixture
def name() -> Iterator[str]:
    """A session's name that is free; afterwards nothing of it may be left."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    assert leftovers(name) == []


def leftovers(name: str) -> list[str]:
    return sorted(path.name for path in Path("/dev/shm").iterdir() if name in path.name)


def run_child(name: str, channel: ChannelName, ending: str) -> int:
    return subprocess.run([sys.executable, "-c", CHILD, name, channel, ending], check=False, timeout=60).returncode


def numbered(number: int) -> Record:
    frame = empty(FRAME_DTYPE)
    frame["tick"] = number
    return frame


@pytest.mark.parametrize("channel", get_args(ChannelName))
def test_a_record_arrives_bit_for_bit(name: str, channel: ChannelName) -> None:
    rng = np.random.default_rng(7)
    dtype = CHANNELS[channel].dtype
    with Session(name) as here, Session(name) as there:
        publisher, subscriber = here.publisher(channel), there.subscriber(channel)
        sent = np.frombuffer(rng.bytes(dtype.itemsize), dtype)
        publisher.send(sent)
        received = subscriber.newest()
        assert received is not None
        assert received.dtype == dtype
        assert received.tobytes() == sent.tobytes()
        assert subscriber.newest() is None


def test_drain_keeps_the_order_and_newest_takes_the_last(name: str) -> None:
    with Session(name) as session:
        publisher = session.publisher("frame")
        recorder, console = session.subscriber("frame"), session.subscriber("frame")
        for number in range(100):
            publisher.send(numbered(number))
        newest = console.newest()
        assert newest is not None
        assert newest["tick"][0] == 99
        assert [int(frame["tick"][0]) for frame in recorder.drain()] == list(range(100))
        assert recorder.drain() == []


def test_a_received_record_is_the_receivers_own(name: str) -> None:
    with Session(name) as session:
        publisher, subscriber = session.publisher("frame"), session.subscriber("frame")
        publisher.send(numbered(1))
        first = subscriber.newest()
        for number in range(2, 2 + 2 * CHANNELS["frame"].buffer):
            publisher.send(numbered(number))
        assert first is not None
        assert first["tick"][0] == 1


def test_subscribers_that_never_read_lose_the_oldest_and_hold_up_nobody(name: str) -> None:
    buffer = CHANNELS["frame"].buffer
    with Session(name) as session:
        publisher = session.publisher("frame")
        # Each stops reading at another moment, so that their buffers would differ if the oldest were kept.
        subscribers = [session.subscriber("frame") for _ in range(4)]
        for number in range(3 * buffer):
            publisher.send(numbered(number))
            if number % 1000 == 0 and number // 1000 < len(subscribers):
                subscribers[number // 1000].drain()
        assert publisher.dropped == 0
        for subscriber in subscribers:
            ticks = [int(frame["tick"][0]) for frame in subscriber.drain()]
            assert ticks == list(range(2 * buffer, 3 * buffer))


@pytest.mark.parametrize("channel", get_args(ChannelName))
def test_a_late_subscriber_gets_the_history(name: str, channel: ChannelName) -> None:
    kind = CHANNELS[channel]
    with Session(name) as session:
        publisher = session.publisher(channel)
        for _ in range(kind.buffer):
            publisher.send(empty(kind.dtype))
        late = session.subscriber(channel)
        publisher.connect()
        assert len(late.drain()) == kind.history


def test_a_flood_does_not_hold_its_reader(name: str) -> None:
    with Session(name) as session:
        publisher, subscriber = session.publisher("request"), session.subscriber("request")
        record = empty(REQUEST_DTYPE)
        for _ in range(1000):
            publisher.send(record)
        assert len(subscriber.drain()) == CHANNELS["request"].buffer


def test_requests_of_several_senders_all_arrive(name: str) -> None:
    with Session(name) as session:
        subscriber = session.subscriber("request")
        for sender in range(4):
            record = empty(REQUEST_DTYPE)
            record["request"], record["sender"] = Request.STOP, sender
            session.publisher("request").send(record)
        assert sorted(int(record["sender"][0]) for record in subscriber.drain()) == [0, 1, 2, 3]


def test_a_killed_publisher_harms_nobody(name: str) -> None:
    with Session(name) as session:
        subscriber, publisher = session.subscriber("frame"), session.publisher("frame")
        for round_number in range(CHANNELS["action"].buffer):
            assert run_child(name, "frame", "kill") == -9
            assert [int(frame["tick"][0]) for frame in subscriber.drain()] == [0, 1, 2, 3, 4]
            publisher.send(numbered(100 + round_number))
            assert [int(frame["tick"][0]) for frame in subscriber.drain()] == [100 + round_number]


def test_a_session_whose_only_process_was_killed_is_begun_anew(name: str) -> None:
    assert run_child(name, "frame", "kill") == -9
    assert leftovers(name)
    with Session(name) as session:
        publisher, subscriber = session.publisher("frame"), session.subscriber("frame")
        publisher.send(numbered(3))
        assert [int(frame["tick"][0]) for frame in subscriber.drain()] == [3]


def test_abandoned_sessions_are_cleared_and_running_ones_are_not(name: str) -> None:
    assert run_child(f"{name}-dead", "frame", "kill") == -9
    with Session(f"{name}-alive") as session:
        publisher, subscriber = session.publisher("frame"), session.subscriber("frame")
        assert {f"{name}-dead", f"{name}-alive"} <= set(clear_abandoned())
        assert leftovers(f"{name}-dead") == []
        publisher.send(numbered(1))
        assert len(subscriber.drain()) == 1


def test_who_leaves_first_takes_nothing_from_those_who_stay(name: str) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, name, "frame", "stay"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    first = Session(name)
    first.subscriber("frame")
    first.close()
    first.close()
    with Session(name) as second:
        second.publisher("frame").send(numbered(1))
    assert leftovers(name)
    child.communicate()
    assert child.returncode == 0


def test_sessions_do_not_hear_each_other(name: str) -> None:
    with Session(f"{name}-a") as one, Session(f"{name}-b") as other:
        subscriber = other.subscriber("frame")
        one.publisher("frame").send(numbered(1))
        assert subscriber.drain() == []


def test_a_record_of_another_channel_is_refused(name: str) -> None:
    with Session(name) as session:
        publisher = session.publisher("frame")
        with pytest.raises(ChannelError, match="shape"):
            publisher.send(empty(ACTION_DTYPE))
        with pytest.raises(ChannelError, match="shape"):
            publisher.send(np.zeros(2, FRAME_DTYPE))


@pytest.mark.parametrize("bad", ["", "a.b", "../x", "a" * 41, "a b", "ä"])
def test_a_name_that_is_no_file_name_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="session name"):
        Session(bad)


def test_too_many_publishers_are_refused_in_one_line(name: str) -> None:
    with Session(name) as session:
        for _ in range(8):
            session.publisher("request")
        with pytest.raises(ChannelError, match="at most") as caught:
            session.publisher("request")
    assert "\n" not in str(caught.value)


def test_no_lock_is_held_between_calls(name: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with Session(name) as session:
        session.publisher("frame")
    assert len(os.listdir("/proc/self/fd")) <= before + 1
