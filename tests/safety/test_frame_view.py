"""What the checks see is what the frame holds."""

import numpy as np

from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, Record, empty
from robot_mbrl.safety.frame_view import FrameView
from tests.safety.tape import JOINTS, settings

RENAMED = {"now_ns": "wake_ns", "goal": "goal_position", "action": "action_position", "requested": "requested_position"}


def numbered_frame() -> Record:
    """No number occurs twice; joint arrays count on from one place to the next."""
    frame, next_number = empty(FRAME_DTYPE), 100
    for name in FRAME_DTYPE.names or ():
        count = frame[name].size
        frame[name] = np.arange(next_number, next_number + count).reshape(frame[name].shape)
        next_number += count
    frame["joints"], frame["state"] = JOINTS, ControlState.RUNNING
    return frame


def test_every_number_comes_from_the_field_of_its_name() -> None:
    frame, view = numbered_frame(), FrameView(settings())
    view.read(frame)
    seen = {name for name in FrameView.__annotations__ if name != "bus_errors"}
    assert len(seen) > 20
    for name in seen | {"now_ns"}:
        field = frame[RENAMED.get(name, name)]
        expected = field[0, :JOINTS].tolist() if field.ndim == 2 else field.item()
        value = getattr(view, name)
        assert (list(value) if field.ndim == 2 else value) == expected, name
    assert view.bus_errors == (frame["corrupt"] + frame["timeouts"]).item()


def test_a_view_keeps_nothing_of_the_frame_that_it_was_given() -> None:
    frame, view = numbered_frame(), FrameView(settings())
    view.read(frame)
    before = view.position
    frame["position"] = 0.0
    assert list(before) == list(numbered_frame()["position"][0, :JOINTS])


def test_a_frame_of_another_arm_is_not_well_formed_and_one_of_an_unknown_state_runs() -> None:
    frame, view = numbered_frame(), FrameView(settings())
    view.read(frame)
    assert (view.well_formed, view.running, view.commanding, view.holding) == (True, True, True, False)
    frame["joints"], frame["state"] = JOINTS + 1, 99
    view.read(frame)
    assert (view.well_formed, view.running, view.commanding) == (False, True, True)
