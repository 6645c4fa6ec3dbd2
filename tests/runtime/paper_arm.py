"""A `Robot` on paper: joints are where their goals are, and failures come when a test says so."""

from collections.abc import Callable

import numpy as np

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.errors import NotReady
from robot_mbrl.contracts.types import FloatArray, HardwareError, Health, JointCommand, JointState, StopCategory


class PaperArm:
    """Two joints that obey at once.

    Attributes:
        clock: its time.
        position: (2,) [rad].
        goals: every goal that was written.
        calls: what was asked of it besides reading and writing.
        fails: raised by the next calls, by name of the method: an error, or None for a call that works.
        stop_time: what a stop takes [s].
        torque_time: what switching torque takes [s].
    """

    joint_names = ("a", "b")

    def __init__(self, clock: ManualClock) -> None:
        """At rest at 0, its torque off."""
        self.clock = clock
        self.position = np.zeros(2)
        self.goals: list[FloatArray] = []
        self.calls: list[str] = []
        self.fails: dict[str, list[Exception | None]] = {}
        self.stop_time = self.torque_time = 0.0
        self.while_stopping: Callable[[], None] = lambda: None
        self.has_torque = self.stopped = False
        self._goal = np.zeros(2)

    @property
    def goal_position(self) -> FloatArray:
        """The goals that are held."""
        return self._goal.copy()

    def hold(self, position: FloatArray) -> None:
        """Be found with torque, held at `position` (2,) [rad]."""
        self.position, self._goal, self.has_torque = position.copy(), position.copy(), True

    def connect(self) -> None:
        """Nothing to do."""

    def set_torque(self, *, enabled: bool) -> None:
        """Switch at once."""
        self.calls.append("torque on" if enabled else "torque off")
        self._fail("set_torque")
        self.clock.advance(self.torque_time)
        if enabled and not self.has_torque:
            self._goal = self.position.copy()
        self.has_torque = enabled

    def read(self) -> JointState:
        """Where the joints are."""
        self._fail("read")
        return JointState(self.clock.now_ns(), self.position.copy(), np.zeros(2), np.zeros(2))

    def health(self) -> Health:
        """All is well."""
        stamp = np.full(2, self.clock.now_ns(), np.int64)
        return Health(stamp, np.full(2, 30.0), np.full(2, 5.0), np.full(2, np.nan), (HardwareError.NONE,) * 2)

    def write(self, command: JointCommand) -> None:
        """Be there."""
        if self.stopped or not self.has_torque:
            raise NotReady("the paper arm is stopped or has no torque: reset it")
        self.goals.append(command.position.copy())
        self._goal = command.position.copy()
        self.position = command.position.copy()
        self._fail("write")

    def stop(self, category: StopCategory = StopCategory.HOLD) -> None:
        """Stay."""
        self.calls.append(f"stop {category.value}")
        self.stopped = True
        self.clock.advance(self.stop_time)
        self.while_stopping()
        self._fail("stop")
        self.has_torque = self.has_torque and category is StopCategory.HOLD

    def reset(self) -> None:
        """Obey again."""
        self.calls.append("reset")
        self._fail("reset")
        self.stopped = False

    def close(self) -> None:
        """Nothing to do."""

    def _fail(self, method: str) -> None:
        waiting = self.fails.get(method)
        error = waiting.pop(0) if waiting else None
        if error is not None:
            raise error
