"""An emulated arm with MuJoCo behind it on a serial port of its own: run here, or in a child process.

`python -m robot_mbrl.runtime.virtual_arm JSON` serves the arm that the settings in JSON describe; it is what
`VirtualArmProcess` starts. People use `robot-mbrl virtual-arm`.
"""

import contextlib
import gc
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self

import numpy as np
from pydantic import Field, ValidationError

from robot_mbrl.contracts.config import Settings, load_settings, one_line
from robot_mbrl.contracts.errors import ConfigError, RobotMbrlError, SimulationError
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.drivers.virtual.arm import VirtualArm
from robot_mbrl.drivers.virtual.control import control_path
from robot_mbrl.drivers.virtual.control_client import ControlClient
from robot_mbrl.drivers.virtual.eeprom_store import EepromStore
from robot_mbrl.drivers.virtual.faults import Payload, Scenario, UsbLatency
from robot_mbrl.drivers.virtual.pty_latency import delivery_time_ns
from robot_mbrl.drivers.virtual.pty_port import PtyPort
from robot_mbrl.drivers.virtual.server import VirtualArmServer
from robot_mbrl.drivers.virtual.timing import LineTiming
from robot_mbrl.runtime.parent import SUPERVISOR, end_with_parent
from robot_mbrl.runtime.real_time import RealTime, RealTimeSettings, only
from robot_mbrl.sim.plant import MujocoPlant
from robot_mbrl.sim.truth import ArmTruth, check_truth, draw_truth, load_truth, nominal_truth

_READY: Final = "virtual arm"
_START_TIMEOUT: Final = 60.0
_STOP_TIMEOUT: Final = 10.0


class VirtualArmSettings(Settings):
    """What `robot-mbrl virtual-arm` can be told.

    Attributes:
        arm: name of an arm definition, or the path of one.
        link: path that clients open as their serial port; the control socket is beside it, `link`.ctl.
        truth: YAML file with the physical parameters.
        seed: draws the physical parameters within published ranges instead; without either they are the nominal ones.
        scenario: YAML file with faults.
        usb_latency: the adapter hands bytes over only every so often [s]; 0.016 is an FTDI adapter's default.
        turnaround: what a servo needs before it answers [s].
        paced: False lets bytes and answers take no time, for measuring what the host side costs.
        state: file that keeps the servos' EEPROM from run to run.
        payload: mass at the tool [kg]; None takes the truth's.
        factory: servos as they come out of the box, all with the same ID, none connected but those in `connected`.
        connected: joints whose servos are on the bus, by name or ID; None for all (with `factory`: none).
        priority: of SCHED_FIFO, 1..99, so that a busy machine does not hold up the arm as nothing holds up a real one;
            0 stays with the default scheduler. It should be below the control process's.
    """

    arm: str = "so101_follower"
    link: Path
    truth: Path | None = None
    seed: int | None = Field(default=None, ge=0)
    scenario: Path | None = None
    usb_latency: float = Field(default=0.0, ge=0.0, le=1.0)
    turnaround: float = Field(default=95e-6, ge=0.0, le=0.1)
    paced: bool = True
    state: Path | None = None
    payload: float | None = Field(default=None, ge=0.0, le=10.0)
    factory: bool = False
    connected: tuple[str, ...] | None = None
    priority: int = Field(default=0, ge=0, le=99)


def serve_virtual_arm(
    settings: VirtualArmSettings, *, announce: Callable[[str], None], report: Callable[[str], None]
) -> None:
    """Be the arm until SIGINT, SIGTERM or the control socket's `quit`; link and socket are removed at the end.

    Args:
        settings: which arm, where.
        announce: gets one line when the port can be opened.
        report: gets one line whenever real time was lost.

    Raises:
        ConfigError: a settings, truth, scenario or state file is wrong.
        PortError: the link cannot be made, or an emulated arm is there already.
        SimulationError: the physics diverged.
    """
    definition = load_arm(settings.arm)
    scenario = Scenario() if settings.scenario is None else load_settings(settings.scenario, Scenario)
    truth = _truth(settings, definition)
    arm = _build_arm(settings, definition, truth, scenario.seed)
    store = None if settings.state is None else EepromStore(settings.state)
    if store is not None:
        store.load(arm.servos)
    _disconnect(settings, arm)
    port = PtyPort(settings.link, definition.baud)
    with _signals() as signalled, _urgency(settings.priority, report), contextlib.ExitStack() as cleanup:
        server = VirtualArmServer(
            arm, port, control_path(settings.link), store=store, delivery_ns=delivery_time_ns(report), report=report
        )
        cleanup.callback(server.close)
        now_ns = time.monotonic_ns()
        payload = truth.payload_mass if settings.payload is None else settings.payload
        standing = (UsbLatency(seconds=settings.usb_latency), Payload(mass=payload))
        for fault in (*standing, *scenario.events):
            server.director.schedule(fault, now_ns)
        gc.collect()
        gc.freeze()
        announce(
            f"{_READY} {definition.name} ({definition.protocol}, {len(arm.servos)} servos, {definition.baud} baud) on "
            f"{settings.link}, control socket {control_path(settings.link)}; stop it with Ctrl-C"
        )
        server.run(signalled)


