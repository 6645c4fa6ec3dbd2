"""Requests arrive in the order in which they were sent, and no flood pushes out what stops the arm."""

import os
import uuid
from collections.abc import Iterator

import pytest

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.frame import Request
from robot_mbrl.runtime.channels import CHANNELS, Session
from robot_mbrl.runtime.inbox import LIFETIME, RequestBox
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


def test_a_repeated_request_tells_since_when_it_is_asked(session: Session) -> None:
    records, sender = RequestRecords(session), RequestSender(session)
    sender.send(Request.RESET, 7)
    sender.send(Request.RESET, 9, asked_ns=7)
    found = records.drain()
    assert [(int(record["stamp_ns"][0]), int(record["asked_ns"][0])) for record in found] == [(7, 7), (9, 7)]


# -- the box -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [Request.STOP, Request.EMERGENCY_STOP])
@pytest.mark.parametrize("request_", [Request.RESET, Request.ARM, Request.RUN, Request.PARK, Request.RELEASE])
def test_what_was_first_asked_before_a_stop_is_dropped(session: Session, stop: Request, request_: Request) -> None:
    box, sender = RequestBox(RequestRecords(session), 0), RequestSender(session)
    sender.send(request_, 10)
    assert box.take(10) == [request_]
    sender.send(stop, 20)
    assert box.take(20) == [stop]
    sender.send(request_, 30, asked_ns=10)
    assert box.take(30) == []
    sender.send(request_, 40, asked_ns=40)
    assert box.take(40) == [request_]


def test_a_reset_and_a_newer_stop_in_one_tick(session: Session) -> None:
    box, sender = RequestBox(RequestRecords(session), 0), RequestSender(session)
    sender.send(Request.RESET, 10)
    sender.send(Request.EMERGENCY_STOP, 11)
    # The control loop resets after it has stopped, whatever their order.
    assert box.take(12) == [Request.EMERGENCY_STOP]


def test_a_hold_keeps_nobody_from_asking_on(session: Session) -> None:
    box, sender = RequestBox(RequestRecords(session), 0), RequestSender(session)
    sender.send(Request.HOLD, 20)
    sender.send(Request.ARM, 30, asked_ns=10)
    assert box.take(30) == [Request.HOLD, Request.ARM]


def test_a_repetition_lives_as_long_as_what_is_new(session: Session) -> None:
    box, sender = RequestBox(RequestRecords(session), 0), RequestSender(session)
    late = to_ns(3.0 * LIFETIME)
    sender.send(Request.ARM, late, asked_ns=1)
    assert box.take(late) == [Request.ARM]
