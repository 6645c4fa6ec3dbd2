"""The supervisor: starts an arm's processes, lets a policy run, and brings everything to an orderly end.

Whatever ends a run (its time, Ctrl-C, a closed terminal, the end of a process, the monitor) ends in a controlled stop;
then, where the arm may still move and the settings ask for it, a slow way to the park pose; then torque as the settings
say. Nothing is started again, and a latched stop is left latched unless a person resets it.
"""

import os
import signal
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from robot_mbrl.contracts.clock import NANOSECONDS, Clock, to_ns
from robot_mbrl.contracts.errors import ArmStopped, ProcessFailed
from robot_mbrl.contracts.frame import ControlState, Record, Request
from robot_mbrl.contracts.rest import REST_PATIENCE
from robot_mbrl.runtime.channels import clear_abandoned
from robot_mbrl.runtime.control_link import LOOK, REPEAT, ControlLink
from robot_mbrl.runtime.crew import Crew
from robot_mbrl.runtime.ending_signals import SIGNALLED, noted_signals
from robot_mbrl.runtime.guardian import COMMANDING
from robot_mbrl.runtime.noted_operator import NotedOperator, Operator
from robot_mbrl.runtime.real_time import RealTime, RealTimeSettings, only
from robot_mbrl.runtime.settings import DeploySettings
from robot_mbrl.runtime.takeover import granted
from robot_mbrl.safety.state_machine import LATCHED

HELD: Final = frozenset({ControlState.ARMED, ControlState.HOLDING})
MOVING: Final = frozenset({ControlState.RUNNING, ControlState.SLOWED, ControlState.HOLDING})
ANSWER_PATIENCE: Final = 10.0
"""How long the control process may take to do what it is asked [s]; it may switch torque or check servos for it."""
RESET_PATIENCE: Final = REST_PATIENCE + 1.0
"""How long the control process may take to leave a latch [s]; what it refuses now it may grant when the arm rests."""
PARK_PATIENCE: Final = 120.0
"""How long the way to the park pose may take [s]."""
HEARTBEAT_PERIOD: Final = 0.05
PRIORITY: Final = 1
"""Of SCHED_FIFO: before all that merely computes, be it a training run on every core, and after all that moves the arm.

Keys, signals and the ends of processes are noticed here.
"""


STOP_KEYS: Final = " s"
RESET_KEY: Final = "r"
GO_KEY: Final = "g"
HOLD_KEY: Final = "h"
SWITCH_KEY: Final = "p"
QUIT_KEY: Final = "q"


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a run ended.

    Attributes:
        told: one line.
        code: exit code: 0 for its time or a person's word, 12 for a process or its own code where it did not start, 13
            for a stop, 128 + N for signal N, also for one that came while a run of code 0 was being brought to its end.
    """

    told: str
    code: int


class _Over(Exception):
    """The run is over, from wherever it was noticed."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.told)
        self.ending = ending


class _StoppedAgain(Exception):
    """The arm was stopped anew while a reset was asked for."""


