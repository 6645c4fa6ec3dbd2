"""Faults of processes and channels, and the stops that a person asks for."""

import resource
import signal
import subprocess
import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.benchmarks.stop_proof.kinds import Continue, Kind, Make
from robot_mbrl.benchmarks.stop_proof.stage import PROGRAM, Stage
from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import SimulationError
from robot_mbrl.contracts.frame import Request, StopCause
from robot_mbrl.drivers.arms import ArmDefinition

HEARTBEAT: Final = 0.2
"""That a console must not be silent for [s]."""
FLOOD: Final = 500
"""Requests that are sent at each look."""
FLOOD_TIME: Final = 0.3
"""After which somebody asks for an emergency stop amid the flood [s]."""


def sends(process: str, number: signal.Signals) -> Make:
    """Sends a signal to the supervisor or one of its children."""

    def make(stage: Stage) -> None:
        stage.send_signal(process, number)

    return make


def asks(request: Request) -> Make:
    """Sends a request over the channel."""

    def make(stage: Stage) -> None:
        stage.send_request(request)

    return make


def fill_disk(stage: Stage) -> None:
    """Let all further writing of the recorder fail, as on a full disk."""
    pid = stage.pid("recorder")
    if pid is None:
        raise SimulationError(f"the recorder is gone before its fault: {stage.last_words()}")
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))


def flood(stage: Stage) -> Continue:
    """Flood the request channel, and ask for an emergency stop amid the flood."""
    stop_ns = time.monotonic_ns() + to_ns(FLOOD_TIME)
    stopped = False

    def go_on() -> None:
        nonlocal stopped
        for _ in range(FLOOD):
            stage.send_request(Request.HEARTBEAT)
        if not stopped and time.monotonic_ns() >= stop_ns:
            stage.send_request(Request.EMERGENCY_STOP)
            stopped = True

    go_on()
    return go_on


def stop_command(stage: Stage) -> None:
    """Run `robot-mbrl stop` as a person would."""
    subprocess.Popen(
        [str(PROGRAM), "stop", "--session", stage.settings.session],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def emergency(_arm: ArmDefinition, _before: NDArray[np.void], after: NDArray[np.void]) -> NDArray[np.bool_]:
    """Frames after an emergency stop was asked for."""
    asked: NDArray[np.bool_] = after["stop_cause"] == StopCause.EMERGENCY
    return asked


def silent_console(_arm: ArmDefinition, _before: NDArray[np.void], after: NDArray[np.void]) -> NDArray[np.bool_]:
    """Frames whose last heartbeat is too old."""
    late: NDArray[np.bool_] = after["wake_ns"] - after["heartbeat_ns"] > to_ns(HEARTBEAT)
    return late


PROCESSES: Final = (
    Kind("policy hang", "process", "the policy freezes (SIGSTOP)", sends("policy", signal.SIGSTOP)),
    Kind(
        "policy exception", "process", "an exception is raised in the policy (SIGINT)", sends("policy", signal.SIGINT)
    ),
    Kind("planner death", "process", "the policy is killed", sends("policy", signal.SIGKILL)),
    Kind("control killed", "process", "the control process is killed", sends("control", signal.SIGKILL)),
    Kind("control frozen", "process", "the control process freezes (SIGSTOP)", sends("control", signal.SIGSTOP)),
    Kind("recorder death", "process", "the recorder is killed", sends("recorder", signal.SIGKILL)),
    Kind("guardian death", "process", "the guardian is killed", sends("guardian", signal.SIGKILL)),
    Kind("supervisor killed", "process", "the supervisor is killed", sends("supervisor", signal.SIGKILL)),
    Kind("disk full", "process", "whatever the recorder writes is refused", fill_disk, harmless=True),
    Kind(
        "channel flood",
        "process",
        f"{FLOOD} requests every 4 ms, and an emergency stop amid them",
        flood,
        visible=emergency,
    ),
)

PERSONS: Final = (
    Kind("emergency stop", "person", "an emergency stop over the channel", asks(Request.EMERGENCY_STOP)),
    Kind("stop command", "person", "`robot-mbrl stop` in another terminal", stop_command, visible=emergency),
    Kind("stop request", "person", "a stop over the channel", asks(Request.STOP)),
    Kind("Ctrl-C", "person", "SIGINT to the supervisor", sends("supervisor", signal.SIGINT)),
    Kind("SIGTERM", "person", "SIGTERM to the supervisor", sends("supervisor", signal.SIGTERM)),
    Kind("closed terminal", "person", "SIGHUP to the supervisor", sends("supervisor", signal.SIGHUP)),
    Kind(
        "lost heartbeat",
        "person",
        f"the console freezes, its heartbeat ({HEARTBEAT} s) stays away",
        sends("supervisor", signal.SIGSTOP),
        visible=silent_console,
        heartbeat=HEARTBEAT,
    ),
)
