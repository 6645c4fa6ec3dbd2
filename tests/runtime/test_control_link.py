"""The supervisor's side of the control process: when an arm that was stopped counts as at rest."""

import os
from collections.abc import Iterator

import pytest

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, empty
from robot_mbrl.runtime.channels import Publisher, Session
from robot_mbrl.runtime.control_link import REST_SPEED, ControlLink

JOINTS = 2
STILL, MOVING = 0.5 * REST_SPEED, 10.0 * REST_SPEED


@pytest.fixture
def link() -> Iterator[ControlLink]:
    with ControlLink(f"test-link-{os.getpid()}", ManualClock()) as link:
        yield link


@pytest.fixture
def frames() -> Iterator[Publisher]:
    with Session(f"test-link-{os.getpid()}") as session:
        yield session.publisher("frame")


def send(frames: Publisher, state: ControlState, velocity: float) -> None:
    frame = empty(FRAME_DTYPE)
    frame["state"], frame["joints"] = state, JOINTS
    frame["velocity"][0, :JOINTS] = 0.0, -velocity
    frames.send(frame)


@pytest.mark.parametrize("state", [ControlState.STOPPED, ControlState.FAULT])
def test_an_arm_that_rested_and_then_fell_has_rested(link: ControlLink, frames: Publisher, state: ControlState) -> None:
    for velocity in (MOVING, STILL, MOVING):
        send(frames, state, velocity)
    assert link.await_rest(1.0)


def test_a_rest_that_was_seen_with_the_stop_counts(link: ControlLink, frames: Publisher) -> None:
    send(frames, ControlState.STOPPED, STILL)
    assert link.look()
    assert link.await_rest(0.0)


def test_an_arm_that_goes_on_moving_does_not_rest(link: ControlLink, frames: Publisher) -> None:
    send(frames, ControlState.STOPPED, MOVING)
    assert not link.await_rest(1.0)


def test_a_rest_before_the_stop_does_not_count(link: ControlLink, frames: Publisher) -> None:
    for state, velocity in (
        (ControlState.STOPPED, STILL),
        (ControlState.RUNNING, STILL),
        (ControlState.STOPPED, MOVING),
    ):
        send(frames, state, velocity)
    assert not link.await_rest(1.0)


def test_without_frames_nothing_is_known(link: ControlLink) -> None:
    assert not link.await_rest(1.0)
