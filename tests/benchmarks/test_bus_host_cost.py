"""The host-cost benchmark asks what the wire-time table counts, and its responder answers it."""

from contextlib import closing
from pathlib import Path

import pytest
import serial

from robot_mbrl.benchmarks import bus_host_cost
from robot_mbrl.benchmarks.bus_host_cost import CLIENTS, IDS, READS, canned_responder
from robot_mbrl.benchmarks.crosscheck import environments
from robot_mbrl.drivers.bus import bus_protocol


@pytest.mark.parametrize(("protocol", "sent", "received"), [("feetech", 14, 72), ("dynamixel", 20, 126)])
def test_a_sync_read_of_six_has_the_published_number_of_bytes(protocol: str, sent: int, received: int) -> None:
    """Feetech 8 + N and N (6 + D) with D = 6, Dynamixel 14 + N and N (11 + D) with D = 10."""
    assert len(READS[protocol].request(protocol)) == sent
    assert len(READS[protocol].answer(protocol)) == received


@pytest.mark.parametrize("protocol", CLIENTS)
def test_the_responder_answers_each_request_as_six_servos_would(protocol: str) -> None:
    read = READS[protocol]
    request, answer = read.request(protocol), read.answer(protocol)
    with (
        canned_responder(len(request), answer) as port,
        closing(serial.Serial(port, 1_000_000, timeout=10.0)) as client,
    ):
        client.write(request + request[:5])
        assert client.read(len(answer)) == answer
        client.write(request[5:])
        assert client.read(len(answer)) == answer
    answers = bus_protocol(protocol).decoder().feed(answer)
    assert [found.id for found in answers] == IDS
    assert {found.data for found in answers} == {bytes(range(read.size))}


def test_peers_that_are_missing_are_named_before_they_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    monkeypatch.setattr(environments, "is_ready", lambda client, _root: client == "rustypot")
    monkeypatch.setattr(environments, "prepare", lambda client, _root: events.append(f"done {client}"))
    bus_host_cost.install_peers(tmp_path, events.append)
    assert events == [
        event
        for client in ("feetech-servo-sdk", "dynamixel-sdk")
        for event in (f"installing {client} into {tmp_path / client}", f"done {client}")
    ]


def test_the_table_has_a_line_for_every_client() -> None:
    one = {"cpu_us": {"median": 30.0, "p99": 60.0}, "round_trip_us": {"median": 45.0, "p99": 90.0}}
    figures = {
        "servos": 6,
        "transactions": 10,
        **{bus: dict.fromkeys(clients, one) for bus, clients in CLIENTS.items()},
    }
    lines = bus_host_cost.table(figures).splitlines()
    assert [line.split()[:2] for line in lines[2:]] == [[bus, name] for bus, names in CLIENTS.items() for name in names]
