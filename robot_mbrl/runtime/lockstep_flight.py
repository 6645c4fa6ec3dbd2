"""A deployment without processes and without waiting: policy, control loop, driver and emulated arm in one thread.

Everything is the real thing but the channels, the serial port and the passing of time: frames and actions are handed
over in memory, and time moves only while the driver or the loop waits for it. The same flight gives the same frames to
the bit, several times faster than real time, so that hundreds of episodes can be flown.
"""

import random
from collections.abc import Callable
from functools import partial

import numpy as np

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.contracts.errors import ProcessFailed
from robot_mbrl.contracts.frame import REQUEST_DTYPE, ControlState, Record, Request, empty
from robot_mbrl.contracts.policy import Policy
from robot_mbrl.contracts.types import FloatArray, StopCategory
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.drivers.arm_checks import install_calibration
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.drivers.bus import ServoBus, bus_protocol
from robot_mbrl.drivers.calibration import nominal_calibration
from robot_mbrl.drivers.serial_arm import SerialArm
from robot_mbrl.drivers.virtual.arm import VirtualArm
from robot_mbrl.drivers.virtual.lockstep import LockstepWire
from robot_mbrl.drivers.virtual.timing import LineTiming
from robot_mbrl.policies.joint_space import JointSpace
from robot_mbrl.runtime.arm_link import BusCounts
from robot_mbrl.runtime.conductor import Conductor
from robot_mbrl.runtime.control_loop import ControlLoop, Doubts, Judge, Wires
from robot_mbrl.runtime.inbox import ActionBox, RequestBox
from robot_mbrl.runtime.policy_process import Episode, joint_space
from robot_mbrl.runtime.settings import DeploySettings
from robot_mbrl.sim.parameters import ArmTruth
from robot_mbrl.sim.plant import MujocoPlant

PATIENCE = 2.0
"""How long the arm may take to arm and to run [s]: the loop's own rules say when it must have an action."""


class Mailbox:
    """A channel within one thread: what one side puts in, the other takes out."""

    def __init__(self) -> None:
        """Empty."""
        self._records: list[Record] = []

    def send(self, record: Record) -> None:
        """Keep a copy of `record`, shape (1,)."""
        self._records.append(record.copy())

    def drain(self) -> list[Record]:
        """All records, the oldest first."""
        taken, self._records = self._records, []
        return taken


class LockstepFlight:
    """One emulated arm under control.

    Attributes:
        arm: its definition.
        plant: its physics, where faults and surroundings are changed.
        virtual: its servos and its bus.
        wire: line and clock.
        loop: the control loop.
        reports: what the loop had to say to people.
    """

    def __init__(
        self,
        arm: ArmDefinition,
        truth: ArmTruth,
        position: FloatArray,
        settings: DeploySettings,
        monitor: Judge,
        doubts: Doubts | None = None,
    ) -> None:
        """Put the arm down, connected, its torque off.

        Args:
            arm: its definition.
            truth: what it is made of.
            position: (n,) where it stands [rad].
            settings: of the deployment; its loop and its goal are what counts here.
            monitor: judges each tick.
            doubts: the ensemble beside the policy, if there is one.

        Raises:
            RobotMbrlError: the arm cannot be built or connected to.
        """
        self.arm, self._settings, self._pace = arm, settings, settings.loop
        self.plant = MujocoPlant(arm, truth, position=position)
        self.virtual = VirtualArm(
            arm,
            self.plant,
            timing=LineTiming(),
            command_delays=[joint.command_delay for joint in truth.joints],
            rng=random.Random(0),
        )
        self.wire = LockstepWire(self.virtual)
        bus = ServoBus(self.wire, bus_protocol(arm.protocol), BusSettings(), self.wire)
        calibration = nominal_calibration(arm)
        install_calibration(bus, arm, calibration)
        robot = SerialArm(arm, bus, calibration, self.wire)
        robot.connect()
        self._requests, self._actions, self._frames = Mailbox(), Mailbox(), Mailbox()
        self.reports: list[str] = []
        counts = partial(BusCounts.of, bus.statistics)
        self.loop = ControlLoop(
            Conductor.of(robot, arm, settings.loop, StopCategory.HOLD, self.reports.append, counts),
            monitor,
            Wires(
                RequestBox(self._requests, self.wire.now_ns()),
                ActionBox(self._actions, len(arm.joints)),
                self._frames,
            ),
            self.wire,
            settings.loop,
            doubts=doubts,
        )

    def space(self) -> JointSpace:
        """What a policy of this flight has to know of the arm."""
        return joint_space(self.arm, self._settings, self.wire)

    def fly(self, policy: Policy, seconds: float, each: Callable[[float], None] = lambda _: None) -> FrameArray:
        """Switch the torque on and let `policy` move the arm for `seconds` [s], or until it is stopped.

        Args:
            policy: stepped at the policy's rate, right after a frame; its action reaches the loop with the next tick.
            seconds: of running.
            each: called before each tick with the time that the arm has run [s].

        Returns:
            The frames (k,) since the call, those before the run included.

        Raises:
            ProcessFailed: the arm did not start to run.
        """
        goal = self._settings.goal
        episode = Episode(policy, len(self.arm.joints), None if goal is None else np.array(goal))
        every = round(self._pace.rate / self._pace.policy_rate)
        frames: list[Record] = []

        def step() -> ControlState:
            frames.append(self.loop.tick().copy())
            if len(frames) % every == 0:
                action = episode.step(frames[-1])
                if action is not None:
                    self._actions.send(action)
            return self.loop.state

        self._until(Request.ARM, ControlState.ARMED, step)
        for _ in range(2 * every):
            step()
        self._until(Request.RUN, ControlState.RUNNING, step)
        for tick in range(round(seconds * self._pace.rate)):
            each(tick / self._pace.rate)
            if step() not in (ControlState.RUNNING, ControlState.SLOWED, ControlState.HOLDING):
                break
        return np.concatenate(frames)

    def ask(self, request: Request) -> None:
        """Ask the loop for something, which it sees in its next tick."""
        record = empty(REQUEST_DTYPE)
        record["stamp_ns"], record["request"] = self.wire.now_ns(), request
        self._requests.send(record)

    def _until(self, request: Request, state: ControlState, step: Callable[[], ControlState]) -> None:
        self.ask(request)
        deadline_ns = self.wire.now_ns() + to_ns(PATIENCE)
        while step() is not state:
            if self.wire.now_ns() > deadline_ns:
                told = "; ".join(self.reports) or f"it is {self.loop.state.name.lower()}"
                raise ProcessFailed(
                    f"{self.arm.name}: not {state.name.lower()} within {PATIENCE} s ({told}): look at it"
                )
