"""The processes of one arm: started in order, watched, ended in order. None is ever started again.

recorder    started first and ended last, so that it sees everything
guardian    before anything can move the arm, and until the control process has ended
control     holds the port; ended first, while all others still do their part
policy      nothing asks it before the arm has torque
"""

import signal
from collections.abc import Callable
from typing import Final

from robot_mbrl.contracts.errors import ProcessFailed
from robot_mbrl.runtime.child import Child
from robot_mbrl.runtime.session_record import ProcessIdentity, SessionRecord, remove_record
from robot_mbrl.runtime.settings import DeploySettings

END_PATIENCE: Final = 10.0
"""How long a process may take to end when it was asked to [s]."""

POLICY_PATIENCE: Final = 1.0

Tell = Callable[[str], None]


class Crew:
    """All processes of one session but the supervisor."""

    def __init__(self, settings: DeploySettings) -> None:
        """Plan to run what `settings` describe; starts nothing."""
        text = settings.model_dump_json()
        self._settings = settings
        self.recorder = Child("recorder", "robot_mbrl.runtime.recorder", text)
        self.guardian = Child("guardian", "robot_mbrl.runtime.guardian", text)
        self.control = Child("control", "robot_mbrl.runtime.control_process", text)
        self.policy = Child("policy", "robot_mbrl.runtime.policy_process", text)
        self._started: list[Child] = []

    def start(self, supervisor: int, tell: Tell, meanwhile: Callable[[], None]) -> None:
        """Start all, each when the one before is ready, and leave a record of them.

        Args:
            supervisor: process ID of the parent.
            tell: gets what the processes say of themselves.
            meanwhile: called while waiting; what it raises ends the start.

        Raises:
            ProcessFailed: one did not start; its last words are in the message.
        """
        children = [self.recorder, self.guardian, self.control]
        if self._settings.policy is not None:
            children.append(self.policy)
        for child in children:
            self._started.append(child)
            child.start()
            if child is self.control:
                self.guardian.tell(f"watch {child.pid}")
                self._record(supervisor)
            for line in child.await_line(f"{child.name} ready", meanwhile):
                tell(line)

    def _record(self, supervisor: int) -> None:
        try:
            pids = [ProcessIdentity.of(pid) for pid in (supervisor, self.control.pid, self.guardian.pid)]
        except ProcessLookupError as error:
            raise ProcessFailed(f"a process of the arm did not start: {error}") from error
        # Whoever stops the arm by this record may do so from another folder.
        settings = self._settings.anchored()
        SessionRecord(supervisor=pids[0], control=pids[1], guardian=pids[2], settings=settings).save()

    def note(self, line: str) -> None:
        """Have the recorder keep `line` in the flight's log."""
        self.recorder.tell(line)

    def ended(self) -> Child | None:
        """A process that has ended though nobody asked it to, the gravest first; None while all run."""
        order = (self.control, self.guardian, self.policy, self.recorder)
        return next((child for child in order if child in self._started and not child.alive), None)

    def say(self, tell: Tell) -> None:
        """Pass on what the processes have printed since the last call."""
        for child in self._started:
            for line in child.lines():
                tell(line)

    def end(self, tell: Tell) -> None:
        """End all in order; the control process has been asked to end already, and may have done so.

        Args:
            tell: gets what there is to say about it.
        """
        self._end_control(tell)
        # What the guardian did belongs into the log, which ends here.
        self.say(tell)
        if self.policy.alive:
            self.policy.send_signal(signal.SIGTERM)
            # A hung one is killed by `close`: it holds nothing that anybody needs.
            self.policy.wait(POLICY_PATIENCE)
        if self.recorder.alive:
            self.recorder.send_signal(signal.SIGTERM)
            if not self.recorder.wait(END_PATIENCE):
                tell(f"the recorder did not end within {END_PATIENCE} s and is killed: try `robot-mbrl log salvage`")
        self.say(tell)
        for child in reversed(self._started):
            child.close()
        remove_record(self._settings.session)

    def _end_control(self, tell: Tell) -> None:
        """By signal, and at last by the guardian, which stops the arm when control did not end as it should."""
        if self.control.alive:
            self.control.send_signal(signal.SIGTERM)
            self.control.wait(END_PATIENCE)
        if not self.guardian.alive:
            return
        if self.control.alive:
            tell("the control process does not end: the guardian takes over")
            self.guardian.send_signal(signal.SIGUSR1)
        elif self.control.code == 0 or not self.control.pid:
            self.guardian.tell("dismiss")
        self.guardian.hang_up()
        if not self.guardian.wait(END_PATIENCE):
            tell(f"the guardian did not end within {END_PATIENCE} s: look after the arm, switch its power off")
