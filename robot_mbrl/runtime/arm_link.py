"""The robot as the control loop sees it: what it tells goes into the frame, what goes wrong becomes an event.

A single bad cycle is no reason to stop: the servos hold their last goals meanwhile. A run of them is.
"""

from collections.abc import Callable
from typing import NamedTuple, Self

from robot_mbrl.contracts.errors import BusError, NotReady, PortError, RobotMbrlError, ServoFault
from robot_mbrl.contracts.robot import Robot
from robot_mbrl.contracts.types import FloatArray, HardwareError, JointCommand, StopCategory
from robot_mbrl.drivers.bus.statistics import BusStatistics
from robot_mbrl.runtime.frame_buffer import FrameBuffer
from robot_mbrl.safety.state_machine import Event

_MEASURED = ("stamp_ns", "position", "reported_velocity", "load")


class BusCounts(NamedTuple):
    """What went over the bus since it was opened."""

    transactions: int = 0
    corrupt: int = 0
    timeouts: int = 0

    @classmethod
    def of(cls, statistics: BusStatistics) -> Self:
        """Those of a bus."""
        return cls(statistics.transactions, statistics.corrupt, statistics.timeouts)


class ArmLink:
    """A connected robot.

    Attributes:
        stopped: whether the robot was stopped by its driver and takes no commands until `reset`.
        failed: whether the bus has failed in this tick.
        problem: what went wrong last, one line.
    """

    def __init__(self, robot: Robot, patience: int, counts: Callable[[], BusCounts] = BusCounts) -> None:
        """Use `robot`; `patience` failed cycles in a row are a lost bus."""
        self._robot = robot
        self._patience = patience
        self._counts = counts
        self._run = 0
        self._seen: dict[str, object] = {}
        self.stopped = False
        self.failed = False
        self.problem = ""

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the n joints."""
        return self._robot.joint_names

    @property
    def has_torque(self) -> bool:
        """Whether the joints have torque."""
        return self._robot.has_torque

    @property
    def goal(self) -> FloatArray:
        """(n,) goals that the servos hold [rad]."""
        return self._robot.goal_position

    def read(self, frame: FrameBuffer) -> Event | None:
        """Fill in what the robot measures; after a failure what it measured last, under its old time stamp."""
        if not self.failed:
            self._run = 0
        self.failed = False
        event = self._attempt(self._measure)
        self.tell(frame)
        return event

    def tell(self, frame: FrameBuffer) -> None:
        """Fill in what was measured last, without asking the robot."""
        for field, value in self._seen.items():
            frame[field] = value
        self._tell_health(frame)
        frame["transactions"], frame["corrupt"], frame["timeouts"] = self._counts()
        if self._robot.has_torque:
            frame["goal_position"] = self._robot.goal_position

    def write(self, goal: FloatArray) -> Event | None:
        """Send goals (n,) [rad].

        Raises:
            CommandRefused: they are not finite or outside the limits; nothing was sent.
        """
        return self._attempt(lambda: self._robot.write(JointCommand(goal)))

    def set_torque(self, *, enabled: bool) -> Event | None:
        """Switch the torque, which takes several cycles' time on a bus; half done is a lost bus.

        Raises:
            CommandRefused: torque would move a joint.
        """
        event = self._attempt(lambda: self._robot.set_torque(enabled=enabled))
        return Event.BUS_LOST if self.failed else event

    def stop(self, category: StopCategory) -> Event | None:
        """Let the driver stop the arm, which takes as long as the braking, and take no commands until `reset`."""
        self.stopped = True
        return self._attempt(lambda: self._robot.stop(category))

    def reset(self) -> str | None:
        """Leave the driver's stop; returns why it does not, None when it does."""
        try:
            self._robot.reset()
        except RobotMbrlError as error:
            return str(error)
        self.stopped = False
        self._run = 0
        return None

    def _measure(self) -> None:
        state = self._robot.read()
        self._seen = dict(zip(_MEASURED, (state.stamp_ns, state.position, state.velocity, state.load), strict=True))

    def _tell_health(self, frame: FrameBuffer) -> None:
        health = self._robot.health()
        frame["current"] = health.current
        frame["temperature"] = health.temperature
        frame["voltage"] = health.voltage
        frame["hardware_error"] = [HardwareError(error).value for error in health.hardware_error]
        frame["health_ns"] = health.stamp_ns

    def _attempt(self, use: Callable[[], object]) -> Event | None:
        try:
            use()
        except ServoFault as error:
            self.problem = str(error)
            return Event.SERVO_FAULT
        except (PortError, NotReady) as error:
            # A port that went away does not come back by waiting, nor do servos that stopped by themselves.
            self.failed = True
            self.problem = str(error)
            return Event.BUS_LOST
        except BusError as error:
            self._run += not self.failed
            self.failed = True
            self.problem = str(error)
            return Event.BUS_LOST if self._run >= self._patience else None
        return None
