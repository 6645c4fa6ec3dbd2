"""What leads to what: walks the state machine, and does to the robot what its transitions ask for.

What takes longer than a tick (switching torque, a stop by the driver) is only noted at first and done by `finish`, once
the tick's frame is out: a fault is told before it is dealt with.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

import numpy as np

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import CommandRefused
from robot_mbrl.contracts.frame import ControlState, StopCause
from robot_mbrl.contracts.rest import REST_PATIENCE, RestWatch
from robot_mbrl.contracts.robot import Robot
from robot_mbrl.contracts.types import FloatArray, StopCategory, Verdict, VerdictLevel
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.runtime.arm_link import ArmLink, BusCounts
from robot_mbrl.runtime.motion import Motion, MotionLimits
from robot_mbrl.runtime.settings import LoopSettings
from robot_mbrl.safety.start_pose import start_pose_problem
from robot_mbrl.safety.state_machine import STOP_CAUSES, TABLE, Drive, Event, StateMachine, TorqueChange

_DRIVER_STOPS: Final = frozenset({Event.SERVO_FAULT, Event.BUS_LOST, Event.EXCEPTION})
"""Events after which the driver brakes by itself: it takes no goals any more, or nothing can be known."""


class Conductor:
    """The state machine, and the hands that it has.

    Attributes:
        link: the robot.
        motion: its goals.
        machine: where the loop stands.
        cause: who asked for the stop that is latched, beside the monitor.
        stopping: whether the driver is braking the arm just now.
    """

    def __init__(
        self,
        link: ArmLink,
        motion: Motion,
        limits: FloatArray,
        category: StopCategory,
        report: Callable[[str], None],
    ) -> None:
        """Begin in IDLE, with the torque as it is.

        Args:
            link: the robot.
            motion: its goals.
            limits: (n, 2) position limits [rad].
            category: what a stop ends with.
            report: gets a line for people when something is refused or latched.
        """
        self.link, self.motion, self._report = link, motion, report
        self._limits, self._category = limits, category
        self.machine = StateMachine()
        self.cause = StopCause.NONE
        self._rested = self._nothing_to_brake = False
        self._watch = RestWatch(len(limits))
        self._goals_rest_ns: int | None = None
        self._arm_rests = False
        self._driver_stop = self.stopping = False
        self._torque: bool | None = None

    @classmethod
    def of(
        cls,
        robot: Robot,
        arm: ArmDefinition,
        loop: LoopSettings,
        category: StopCategory,
        report: Callable[[str], None],
        counts: Callable[[], BusCounts] = BusCounts,
    ) -> Self:
        """Conduct the connected `robot` within the limits of `arm`, at the pace of `loop`; `counts` is of its bus."""
        limits = MotionLimits.of(arm)
        park = np.array([joint.park_position for joint in arm.joints])
        motion = Motion(limits, park, period=1.0 / loop.rate, action_period=1.0 / loop.policy_rate)
        return cls(ArmLink(robot, loop.bus_patience, counts), motion, limits.position, category, report)

    @property
    def state(self) -> ControlState:
        """Where the loop stands."""
        return self.machine.state

    @property
    def drive(self) -> Drive:
        """Which goals the servos get.

        None without torque, none when it is the driver that stops them, and none in a stop of an arm that was given
        none before: what its servos hold stays as it is.
        """
        mute = self._driver_stop or self.link.stopped or not self.link.has_torque
        return Drive.NOTHING if mute or self._nothing_to_brake else self.machine.drive

    @property
    def resting(self) -> bool:
        """Whether goals and arm rest, or the goals have for `REST_PATIENCE`; so does an arm that nobody drives."""
        return self._untouched or (self._goals_rest and self._arm_rests)

    @property
    def _untouched(self) -> bool:
        return self.drive is Drive.NOTHING and not (self._driver_stop or self.link.stopped)

    @property
    def _goals_rest(self) -> bool:
        """Those of a driver's stop do once it has ended."""
        if self.link.stopped or self._driver_stop:
            return not self._driver_stop
        return self.motion.at_rest or self.motion.parked

    def observe(self, now_ns: int, position: FloatArray) -> None:
        """See at `now_ns` [ns] where the joints are, `position` (n,) [rad], NaN where that is not known."""
        if self._untouched or not self._goals_rest:
            self._goals_rest_ns, self._arm_rests = None, False
            return
        if self._goals_rest_ns is None:
            self._goals_rest_ns, self._watch = now_ns, RestWatch(len(self._limits))
        # Once at rest, what shakes the arm is not its own motion.
        if not self._arm_rests:
            patient = now_ns - self._goals_rest_ns < to_ns(REST_PATIENCE)
            self._arm_rests = self._watch.rests(now_ns, position) or not patient

    @property
    def pending(self) -> bool:
        """Whether `finish` has something to do."""
        return self._driver_stop or self._torque is not None

    def handle(self, event: Event, why: str = "") -> None:
        """Go where `event` leads; `why` is for people."""
        before, drove = self.machine.state, self.drive is not Drive.NOTHING
        transition = self.machine.handle(event)
        if transition.state is not before and self.machine.latched:
            self._nothing_to_brake = not drove
            self._rested = False
            self.cause = STOP_CAUSES.get(event, StopCause.NONE)
            if self._torque:
                # Torque that was asked for in this tick would come on in the latch.
                self._torque = None
        elif not self.machine.latched:
            self._nothing_to_brake = False
            self.cause = StopCause.NONE
        if not drove and self.drive is not Drive.NOTHING:
            # The goals so far are of an earlier motion, or of none.
            self.motion.seed(self.link.goal)
        self._driver_stop |= event in _DRIVER_STOPS and not self.link.stopped
        switch = transition.torque.switch(self._category)
        if switch is not None:
            self._torque = switch
        # Last: the stop is noted, whatever becomes of the line.
        if transition.state is not before and self.machine.latched:
            self.report(f"{transition.state.name.lower()}: {why or event.name.lower()}")

    def report(self, line: str) -> None:
        """Tell people `line`, if they can be told."""
        # A full disk, a closed pipe or a closed file: who no longer listens must not keep the arm from being stopped.
        with suppress(OSError, ValueError):
            self._report(line)

    def arm(self, position: FloatArray, velocity: FloatArray, verdict: Verdict) -> None:
        """A person asks for torque: check the start pose, from what was measured and judged last."""
        if TABLE[self.state, Event.ARM_CHECKED].torque is TorqueChange.ENABLE:
            self._start(Event.ARM_CHECKED, "arm", self._problem(position, velocity, verdict))
        else:
            self.handle(Event.ARM_CHECKED)

    def reset(self, position: FloatArray, velocity: FloatArray, verdict: Verdict) -> None:
        """A person asks to leave a latch: the cause must be gone, the arm at rest and where it may start."""
        if not self.machine.latched:
            self.handle(Event.RESET_CHECKED)
            return
        problem = self._problem(position, velocity, verdict)
        if problem is None and not self.resting:
            problem = "the arm is still braking: wait until it rests"
        if problem is None and self.link.stopped:
            problem = self.link.reset()
        self._start(Event.RESET_CHECKED, "reset", problem)

    def release(self) -> None:
        """A person asks for the torque to go off, which it does only at rest."""
        if self.resting:
            self.handle(Event.REQUEST_RELEASE)
        else:
            self.report("release refused: the arm is still moving: wait until it rests")

    def settle(self) -> None:
        """Tell the machine, once, that the arm has come to rest."""
        if self.machine.latched and not self._rested and not self._driver_stop and self.resting:
            self._rested = True
            self.handle(Event.AT_REST)
        if self.state is ControlState.PARKING and self.motion.parked and self.resting:
            self.handle(Event.PARKED)

    def finish(self) -> None:
        """Do what was noted; may take many ticks' time."""
        if self._driver_stop:
            self._driver_stop, self.stopping = False, True
            try:
                self.link.stop(self._category)
            finally:
                self.stopping = False
        switch, self._torque = self._torque, None
        if switch is not None:
            self._switch(enabled=switch)

    def _switch(self, *, enabled: bool) -> None:
        try:
            event = self.link.set_torque(enabled=enabled)
        except CommandRefused as error:
            self.report(f"torque refused: {error}")
            event = Event.REQUEST_RELEASE
        if event is not None:
            self.handle(event, self.link.problem)
            self.finish()
        elif enabled:
            self.motion.seed(self.link.goal)

    def _start(self, event: Event, what: str, problem: str | None) -> None:
        if problem is not None:
            self.report(f"{what} refused: {problem}")
        self.handle(event if problem is None else Event.START_REFUSED)

    def _problem(self, position: FloatArray, velocity: FloatArray, verdict: Verdict) -> str | None:
        if verdict.level is VerdictLevel.STOP:
            return f"the monitor still says stop: {verdict_text(verdict, self.link.joint_names)}"
        held = self.link.goal if self.link.has_torque else None
        return start_pose_problem(self.link.joint_names, position, velocity, self._limits, held)


def verdict_text(verdict: Verdict, joints: tuple[str, ...]) -> str:
    """A verdict in words, such as `tracking_error of elbow_flex: 0.31, limit 0.2`."""
    where = f" of {joints[verdict.joint]}" if verdict.joint >= 0 else ""
    told = f"{verdict.reason}{where}: {verdict.value:.4g}, limit {verdict.limit:.4g}"
    return f"on hold for too long by {told}" if verdict.held else told