class Supervisor:
    """Parent of an arm's processes, in the foreground; for one run."""

    def __init__(
        self,
        settings: DeploySettings,
        why: Callable[[Sequence[Record]], str],
        operator: Operator,
        clock: Clock,
        seconds: float | None = None,
        *,
        hints: bool = True,
    ) -> None:
        """Plan to run what `settings` describe, which `preflight` has found to be right.

        Args:
            settings: what all processes are told.
            why: says in words why the arm stopped, from the frames around it.
            operator: who is told, and whose keys count.
            clock: for waiting.
            seconds: how long to run [s]; None until somebody ends it.
            hints: whether the operator is told of keys; not where who reads that is not who presses them.
        """
        self._settings = settings
        self._why = why
        self._clock = clock
        self._seconds = seconds
        self._hints = hints
        self._crew = Crew(settings)
        self._operator = NotedOperator(operator, self._crew.note)
        self._caught: list[int] = []
        self._beat_ns = 0
        self._keys = ""
        self._standby = False
        self._torque_asked = False
        self._started_ns = 0

    def run(self) -> Ending:
        """Do everything, from the start of the processes to their end.

        Raises:
            ChannelError: the session's channels cannot be used.
        """
        # What killed runs left behind is memory that this one's channels, and everybody else's, may need.
        clear_abandoned()
        with (
            noted_signals() as self._caught,
            ControlLink(self._settings.session, self._clock) as link,
            urgency(self._settings.real_time),
        ):
            try:
                ending = self._fly(link)
                self._operator.tell(ending.told)
            finally:
                self._end(link)
            self._operator.tell(self._summary(link))
        # Whoever sent a signal wants no more to happen, be the arm at its end already; only now none can be missed.
        return _signalled(self._caught[0]) if self._caught and ending.code == 0 else ending

    def _summary(self, link: ControlLink) -> str:
        if link.frame is None:
            return "the control loop made no tick"
        ticks, missed = int(link.frame["tick"][0]), int(link.frame["missed_ticks"][0])
        return f"{ticks} ticks, {missed} missed; flight logs are in {self._settings.log}"

    def _fly(self, link: ControlLink) -> Ending:
        try:
            self._crew.start(os.getpid(), self._operator.tell, lambda: self._attend(link))
            return self._go(link) or self._watch(link)
        except ProcessFailed as error:
            failed = self._crew.ended()
            # A refusal that the process could put into words has an exit code of its own.
            code = failed.code if failed is not None and failed.code else error.exit_code
            return Ending(str(error), code if code > 0 else error.exit_code)
        except _Over as over:
            return over.ending

    # -- the run ------------------------------------------------------------------------------------------------

    def _go(self, link: ControlLink) -> Ending | None:
        """Torque on, then the policy; an ending when the arm does not want to."""
        steps = [(Request.ARM, frozenset({ControlState.ARMED}))]
        if self._settings.policy is not None:
            steps.append((Request.RUN, MOVING))
        for request, wanted in steps:
            # From here on it is the control process that hears a stop, and latches it.
            self._torque_asked = True
            self._ask(link, request, wanted | LATCHED)
            if link.state in LATCHED:
                return self._stopped(link)
            if link.state not in wanted:
                state = "silent" if link.state is None else link.state.name.lower()
                return Ending(f"the arm is {state}: it did not follow the request {request.name}", ArmStopped.exit_code)
            self._operator.tell(f"the arm is {link.state.name.lower()}")
            if request is Request.ARM and self._settings.policy is not None:
                self._await_action(link)
        self._started_ns = self._clock.now_ns()
        return None

    def _ask(self, link: ControlLink, request: Request, reached: Collection[ControlState]) -> bool:
        return link.ask(request, reached, ANSWER_PATIENCE, lambda: self._attend(link))

    def _await_action(self, link: ControlLink) -> None:
        """Wait for an action of the policy's that is still good: after a stop the last one has expired."""
        deadline_ns = self._clock.now_ns() + to_ns(ANSWER_PATIENCE)
        while link.frame is None or int(link.frame["action_expires_ns"][0]) <= int(link.frame["wake_ns"][0]):
            if self._clock.now_ns() > deadline_ns:
                raise _Over(
                    Ending(f"the policy made no action within {ANSWER_PATIENCE} s: look at it", ProcessFailed.exit_code)
                )
            self._attend(link)
            link.look()
            self._clock.sleep_until_ns(self._clock.now_ns() + to_ns(LOOK))

    def _watch(self, link: ControlLink) -> Ending:
        """Look on until something ends the run."""
        told = False
        while True:
            self._attend(link)
            if link.look() and link.frame is not None:
                self._operator.show(link.frame)
            latched = link.state in LATCHED
            if latched and not told:
                ending = self._stopped(link)
                if not self._operator.present:
                    # Whoever asked for the stop sees what came of it.
                    link.await_rest(REST_PATIENCE, lambda: self._beat(link))
                    return ending
                self._tell(ending.told, "r resets, then g arms and goes on, q ends")
            # Only the newest key: one that was pressed before the arm could obey it must not be obeyed later.
            key, self._keys = self._keys[-1:], ""
            # After a reset it is told anew: the arm may have left one latch and be in the next one.
            told = latched and key != RESET_KEY
            refusal = self._obey(link, key)
            if refusal is not None:
                return refusal
            if self._seconds is not None and not latched and self._running_time() > self._seconds:
                return Ending(f"the run's {self._seconds:g} s are over", 0)
            self._clock.sleep_until_ns(self._clock.now_ns() + to_ns(LOOK))

    def _obey(self, link: ControlLink, key: str) -> Ending | None:
        """Do what a key asks for; an ending when the arm was to go on and does not want to."""
        if key == RESET_KEY and link.state in LATCHED:
            self._reset(link)
        elif key == HOLD_KEY and link.state in MOVING:
            self._hold(link)
        elif key == SWITCH_KEY and self._settings.standby is not None:
            self._switch(link)
        elif key == GO_KEY and link.state in {ControlState.IDLE, ControlState.ARMED}:
            return self._go(link)
        return None

    def _running_time(self) -> float:
        return (self._clock.now_ns() - self._started_ns) / NANOSECONDS

    def _reset(self, link: ControlLink) -> None:
        latch = _latch(link)

        def attend() -> None:
            self._attend(link)
            # To go on asking would undo a stop that whoever asked has not heard of, or has made himself.
            if _stops(self._keys) or _latch(link) not in {latch, None}:
                raise _StoppedAgain

        try:
            reset = link.ask(Request.RESET, {ControlState.IDLE}, RESET_PATIENCE, attend)
        except _StoppedAgain:
            self._operator.tell("stopped again: the reset was given up")
            return
        if reset:
            self._tell("reset; the arm holds as it did", "g arms and goes on, q ends")
        else:
            self._operator.tell("the arm refuses the reset: its cause is still there, or the start pose is not safe")

    def _hold(self, link: ControlLink) -> None:
        if self._ask(link, Request.HOLD, {ControlState.ARMED} | LATCHED) and link.state is ControlState.ARMED:
            other = ", p lets the other policy act" if self._settings.standby is not None else ""
            self._tell("held", f"g goes on{other}, q ends")

    def _switch(self, link: ControlLink) -> None:
        """Ask for the other policy, whose process grants it only while the arm is held; `_hear` learns of it."""
        if link.state not in HELD:
            self._operator.tell("the other policy takes over while the arm is held only: press h first")
            return
        link.send(Request.USE_POLICY if self._standby else Request.USE_STANDBY)

    def _tell(self, line: str, keys: str) -> None:
        """Say one line, and which keys count now."""
        self._operator.tell(f"{line}; keys: {keys}" if self._hints else line)

    def _hear(self, line: str) -> None:
        """Pass on what a process says; what the policy process grants, it alone knows."""
        policies = (self._settings.policy, self._settings.standby)
        if line in {granted(policy) for policy in policies if policy is not None}:
            self._standby = not self._standby
        self._operator.tell(line)

    def _stopped(self, link: ControlLink) -> Ending:
        return Ending(f"the arm was stopped: {self._why(link.recent)}", ArmStopped.exit_code)

    def _attend(self, link: ControlLink) -> None:
        """What must not wait, whatever else is being waited for."""
        self._crew.say(self._hear)
        keys = self._operator.pressed()
        if _stops(keys):
            link.send(Request.EMERGENCY_STOP)
            if not self._torque_asked:
                # A control process that is still starting forgets what was sent before it listened.
                raise _Over(Ending("stopped by key before the arm had torque: nothing was moved", ArmStopped.exit_code))
        self._keys += keys
        self._beat(link)
        if QUIT_KEY in keys:
            raise _Over(Ending("ended by the key q" if self._hints else "ended as planned", 0))
        if self._caught:
            raise _Over(_signalled(self._caught[0]))
        ended = self._crew.ended()
        if ended is not None:
            raise _Over(Ending(f"the {ended.name} process ended: {ended.last_words()}", ProcessFailed.exit_code))

    def _beat(self, link: ControlLink) -> None:
        """Be the operator's heartbeat, where one is asked for."""
        if self._settings.loop.heartbeat is not None and self._clock.now_ns() > self._beat_ns:
            link.send(Request.HEARTBEAT)
            self._beat_ns = self._clock.now_ns() + to_ns(HEARTBEAT_PERIOD)

    # -- the end ------------------------------------------------------------------------------------------------

    def _end(self, link: ControlLink) -> None:
        """Let the control process stop the arm, park it where it may, and end; then end the others in order."""
        heard = len(self._caught)
        try:
            if self._crew.control.alive:
                # Without a guardian nobody watches over the arm any more: it is not to move again.
                if link.state in COMMANDING and not (self._settings.park and self._crew.guardian.alive):
                    link.ask(Request.STOP, LATCHED, ANSWER_PATIENCE, lambda: self._beat(link))
                    link.await_rest(REST_PATIENCE, lambda: self._beat(link))
                # So long the loop goes on: what follows a stop belongs to its incident, too.
                link.await_after_stop(
                    self._settings.recorder.after, lambda: self._beat(link), lambda: len(self._caught) > heard
                )
                self._await_end(link, heard)
        finally:
            self._crew.end(self._operator.tell)

    def _await_end(self, link: ControlLink, heard: int) -> None:
        """Ask the control process to end, and wait.

        A signal or a stop key meanwhile is an emergency stop, and so is the end of the guardian: nobody would stop the
        arm on its way if the control process froze. The first `heard` signals came before, and are none.
        """
        began_ns = self._clock.now_ns()
        patience = PARK_PATIENCE if self._settings.park else ANSWER_PATIENCE
        quit_ns: int | None = None
        guarded = True
        while self._crew.control.alive and self._clock.now_ns() - began_ns < to_ns(patience):
            # One that is still starting forgets what was sent before it listened. One that runs is asked once: to ask
            # it twice means without parking.
            if quit_ns is None or (link.frame is None and self._clock.now_ns() - quit_ns > to_ns(REPEAT)):
                link.send(Request.QUIT)
                quit_ns = self._clock.now_ns()
            self._beat(link)
            self._crew.say(self._operator.tell)
            if link.look() and link.frame is not None:
                self._operator.show(link.frame)
            if len(self._caught) > heard or _stops(self._operator.pressed()):
                heard = len(self._caught)
                self._operator.tell("emergency stop: the arm stays where it is")
                link.send(Request.EMERGENCY_STOP)
            if guarded and link.state in COMMANDING and not self._crew.guardian.alive:
                guarded = False
                self._operator.tell("the guardian process ended: emergency stop, the arm stays where it is")
                link.send(Request.EMERGENCY_STOP)
            self._clock.sleep_until_ns(self._clock.now_ns() + to_ns(LOOK))


def _signalled(number: int) -> Ending:
    return Ending(f"ended by {signal.Signals(number).name}", SIGNALLED + number)


def _latch(link: ControlLink) -> tuple[int, int] | None:
    """Which stop is latched, by its state and cause; None while none is."""
    if link.frame is None or link.state not in LATCHED:
        return None
    return int(link.frame["state"][0]), int(link.frame["stop_cause"][0])


def _stops(keys: str) -> bool:
    """Whether one of `keys` is an emergency stop."""
    return any(key in STOP_KEYS for key in keys)


def urgency(control: RealTimeSettings) -> RealTime:
    """The supervisor's claim on the machine, if the control process has one, which also tells of what is refused."""
    return RealTime(control.model_copy(update={"priority": PRIORITY}), only("SCHED_FIFO") if control.priority else [])
