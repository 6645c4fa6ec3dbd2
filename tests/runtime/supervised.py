"""The real supervisor over the real control loop with an arm on paper, in one thread and on one manual clock.

Only the processes are left out: whenever the supervisor waits, the control loop ticks for as long.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import pytest

from robot_mbrl.contracts.clock import NANOSECONDS, Clock, ManualClock, to_ns
from robot_mbrl.contracts.frame import ControlState, Record
from robot_mbrl.data.recorder_settings import RecorderSettings
from robot_mbrl.runtime import supervisor
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.child import Child
from robot_mbrl.runtime.control_link import LOOK
from robot_mbrl.runtime.departure import Departure
from robot_mbrl.runtime.real_time import RealTimeSettings
from robot_mbrl.runtime.requests import RequestRecords
from robot_mbrl.runtime.settings import DeploySettings, TwinSettings
from robot_mbrl.runtime.supervisor import Ending, Supervisor
from tests.runtime.rig import Rig

STARTING = 1.0
"""How long the processes take to start [s]."""
AFTER = 0.5
"""How long the log goes on after a stop [s]."""
LONGEST = 60.0
"""No flight here takes longer [s]."""


@dataclass
class PaperChild:
    """A process that runs for as long as a test says so."""

    name: str
    runs: Callable[[], bool]

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.runs()

    def last_words(self) -> str:
        """Of a test."""
        return "it was ended on paper"


class Supervised:
    """A flight. Implements `noted_operator.Operator`, and stands in for `crew.Crew`, the clock and all processes.

    Attributes:
        events: what happens when the flight is that old [s]: a key that is pressed, or anything else that is done.
        told: what the operator was told.
        noted: what the recorder was told.
        states: of the control loop, each when it came.
        rig: the control loop; None while the processes start.
        guarded: whether the guardian runs.
        settings: of the deployment.
    """

    present = True

    def __init__(self, session: Session, *, park: bool = False, standby: str | None = None, hints: bool = True) -> None:
        self.events: list[tuple[float, str | Callable[[], None]]] = []
        self.told: list[str] = []
        self.noted: list[str] = []
        self.states: list[ControlState] = []
        self.rig: Rig | None = None
        self.guarded = True
        self._park = park
        self._hints = hints
        self._session = session
        self.settings = DeploySettings(
            session=session.name,
            robot=TwinSettings(),
            policy="sine",
            standby=standby,
            park=park,
            real_time=RealTimeSettings(priority=0, lock_memory=False, spin=0.0),
            recorder=RecorderSettings(after=AFTER),
        )
        self._waiting = ManualClock()
        self._begun = False
        self._keys = ""
        self._frames = session.publisher("frame")
        self._requests: RequestRecords | None = None
        self._sent = 0
        self.control = cast(Child, PaperChild("control", lambda: self._begun and not self._over()))
        self.guardian = cast(Child, PaperChild("guardian", lambda: self.guarded))

    def note(self, line: str) -> None:
        """Keep it, as the recorder would."""
        self.noted.append(line)

    def fly(self, monkeypatch: pytest.MonkeyPatch) -> Ending:
        """Run the supervisor to its end."""
        monkeypatch.setattr(supervisor, "Crew", lambda _: self)
        monkeypatch.setattr(supervisor, "clear_abandoned", list)
        return Supervisor(self.settings, lambda _: "on paper", self, self, hints=self._hints).run()

    def control_loop(self) -> Rig:
        """The control loop, which runs by now."""
        assert self.rig is not None
        return self.rig

    def _over(self) -> bool:
        return self.rig is not None and self.rig.loop.over

    # -- the clock ----------------------------------------------------------------------------------------------

    @property
    def _clock(self) -> Clock:
        return self._waiting if self.rig is None else self.rig.clock

    def now_ns(self) -> int:
        """Return the present time [ns]."""
        return self._clock.now_ns()

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Let everybody live until `deadline_ns` [ns]."""
        assert self.now_ns() < LONGEST * NANOSECONDS, self.told
        while self.now_ns() < deadline_ns:
            if self.rig is None or self._over():
                self._clock.sleep_until_ns(deadline_ns)
            else:
                self._tick(self.rig)
            self._live()

    def _tick(self, rig: Rig) -> None:
        assert self._requests is not None
        rig.requests.records += self._requests.drain()
        rig.tick()
        if not self.states or self.states[-1] is not rig.state():
            self.states.append(rig.state())
        for frame in rig.frames.sent[self._sent :]:
            self._frames.send(frame)
        self._sent = len(rig.frames.sent)

    def _live(self) -> None:
        due = [event for age, event in self.events if to_ns(age) <= self.now_ns()]
        self.events = self.events[len(due) :]
        for event in due:
            if isinstance(event, str):
                self._keys += event
            else:
                event()

    # -- the crew -----------------------------------------------------------------------------------------------

    def start(self, parent: int, _tell: Callable[[str], None], meanwhile: Callable[[], None]) -> None:
        """Take some time, in which the control process does not listen yet."""
        assert parent == os.getpid()
        self._begun = True
        while self.now_ns() < STARTING * NANOSECONDS:
            meanwhile()
            self.sleep_until_ns(self.now_ns() + to_ns(LOOK))
        self.listen()

    def listen(self) -> None:
        """Let the control process begin, at 5 s as the rig's clock does."""
        self.rig = Rig(departure=Departure(park=self._park))
        self.rig.acting = True
        self._requests = RequestRecords(self._session)

    def ended(self) -> Child | None:
        """The guardian, when it has ended."""
        return None if self.guarded else self.guardian

    def say(self, _tell: Callable[[str], None]) -> None:
        """Nobody prints."""

    def end(self, _tell: Callable[[str], None]) -> None:
        """Nobody is left."""

    # -- the operator -------------------------------------------------------------------------------------------

    def tell(self, line: str) -> None:
        """Note the line."""
        self.told.append(line)

    def show(self, _frame: Record) -> None:
        """Nobody looks."""

    def pressed(self) -> str:
        """Keys that are due."""
        keys, self._keys = self._keys, ""
        return keys
