"""The ptys of the crosscheck hand on every byte, and remember them all."""

from collections.abc import Iterator
from contextlib import closing

import pytest
import serial

from robot_mbrl.benchmarks.crosscheck.served_pty import CannedServos, Recording, Tap

BAUD = 1_000_000


@pytest.fixture
def servos() -> Iterator[CannedServos]:
    with CannedServos(request_size=3, answer=b"answer") as canned:
        yield canned


def ask(port: str, request: bytes, answer_size: int) -> bytes:
    with closing(serial.Serial(port, BAUD, timeout=5.0)) as client:
        client.write(request)
        return bytes(client.read(answer_size))


def test_canned_servos_answer_every_request_of_their_size(servos: CannedServos) -> None:
    assert ask(servos.port, b"abcdef", 12) == b"answeranswer"
    assert servos.take(6) == Recording(b"abcdef", b"answeranswer")


def test_an_unfinished_request_is_not_answered(servos: CannedServos) -> None:
    with closing(serial.Serial(servos.port, BAUD, timeout=5.0)) as client:
        client.write(b"ab")
        assert servos.take(2) == Recording(b"ab", b"")
        client.write(b"c")
        assert client.read(6) == b"answer"


def test_injected_bytes_come_before_the_answer(servos: CannedServos) -> None:
    with closing(serial.Serial(servos.port, BAUD, timeout=5.0)) as client:
        servos.inject(b"stale")
        client.write(b"abc")
        assert client.read(11) == b"staleanswer"


def test_a_tap_changes_nothing_and_records_both_directions(servos: CannedServos) -> None:
    with Tap(servos.port, BAUD) as tap:
        assert ask(tap.port, bytes(range(252)), 504) == b"answer" * 84
        assert tap.take(252) == Recording(bytes(range(252)), b"answer" * 84)
        assert tap.take(0) == Recording(b"", b"")


def test_a_tap_serves_one_client_after_another(servos: CannedServos) -> None:
    with Tap(servos.port, BAUD) as tap:
        assert [ask(tap.port, b"abc", 6) for _ in range(3)] == [b"answer"] * 3


def test_taking_more_than_was_sent_gives_what_there_is(servos: CannedServos) -> None:
    ask(servos.port, b"abc", 6)
    assert servos.take(100, deadline=0.01).sent == b"abc"