@contextlib.contextmanager
def _urgency(priority: int, report: Callable[[str], None]) -> Iterator[None]:
    """Come before ordinary processes, where the machine allows it; a refusal is reported."""
    steps = only("SCHED_FIFO", "sharp timers", "locked memory") if priority else []
    with RealTime(RealTimeSettings(priority=priority), steps) as real_time:
        for warning in real_time.warnings:
            report(f"virtual arm: {warning}")
        yield


def _build_arm(settings: VirtualArmSettings, definition: ArmDefinition, truth: ArmTruth, seed: int) -> VirtualArm:
    return VirtualArm(
        definition,
        MujocoPlant(definition, truth),
        timing=LineTiming(settings.turnaround, settings.paced),
        zero_offsets=[joint.zero_offset for joint in truth.joints],
        command_delays=[joint.command_delay for joint in truth.joints],
        factory=settings.factory,
        rng=random.Random(seed),
    )


def _truth(settings: VirtualArmSettings, definition: ArmDefinition) -> ArmTruth:
    if settings.truth is not None and settings.seed is not None:
        raise ConfigError("virtual arm: truth and seed both say what the arm is like: give one of them")
    if settings.truth is not None:
        truth = load_truth(settings.truth, definition)
        check_truth(definition, truth)
        return truth
    if settings.seed is not None:
        return draw_truth(definition, np.random.default_rng(settings.seed))
    return nominal_truth(definition)


def _disconnect(settings: VirtualArmSettings, arm: VirtualArm) -> None:
    """Take the servos off the bus that are not to be on it."""
    if settings.connected is None and not settings.factory:
        return
    wanted = set(settings.connected or ())
    joints = arm.definition.joints
    unknown = wanted - {name for joint in joints for name in (joint.name, str(joint.id))}
    if unknown:
        known = ", ".join(f"{joint.name} ({joint.id})" for joint in joints)
        raise ConfigError(f"connected {', '.join(sorted(unknown))}: {arm.definition.name} has {known}: give those")
    for joint, servo in zip(joints, arm.servos, strict=True):
        if not wanted & {joint.name, str(joint.id)}:
            servo.disconnect()


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], bool]]:
    """Catch SIGINT and SIGTERM in this, the main thread; gives what tells whether one has come."""
    caught: list[int] = []

    def catch(number: int, _frame: FrameType | None) -> None:
        caught.append(number)

    before = {number: signal.signal(number, catch) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class VirtualArmProcess:
    """An emulated arm in a child process, for tests, benchmarks and demos; use it as a context manager.

    Attributes:
        port: what to open as the serial port.
        control: client of the control socket.
    """

    port: str
    control: ControlClient

    def __init__(self, arm: str = "so101_follower", *, link: Path, **settings: Any) -> None:
        """Describe the arm; keyword arguments are the fields of `VirtualArmSettings`.

        Raises:
            ConfigError: they are wrong.
        """
        try:
            self._settings = VirtualArmSettings(arm=arm, link=link, **settings)
        except ValidationError as error:
            raise ConfigError(one_line(error, "virtual arm")) from error
        self.port = str(link)
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """Process ID of the child."""
        return self._running().pid

    def start(self) -> Self:
        """Start the child and wait until its port can be opened.

        It has a session of its own, so that Ctrl-C reaches the parent alone, and it ends when the parent does.

        Raises:
            SimulationError: it ended, or was not ready in time; the message has its last words.
        """
        # A file, unlike a pipe, never fills up and stops a child that has much to complain about.
        with tempfile.TemporaryFile("w+", encoding="utf-8") as complaints:
            process = subprocess.Popen(
                [sys.executable, "-m", "robot_mbrl.runtime.virtual_arm", self._settings.model_dump_json()],
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                start_new_session=True,
                env={**os.environ, SUPERVISOR: str(os.getpid())},
            )
            try:
                ready = self._first_line(process).startswith(_READY)
            except BaseException:
                # Ctrl-C while it starts: nobody calls `stop` on what has not started.
                self._end(process)
                raise
            if not ready:
                self._end(process)
                complaints.seek(0)
                reason = " ".join(complaints.read().split()) or f"not ready within {_START_TIMEOUT} s"
                raise SimulationError(f"the virtual arm on {self.port} did not start: {reason}")
        self._process, self.control = process, ControlClient(control_path(self._settings.link))
        return self

    def stop(self) -> int:
        """End the child and return its exit code. Idempotent: 0 when there is none."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        self.control.close()
        return self._end(process)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None:
            raise SimulationError(f"the virtual arm on {self.port} is not running: start it first")
        return self._process

    @staticmethod
    def _end(process: "subprocess.Popen[str]") -> int:
        process.terminate()
        try:
            process.communicate(timeout=_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        return process.returncode

    @staticmethod
    def _first_line(process: "subprocess.Popen[str]") -> str:
        """The child's first line, empty when it has ended or is not ready in time."""
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], (), (), _START_TIMEOUT)
        return process.stdout.readline() if readable else ""


def main(arguments: list[str]) -> int:
    """Serve the arm that the JSON in `arguments` describes; the exit code is the error's, 0 for none."""
    try:
        end_with_parent(signal.SIGTERM)
        settings = VirtualArmSettings.model_validate_json(arguments[0])
        serve_virtual_arm(
            settings,
            announce=lambda line: print(line, flush=True),
            report=lambda line: print(line, file=sys.stderr, flush=True),
        )
    except RobotMbrlError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
