"""The person in the demonstration: waits by what the frames say, resets what stopped, and disturbs what moves."""

from collections.abc import Iterable

import pytest

from robot_mbrl.contracts.errors import ArmStopped
from robot_mbrl.contracts.frame import ControlState, Record
from robot_mbrl.demo.script import (
    LET_PASS,
    LOOKED_AT,
    MOVING,
    PATIENCE,
    RECOVERY,
    RESET_PATIENCE,
    RESTING,
    Disturbance,
    Script,
    disturb,
    fly,
    fly_legs,
)
from tests.demo.frames import frame

RUNNING, SLOWED, STOPPED, IDLE = (
    ControlState.RUNNING,
    ControlState.SLOWED,
    ControlState.STOPPED,
    ControlState.IDLE,
)


class Notes:
    """Keeps what was noted."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def __call__(self, kind: str, text: str) -> None:
        self.told.append((kind, text))

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.told]


def play(script: Script, frames: Iterable[Record]) -> tuple[str, int | None]:
    """The keys that `script` pressed, and after how many frames it ended; None where it did not."""
    next(script)
    keys = ""
    for number, record in enumerate(frames, start=1):
        try:
            keys += script.send(record)
        except StopIteration:
            return keys, number
    return keys, None


def test_flies_for_its_time_of_running() -> None:
    keys, ended = play(fly(1.0, Notes()), (frame(0.125 * k, RUNNING) for k in range(100)))
    assert (keys, ended) == ("", 9)


def test_time_runs_slower_while_the_arm_is_slowed() -> None:
    frames = (frame(0.125 * k, SLOWED, speed_scale=0.5) for k in range(100))
    assert play(fly(1.0, Notes()), frames) == ("", 17)


def test_an_arm_that_stops_again_and_again_flies_no_longer() -> None:
    turn = [(0.0, RUNNING), (0.5, RUNNING), *((1.0 + 0.5 * k, STOPPED) for k in range(6)), (4.0, IDLE)]
    frames = [frame(5.0 * number + time, state) for number in range(9) for time, state in turn]
    notes = Notes()
    # The first frame of the arm that runs again ends a reset: the second and the third turn have no time after it.
    assert play(fly(60.0, notes, most_stops=2), frames)[1] == 3 * len(turn) + 1
    assert notes.told[-1] == ("action", "3 stops in 0.5 s: the rest of the 60.0 s is given up")


def test_whole_legs_are_counted_from_one_stop_to_the_next() -> None:
    """Of the first 2.5 s two legs of 1 s are whole, so that one more is flown after the reset."""
    frames = [frame(0.25 * k, RUNNING) for k in range(11)]
    assert play(fly_legs(2, 1.0, Notes()), frames) == ("", 9)
    stopped = [frame(2.75 + 0.5 * k, STOPPED) for k in range(6)]
    after = [frame(6.0 + 0.25 * k, RUNNING) for k in range(20)]
    keys, ended = play(fly_legs(3, 1.0, Notes()), [*frames, *stopped, *after])
    assert keys.startswith("r")
    # The first frame of the arm that runs again is what ends the reset; a leg lasts four frames from the next one on.
    assert ended == len(frames) + len(stopped) + 1 + 5


def test_an_arm_that_stops_in_every_leg_flies_no_legs_for_ever() -> None:
    turn = [(0.0, RUNNING), (0.5, RUNNING), *((1.0 + 0.5 * k, STOPPED) for k in range(6)), (4.0, IDLE)]
    frames = [frame(5.0 * number + time, state) for number in range(9) for time, state in turn]
    with pytest.raises(ArmStopped, match="stopped 4 times and flew 0 of 3 legs of 1 s"):
        play(fly_legs(3, 1.0, Notes()), frames)


def test_a_stopped_arm_is_looked_at_then_reset_then_sent_on() -> None:
    notes = Notes()
    times = [0.0, 0.5, LOOKED_AT + 0.1, LOOKED_AT + RESTING + 0.1, LOOKED_AT + RESTING + 0.2]
    frames = [frame(time, STOPPED) for time in times]
    frames += [frame(2.0, IDLE), frame(2.1, RUNNING), frame(2.2, RUNNING), frame(3.2, RUNNING)]
    assert play(fly(1.0, notes), frames) == ("rrg", 9)
    assert notes.kinds == ["action"]


def test_a_swinging_arm_is_waited_for() -> None:
    swinging = [frame(0.125 * k, STOPPED, velocity=0.1) for k in range(20)]
    assert play(fly(1.0, Notes()), swinging)[0] == ""
    for_ever = (frame(0.125 * k, STOPPED, velocity=0.1) for k in range(round((LOOKED_AT + PATIENCE + 1.0) / 0.125)))
    assert "r" in play(fly(1.0, Notes()), for_ever)[0]


def test_an_arm_that_cannot_be_reset_is_an_error() -> None:
    frames = (frame(float(second), STOPPED) for second in range(100))
    with pytest.raises(ArmStopped, match="stopped and was not running again"):
        play(fly(1.0, Notes()), frames)
    seconds = [frame(float(second), STOPPED) for second in range(round(RESET_PATIENCE))]
    assert play(fly(1.0, Notes()), seconds)[1] is None


def test_a_disturbance_waits_for_motion_and_is_undone_when_the_arm_has_stopped() -> None:
    notes, done = Notes(), []
    disturbance = Disturbance("a load", lambda: done.append("on"), "taken off", lambda: done.append("off"))
    start = 0.0
    frames = [frame(start + 0.1 * k, RUNNING) for k in range(round(RECOVERY / 0.1) + 3)]
    script = disturb(disturbance, 5.0, notes)
    assert play(script, frames)[1] is None
    assert not done, "the arm rests: there is nothing to act on"
    fast = frame(2.5, RUNNING)
    fast["velocity"][0, 0] = -2.0 * MOVING
    script.send(fast)
    assert done == ["on"]
    for record in (frame(2.6, SLOWED), frame(2.7, RUNNING)):
        script.send(record)
    assert done == ["on"], "a slower arm is not the end of it"
    script.send(frame(2.8, STOPPED))
    assert done == ["on", "off"]
    keys = [script.send(frame(2.8 + 0.6 * k, STOPPED)) for k in range(1, 4)]
    assert keys == ["", "", "r"]
    with pytest.raises(StopIteration):
        script.send(frame(6.0, RUNNING))
    assert notes.kinds == ["disturbance", "action", "action"]


def test_a_disturbance_that_stops_nothing_is_undone_after_its_time() -> None:
    done: list[str] = []
    disturbance = Disturbance("a load", lambda: done.append("on"), "taken off", lambda: done.append("off"))
    fast = {"velocity": 1.0}
    frames = [frame(0.1 * k, RUNNING, **fast) for k in range(200)]
    assert play(disturb(disturbance, 1.0, Notes()), frames)[0] == ""
    assert done == ["on", "off"]


def test_an_arm_that_parks_is_not_disturbed_any_more() -> None:
    notes, done = Notes(), []
    frames = [frame(0.1 * k, RUNNING) for k in range(round(RECOVERY / 0.1) + 3)]
    frames += [frame(2.0, ControlState.PARKING, velocity=1.0)]
    play(disturb(Disturbance("a load", lambda: done.append("on")), 5.0, notes), frames)
    assert (done, notes.told) == ([], [])


def test_the_end_of_a_disturbance_that_stops_nothing_and_ends_by_itself_is_told() -> None:
    notes = Notes()
    frames = [frame(0.1 * k, RUNNING, velocity=1.0) for k in range(200)]
    play(disturb(Disturbance("a push", lambda: None), 1.0, notes), frames)
    assert notes.told == [("disturbance", "a push"), ("action", LET_PASS)]
