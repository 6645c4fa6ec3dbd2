"""The control process: owns the arm's port, and runs the control loop on it until it is told to end.

`python -m robot_mbrl.runtime.control_process JSON` takes `DeploySettings`. It prints `control ready` when requests are
heard; before that nothing but checks happens to the arm, and it never moves before somebody asks for it.

SIGINT, SIGTERM, SIGHUP, the request QUIT and the end of its parent end the run: by parking, where the settings say so
and the arm can, or else by a controlled stop; then the torque is what the settings say. A second signal skips parking.
"""

import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

import numpy as np
from pydantic import ValidationError

from robot_mbrl.contracts.clock import Clock
from robot_mbrl.contracts.config import one_line
from robot_mbrl.contracts.errors import ArmStopped, ConfigError, RobotMbrlError
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.robot import Robot
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.drivers.serial_arm import open_arm
from robot_mbrl.runtime.arm_link import BusCounts
from robot_mbrl.runtime.bus_rate import check_rate
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.conductor import Conductor
from robot_mbrl.runtime.control_loop import ControlLoop, Wires
from robot_mbrl.runtime.departure import Departure
from robot_mbrl.runtime.ending_signals import ENDING_SIGNALS
from robot_mbrl.runtime.inbox import ActionBox, RequestBox
from robot_mbrl.runtime.monitor_setup import build_monitor, build_watch, deployed_arm
from robot_mbrl.runtime.parent import end_with_parent
from robot_mbrl.runtime.real_time import RealTime
from robot_mbrl.runtime.requests import RequestRecords
from robot_mbrl.runtime.settings import DeploySettings, TwinSettings
from robot_mbrl.safety.state_machine import Event
from robot_mbrl.sim.geometry import MujocoGeometry
from robot_mbrl.sim.twin import Twin

READY: Final = "control ready"


class BeatingClock:
    """A driver's clock: gives a sign of life whenever the driver waits on it, as it does while it brakes an arm.

    Attributes:
        beat: called before each wait.
    """

    def __init__(self, clock: Clock) -> None:
        """Wait on `clock`; silent until `beat` is set."""
        self._clock = clock
        self.beat: Callable[[], None] = lambda: None

    def now_ns(self) -> int:
        """Return the present time [ns]."""
        return self._clock.now_ns()

    def sleep_until_ns(self, deadline_ns: int) -> None:
        """Beat, then wait until `deadline_ns` [ns]."""
        self.beat()
        self._clock.sleep_until_ns(deadline_ns)


def open_robot(settings: DeploySettings, arm: ArmDefinition, clock: Clock) -> tuple[Robot, Callable[[], BusCounts]]:
    """The robot that `settings` name, not connected yet, and what counts its bus.

    Raises:
        ConfigError: a rate that the bus cannot carry.
        CalibrationError: no calibration.
        PortError: the port cannot be opened.
    """
    if isinstance(settings.robot, TwinSettings):
        return Twin(arm, clock=clock), BusCounts
    check_rate(arm, settings.loop.rate, settings.robot.bus.baud)
    robot = open_arm(settings.robot, clock)
    return robot, partial(BusCounts.of, robot.bus.statistics)


def build_loop(
    settings: DeploySettings,
    robot: Robot,
    arm: ArmDefinition,
    session: Session,
    clock: Clock,
    *,
    counts: Callable[[], BusCounts] = BusCounts,
    report: Callable[[str], None] = lambda _: None,
) -> ControlLoop:
    """The loop on the connected `robot`, with the channels of `session`.

    Raises:
        ConfigError: limits that contradict each other, or an ensemble of another arm.
    """
    return ControlLoop(
        Conductor.of(robot, arm, settings.loop, settings.stop, report, counts),
        build_monitor(arm, MujocoGeometry(arm), settings.safety),
        Wires(
            RequestBox(RequestRecords(session), clock.now_ns()),
            ActionBox(session.subscriber("action"), len(arm.joints)),
            session.publisher("frame"),
        ),
        clock,
        settings.loop,
        departure=Departure(park=settings.park, release=settings.release),
        doubts=build_watch(arm, settings),
    )


def serve(settings: DeploySettings, announce: Callable[[str], None]) -> int:
    """Run until somebody ends it.

    Returns:
        0, or 13 when the arm ended in a fault and somebody else should look after it.

    Raises:
        RobotMbrlError: the arm, its port or the channels cannot be used; nothing was moved.
        Exception: what went wrong in the loop, once the arm was stopped.
    """
    arm = deployed_arm(settings.robot)
    real_time = RealTime(settings.real_time)
    clock = real_time.clock()
    driver_clock = BeatingClock(clock)
    robot, counts = open_robot(settings, arm, driver_clock)
    with ExitStack() as cleanup:
        cleanup.callback(robot.close)
        session = cleanup.enter_context(Session(settings.session))
        robot.connect()
        loop = build_loop(settings, robot, arm, session, clock, counts=counts, report=announce)
        driver_clock.beat = loop.beat
        catch_signals(loop, cleanup)
        # Last: it locks and freezes what is there by now.
        cleanup.enter_context(real_time)
        for warning in real_time.warnings:
            announce(warning)
        announce(f"{READY}: {arm.name} at {settings.loop.rate:g} Hz; {real_time.promise()}")
        try:
            return 0 if loop.run() is not ControlState.FAULT else ArmStopped.exit_code
        except Exception as error:
            error.add_note(save_frames(loop, settings.log))
            raise


def catch_signals(loop: ControlLoop, cleanup: ExitStack) -> None:
    """Let signals, and the end of the parent, end the run."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        loop.leave(Event.SIGNAL)

    for number in ENDING_SIGNALS:
        cleanup.callback(signal.signal, number, signal.signal(number, leave))
    end_with_parent(signal.SIGTERM)


def save_frames(loop: ControlLoop, folder: Path) -> str:
    """Keep the frames that led to an exception; returns where they are, in one line."""
    frames = loop.last_frames()
    path = folder / f"last-frames-{int(frames['wake_ns'][-1]) if len(frames) else 0}.npy"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(path, frames, allow_pickle=False)
    except OSError as error:
        return f"the last frames could not be kept in {path}: {error.strerror}"
    return f"the last {len(frames)} frames are in {path}"


def main(arguments: list[str]) -> int:
    """Control the arm that the JSON in `arguments` describes; the exit code is the error's, 0 for none."""
    try:
        settings = DeploySettings.model_validate_json(arguments[0])
    except (IndexError, ValidationError) as error:
        reason = one_line(error, "deployment") if isinstance(error, ValidationError) else "give settings as JSON"
        print(reason, file=sys.stderr)
        return ConfigError.exit_code
    try:
        return serve(settings, lambda line: print(line, flush=True))
    except RobotMbrlError as error:
        print(error, *getattr(error, "__notes__", ()), sep="; ", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
