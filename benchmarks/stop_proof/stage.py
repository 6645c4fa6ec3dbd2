"""The stage of one run: an emulated arm behind its port, the whole deployment on it, and hands to make faults with."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

import numpy as np

from robot_mbrl.benchmarks.stop_proof.motion import APPROACH, BRISK, LEG, write_swing
from robot_mbrl.benchmarks.stop_proof.observation import Observer
from robot_mbrl.contracts.clock import MonotonicClock, to_ns
from robot_mbrl.contracts.config import BusSettings, RobotSettings, dump_settings
from robot_mbrl.contracts.errors import SimulationError
from robot_mbrl.contracts.frame import ACTION_DTYPE, ControlState, Record, Request, empty
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arm_checks import install_calibration
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.drivers.bus import open_bus
from robot_mbrl.drivers.calibration import nominal_calibration, save_calibration
from robot_mbrl.drivers.virtual.control import control_path
from robot_mbrl.drivers.virtual.control_client import ControlClient
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.guardian import GuardianReport, report_path
from robot_mbrl.runtime.requests import RequestSender
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess
from robot_mbrl.sim.parameters import ArmTruth
from robot_mbrl.sim.truth import draw_truth, save_truth

ARM: Final = "so101_follower"
RATE: Final = 200.0
"""Of the control loop [Hz]."""
POLICY_RATE: Final = 30.0
BUS_SPIN: Final = 200e-6
"""The driver watches the port for so long around an answer [s], as it does in the loop benchmarks."""
LOOK: Final = 0.004
"""Between two looks at truth and frames [s]."""
MOVING: Final = (ControlState.RUNNING, ControlState.SLOWED)
ARM_PRIORITY: Final = 50
"""Of SCHED_FIFO, of the emulated arm: a real one waits for no processor."""
PROGRAM: Final = Path(sys.executable).with_name("robot-mbrl")
START_PATIENCE: Final = 60.0
END_PATIENCE: Final = 30.0
_MODULES: Final = {
    "control": "robot_mbrl.runtime.control_process",
    "policy": "robot_mbrl.runtime.policy_process",
    "recorder": "robot_mbrl.runtime.recorder",
    "guardian": "robot_mbrl.runtime.guardian",
}


def drawn_truth(arm: ArmDefinition, seed: int) -> ArmTruth:
    """The arm that `seed` draws, calibrated: its horns count as mounted by the drawing."""
    truth = draw_truth(arm, np.random.default_rng(seed))
    return truth.model_copy(
        update={"joints": tuple(joint.model_copy(update={"zero_offset": 0.0}) for joint in truth.joints)}
    )


class Stage:
    """One arm and one deployment, from start to end; a context manager.

    Attributes:
        arm: definition of the arm.
        random: of this run.
        control: the emulated arm's control socket.
        play: (n,) of the arm's gears [rad].
        observer: what is seen of the run.
        settings: of the deployment.
    """

    def __init__(self, folder: Path, session: str, seed: int, heartbeat: float | None = None) -> None:
        """Plan a run in `folder` on the arm that `seed` draws; `heartbeat` as `robot-mbrl deploy` has it [s]."""
        self.arm: ArmDefinition = load_arm(ARM)
        self.random = np.random.default_rng(seed)
        self._folder = folder
        self._link = folder / "port"
        self._seed = seed
        self._said_before = 0
        self._cleanup = ExitStack()
        write_swing(folder / "swing.yaml", self.arm)
        self._robot = RobotSettings(
            arm=ARM, port=str(self._link), calibration=folder / "calibration.yaml", bus=BusSettings(spin=BUS_SPIN)
        )
        self.settings = DeploySettings(
            session=session,
            robot=self._robot,
            policy=f"scripted:{folder / 'swing.yaml'}",
            loop=LoopSettings(rate=RATE, policy_rate=POLICY_RATE, heartbeat=heartbeat),
            log=folder / "log",
        )

    # -- beginning and end ----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        with ExitStack() as cleanup:
            truth = drawn_truth(self.arm, self._seed)
            self.play: FloatArray = np.array([joint.backlash for joint in truth.joints])
            truth_path = self._folder / "truth.yaml"
            save_truth(truth_path, truth)
            process = cleanup.enter_context(
                VirtualArmProcess(ARM, link=self._link, truth=truth_path, priority=ARM_PRIORITY)
            )
            self.control: ControlClient = process.control
            # The control process takes the last core for itself.
            os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(process.pid))})
            self._calibrate()
            self._deployment = self._deploy()
            cleanup.callback(self._end)
            self._session = cleanup.enter_context(Session(self.settings.session))
            self._actions = self._session.publisher("action")
            self._requests = RequestSender(self._session)
            self.observer: Observer = cleanup.enter_context(Observer(control_path(self._link), self.settings.session))
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._cleanup.close()

    def _calibrate(self) -> None:
        calibration = nominal_calibration(self.arm)
        save_calibration(self._folder / "calibration.yaml", calibration)
        bus = open_bus(str(self._link), self.arm.protocol, self.arm.baud, MonotonicClock(), BusSettings(margin=0.02))
        try:
            install_calibration(bus, self.arm, calibration)
        finally:
            bus.close()

    def _deploy(self) -> "subprocess.Popen[bytes]":
        robot, settings = self._folder / "robot.yaml", self.settings
        robot.write_text(dump_settings(self._robot), encoding="utf-8")
        command = [str(PROGRAM), "deploy", "--yes", "--robot", str(robot)]
        command += ["--policy", str(settings.policy), "--session", settings.session, "--log-dir", str(settings.log)]
        command += ["--rate", str(settings.loop.rate), "--policy-rate", str(settings.loop.policy_rate)]
        if settings.loop.heartbeat is not None:
            command += ["--heartbeat", str(settings.loop.heartbeat)]
        with (self._folder / "deploy.txt").open("wb") as told:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _end(self) -> None:
        """End whatever of the deployment is still there, frozen or not."""
        children = [pid for name in _MODULES if (pid := self.pid(name)) is not None]
        for pid in (*children, self._deployment.pid):
            self._signal(pid, signal.SIGCONT)
        self._deployment.send_signal(signal.SIGTERM)
        try:
            self._deployment.wait(END_PATIENCE)
        except subprocess.TimeoutExpired:
            self._deployment.kill()
            self._deployment.wait()
        for pid in children:
            self._signal(pid, signal.SIGKILL)

    # -- looking --------------------------------------------------------------------------------------------------

    def wait(self, holds: Callable[[], bool], patience: float, meanwhile: Callable[[], None] = lambda: None) -> bool:
        """Look on until `holds()`, at most `patience` [s]; returns whether it did."""
        deadline_ns = time.monotonic_ns() + to_ns(patience)
        while not holds():
            now_ns = time.monotonic_ns()
            if now_ns > deadline_ns:
                return False
            meanwhile()
            self.observer.look()
            time.sleep(max(0.0, LOOK - (time.monotonic_ns() - now_ns) * 1e-9))
        return True

    def await_swing(self) -> None:
        """Wait until the arm swings, then for up to one whole swing more, and then until it is in full swing.

        Raises:
            SimulationError: the deployment did not get that far; what it said is in the message.
        """
        running = self.wait(lambda: self.observer.state in MOVING or self.ended, START_PATIENCE)
        if not running or self.ended:
            raise SimulationError(f"the deployment did not start: {self.last_words()}")
        start_ns = time.monotonic_ns() + to_ns(APPROACH + float(self.random.uniform(0.0, 2.0 * LEG)))
        self.wait(lambda: time.monotonic_ns() > start_ns and self.observer.speed > BRISK, patience=10.0)
        if self.observer.state not in MOVING:
            raise SimulationError(f"the arm stopped before there was a fault: {self.last_words()}")
        self._said_before = len(self._told())

    @property
    def ended(self) -> bool:
        """Whether the supervisor has ended."""
        return self._deployment.poll() is not None

    def last_words(self) -> str:
        """What the deployment said last, since the arm swings, in one line."""
        said = self._told()[self._said_before :].replace(f"{self._folder}/", "")
        return " ".join(said.split())[-600:]

    def _told(self) -> str:
        return (self._folder / "deploy.txt").read_text(encoding="utf-8", errors="replace")

    def guardian_report(self) -> GuardianReport | None:
        """What the guardian did, None when it had nothing to do."""
        path = report_path(self.settings)
        return GuardianReport.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None

    # -- hands ----------------------------------------------------------------------------------------------------

    @property
    def supervisor(self) -> int:
        """Process ID of the supervisor."""
        return self._deployment.pid

    def pid(self, name: str) -> int | None:
        """Process ID of one of the supervisor's children: control, policy, recorder or guardian; None if it is gone."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and self._is_child(entry, _MODULES[name]):
                return int(entry.name)
        return None

    def send_signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the supervisor or one of its children."""
        pid = self.supervisor if name == "supervisor" else self.pid(name)
        if pid is None:
            raise SimulationError(f"the {name} process is gone before its fault: {self.last_words()}")
        os.kill(pid, number)

    def send_action(self, position: FloatArray, *, lifetime: float = 0.1, age: float = 0.0) -> None:
        """Send an action as a policy would, made `age` [s] ago and good for `lifetime` [s] from then on."""
        record = empty(ACTION_DTYPE)
        now_ns = time.monotonic_ns() - to_ns(age)
        record["sequence"] = time.monotonic_ns()
        record["stamp_ns"], record["expires_ns"] = now_ns, now_ns + to_ns(lifetime)
        record["position"][0, : len(position)] = position
        self._actions.send(record)

    def send_request(self, request: Request) -> None:
        """Ask the control process for something."""
        self._requests.send(request, time.monotonic_ns())

    def now_ns(self) -> int:
        """The present time [ns]."""
        return time.monotonic_ns()

    @property
    def frame(self) -> Record:
        """The newest frame.

        Raises:
            SimulationError: there is none yet.
        """
        if self.observer.frame is None:
            raise SimulationError("no frame has come yet: wait for the arm to run")
        return self.observer.frame

    def _is_child(self, entry: Path, module: str) -> bool:
        try:
            parent = int((entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return False
        return parent == self.supervisor and module.encode() in command

    @staticmethod
    def _signal(pid: int, number: signal.Signals) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
