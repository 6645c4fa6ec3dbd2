"""Peers run in processes of their own; our client stands in for one, so that no other package is needed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from robot_mbrl.benchmarks.crosscheck.peer_process import PeerFailure, PeerProcess
from robot_mbrl.benchmarks.crosscheck.served_pty import CannedServos
from robot_mbrl.drivers.feetech import codec

BAUD = 1_000_000
IDS = [1, 2]
REQUEST = codec.sync_read(56, 2, IDS)
ANSWER = b"".join(codec.status(servo_id, 0, b"\x00\x08") for servo_id in IDS)
ADDING_PEER = """
class Peer:
    def add(self, a, b):
        if b < 0:
            raise OSError("too cold")
        return a + b
"""
OUR_CLIENT = "robot_mbrl.benchmarks.crosscheck.our_client"


@pytest.fixture
def peer() -> Iterator[PeerProcess]:
    with PeerProcess(Path(sys.executable), OUR_CLIENT) as process:
        yield process


def test_the_stopwatch_times_every_transaction(peer: PeerProcess) -> None:
    with CannedServos(len(REQUEST), ANSWER) as servos:
        peer.call("open", port=servos.port, baud=BAUD, protocol="feetech")
        times = peer.call("stopwatch", rounds=5, ids=IDS, address=56, size=2)
        peer.call("close")
        assert servos.take(5 * len(REQUEST)).sent == 5 * REQUEST
    assert len(times) == 5
    assert all(wall > 0 and cpu > 0 for wall, cpu in times)


def test_what_a_verb_raises_is_told_with_its_text_and_the_peer_lives_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "adding_peer.py").write_text(ADDING_PEER, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with PeerProcess(Path(sys.executable), "adding_peer") as peer:
        with pytest.raises(PeerFailure, match=r"^add: OSError: too cold$"):
            peer.call("add", a=1, b=-1)
        assert peer.call("add", a=1, b=2) == 3


def test_a_peer_that_ends_is_a_failure(peer: PeerProcess) -> None:
    with pytest.raises(PeerFailure, match="the peer's process ended"):
        peer.call("no_such_verb")
    with pytest.raises(PeerFailure, match="the peer's process ended"):
        peer.call("close")


def test_silence_is_a_failure_after_the_deadline() -> None:
    with (
        CannedServos(len(REQUEST), b"") as servos,
        PeerProcess(Path(sys.executable), OUR_CLIENT, deadline=0.0) as peer,
        pytest.raises(PeerFailure, match="did not answer within 0 s"),
    ):
        peer.call("open", port=servos.port, baud=BAUD, protocol="feetech")
