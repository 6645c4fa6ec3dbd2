"""Flies one deployment of the demonstration: the whole machinery of `robot-mbrl deploy`, with a script at its keys."""

import signal
from typing import Final

from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.errors import ArmStopped, ProcessFailed, RobotMbrlError
from robot_mbrl.contracts.frame import Record
from robot_mbrl.demo.screen import Screen
from robot_mbrl.demo.script import Script
from robot_mbrl.runtime.ending_signals import SIGNALLED
from robot_mbrl.runtime.preflight import check_deployment, why_stopped
from robot_mbrl.runtime.settings import DeploySettings
from robot_mbrl.runtime.supervisor import QUIT_KEY, Ending, Supervisor

_ERRORS: Final[dict[int, type[RobotMbrlError]]] = {ArmStopped.exit_code: ArmStopped}


class Pilot:
    """Implements `runtime.noted_operator.Operator`: a script presses the keys, a screen shows what comes of it."""

    present = True

    def __init__(self, script: Script, screen: Screen) -> None:
        """Begin `script` with the first frame of a running arm."""
        self._script, self._screen = script, screen
        self._keys = ""
        next(script)

    def tell(self, line: str) -> None:
        """Pass a line on."""
        self._screen.tell(line)

    def show(self, frame: Record) -> None:
        """Show the frame, and let the script see it; its end is the key that ends the run."""
        self._screen.show(frame)
        try:
            self._keys += self._script.send(frame)
        except StopIteration:
            self._keys = QUIT_KEY

    def pressed(self) -> str:
        """Keys since the last call."""
        keys, self._keys = self._keys, ""
        return keys


def fly_deployment(settings: DeploySettings, script: Script, screen: Screen, clock: Clock) -> None:
    """Run the deployment that `settings` describe until `script` has ended.

    Raises:
        RobotMbrlError: it was refused, a process ended, or the arm stopped for good.
        KeyboardInterrupt: Ctrl-C ended it, in good order.
        SystemExit: another signal did.
    """
    header = check_deployment(settings, clock)
    screen.watch(header, header.monitor.uncertainty if settings.ensemble is not None else None)
    pilot = Pilot(script, screen)
    # Who reads the screen presses no keys: those that would count are the script's.
    ending = Supervisor(settings, lambda frames: why_stopped(frames, header), pilot, clock, hints=False).run()
    raise_for(ending)


def raise_for(ending: Ending) -> None:
    """Raise what `ending` tells of, unless the run ended as it should; see `fly_deployment`."""
    if ending.code == SIGNALLED + signal.SIGINT:
        raise KeyboardInterrupt
    if ending.code > SIGNALLED:
        raise SystemExit(ending.code)
    if ending.code:
        raise _ERRORS.get(ending.code, ProcessFailed)(ending.told)
