"""Requests arrive in the order in which they were sent, and no flood pushes out what stops the arm."""

import os
import uuid
from collections.abc import Iterator

import pytest

from robot_mbrl.contracts.frame import Request
from robot_mbrl.runtime.channels import CHANNELS, Session
from robot_mbrl.runtime.requests import STOPS, RequestRecords, RequestSender


@pytest.fixture
def session() -> Iterator[Session]:
    with Session(f"test-{uuid.uuid4().hex[:12]}") as opened:
        yield opened


def heard(records: RequestRecords) -> list[Request]:
    return [Request(int(record["request"][0])) for record in records.drain()]


def test_they_arrive_in_the_order_in_which_they_were_sent(session: Session) -> None:
    records, sender = RequestRecords(session), RequestSender(session)
    sent = [Request.ARM, Request.STOP, Request.RESET, Request.EMERGENCY_STOP, Request.RUN, Request.QUIT]
    for stamp, request in enumerate(sent):
        sender.send(request, stamp)
    assert heard(records) == sent
    assert heard(records) == []


@pytest.mark.parametrize("request_", sorted(STOPS))
def test_a_stop_outlives_a_flood_of_everything_else(session: Session, request_: Request) -> None:
    records, sender = RequestRecords(session), RequestSender(session)
    sender.send(Request.ARM, 0)
    sender.send(request_, 1)
    for stamp in range(2 * CHANNELS["request"].buffer):
        sender.send(Request.HEARTBEAT, 2 + stamp)
    found = heard(records)
    assert found[0] is request_
    assert Request.ARM not in found, "the flood is one: it pushed out what came before it"


def test_a_record_tells_who_sent_it(session: Session) -> None:
    records, sender = RequestRecords(session), RequestSender(session)
    sender.send(Request.HOLD, 7)
    (record,) = records.drain()
    assert (int(record["stamp_ns"][0]), int(record["sender"][0])) == (7, os.getpid())
