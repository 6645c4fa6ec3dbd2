"""What the person at the arm does in the demonstration, as generators: frames go in, keys come out.

A script is sent the newest frame each time that there is one and yields the keys that it presses upon it, none as an
empty text. It never looks at a clock: time is what the frames say.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final

import numpy as np

from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.errors import ArmStopped
from robot_mbrl.contracts.frame import ControlState, Record
from robot_mbrl.runtime.supervisor import GO_KEY, RESET_KEY
from robot_mbrl.safety.start_pose import REST_VELOCITY
from robot_mbrl.safety.state_machine import LATCHED

Script = Generator[str, Record, None]
Note = Callable[[str, str], None]
"""Takes kind and text of an event, see `demo.journal`."""

FOLLOWING: Final = frozenset({ControlState.RUNNING, ControlState.SLOWED})
MOVING: Final = 0.3
"""A disturbance waits until a joint is faster than that [rad/s], so that it has something to act on."""
LOOKED_AT, PATIENCE = 1.0, 8.0
"""So long a stopped arm is looked at, and waited for until it rests, before it is reset [s]."""
RESTING: Final = 0.3
"""So long no joint may have moved [s]: an arm swings in its gears' play for a while."""
RESET_PATIENCE: Final = 20.0
"""How long it may take until a reset arm runs again [s]."""
RECOVERY: Final = 1.5
"""What the policy has to itself between two disturbances [s]."""
MOST_STOPS: Final = 3
"""After so many in that time it is given up."""
LET_PASS: Final = "the monitor let the arm go on"
"""What is told of a disturbance that stopped nothing."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something that shall make the monitor speak.

    Attributes:
        name: what is done, for people.
        begin: does it.
        undone: what is done about it in the end, for people; empty where it ends by itself.
        undo: does that.
    """

    name: str
    begin: Callable[[], None]
    undone: str = ""
    undo: Callable[[], None] = lambda: None


class Rest:
    """Tells, frame by frame, whether no joint has moved for `RESTING` [s]."""

    def __init__(self) -> None:
        """Nothing has been seen yet."""
        self._since_ns: int | None = None

    def __call__(self, frame: Record) -> bool:
        """Take one more frame."""
        if _speed(frame) > REST_VELOCITY:
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = int(frame["wake_ns"][0])
        return self._since_ns is not None and _seconds(self._since_ns, frame) >= RESTING


def fly(seconds: float, note: Note, most_stops: int = MOST_STOPS) -> Script:
    """Let the policy act for so many seconds [s] of its time; an arm that stops is reset and goes on.

    With one stop more than `most_stops` the rest of the time is given up.
    """
    flown, before_ns, stops = 0.0, -1, 0
    while flown < seconds and stops <= most_stops:
        frame = yield ""
        if _state(frame) in LATCHED:
            stops += 1
            yield from reset(frame, note)
            before_ns = -1
        elif _state(frame) in FOLLOWING:
            now_ns = int(frame["wake_ns"][0])
            if before_ns >= 0:
                flown += (now_ns - before_ns) / NANOSECONDS * float(frame["speed_scale"][0])
            before_ns = now_ns
    if flown < seconds:
        note("action", f"{stops} stops in {flown:.1f} s: the rest of the {seconds:.1f} s is given up")


def fly_legs(count: int, seconds: float, note: Note) -> Script:
    """Let the policy act until there are `count` legs of `seconds` [s] that nothing cut short; stops are reset.

    Raises:
        ArmStopped: it stopped more often than there should be legs.
    """
    whole = legs = stops = 0
    begun_ns = -1
    while whole + legs < count:
        frame = yield ""
        state, now_ns = _state(frame), int(frame["wake_ns"][0])
        if state in FOLLOWING:
            begun_ns = now_ns if begun_ns < 0 else begun_ns
            legs = (now_ns - begun_ns) // round(seconds * NANOSECONDS)
        elif state in LATCHED:
            whole, legs, stops, begun_ns = whole + legs, 0, stops + 1, -1
            if stops > count:
                raise ArmStopped(
                    f"the arm stopped {stops} times and flew {whole} of {count} legs of {seconds:g} s: look into its "
                    "log with `robot-mbrl log info`, or end what else keeps this computer busy"
                )
            yield from reset(frame, note)


def reset(frame: Record, note: Note) -> Script:
    """Look at the stopped arm of `frame`, reset it and let it go on.

    Raises:
        ArmStopped: it does not run again in time.
    """
    stopped_ns = int(frame["wake_ns"][0])
    frame = yield from _watch(frame, LOOKED_AT, lambda _: False)
    frame = yield from _watch(frame, PATIENCE, Rest())
    note("action", "the keys r, then g: a person resets the arm and lets it go on")
    while _state(frame) not in FOLLOWING:
        if _seconds(stopped_ns, frame) > RESET_PATIENCE:
            raise ArmStopped(
                f"the arm is {_state(frame).name.lower()} and was not running again {RESET_PATIENCE:g} s after its "
                "stop: look into its log with `robot-mbrl log info`"
            )
        frame = yield RESET_KEY if _state(frame) in LATCHED else GO_KEY


def disturb(disturbance: Disturbance, patience: float, note: Note) -> Script:
    """Disturb the moving arm and wait at most `patience` [s] for it to stop; then undo it, and reset it if need be."""
    yield from fly(RECOVERY, note)
    frame = yield ""
    frame = yield from _watch(frame, patience, lambda newest: _speed(newest) > MOVING)
    if _state(frame) is ControlState.PARKING:
        # Somebody ended the run: nothing more is done to the arm.
        return
    note("disturbance", disturbance.name)
    disturbance.begin()
    frame = yield from _watch(frame, patience, lambda newest: _state(newest) in LATCHED)
    if disturbance.undone:
        note("action", disturbance.undone)
        disturbance.undo()
    elif _state(frame) not in LATCHED:
        # A stop from here on is none of this disturbance's.
        note("action", LET_PASS)
    if _state(frame) in LATCHED:
        yield from reset(frame, note)


def _watch(frame: Record, seconds: float, until: Callable[[Record], bool]) -> Generator[str, Record, Record]:
    """Press nothing for so long [s], or until a frame is as wanted; returns the last one."""
    start_ns = int(frame["wake_ns"][0])
    while _seconds(start_ns, frame) < seconds and not until(frame):
        frame = yield ""
    return frame


def _state(frame: Record) -> ControlState:
    return ControlState(int(frame["state"][0]))


def _seconds(since_ns: int, frame: Record) -> float:
    return (int(frame["wake_ns"][0]) - since_ns) / NANOSECONDS


def _speed(frame: Record) -> float:
    """Of the fastest joint [rad/s]; 0 where none is known."""
    speeds = np.abs(frame["velocity"][0, : int(frame["joints"][0])])
    return float(np.max(speeds, initial=0.0, where=np.isfinite(speeds)))
