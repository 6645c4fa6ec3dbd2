"""Hand-written controllers for the tasks: a yardstick for what is learned, and a source of demonstrations.

They know the arm's nominal kinematics and see observations only.
"""

from typing import Protocol

import numpy as np

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.sim.tasks.kinematics import Kinematics
from robot_mbrl.sim.tasks.push import PushTask
from robot_mbrl.sim.tasks.reach import ReachTask
from robot_mbrl.sim.tasks.task import Task


class Controller(Protocol):
    """Something that answers observations with actions."""

    def act(self, observation: FloatArray) -> FloatArray:
        """Return the action (n,) in -1..1 for an observation (size,)."""
        ...


def scripted_controller(task: Task, random: np.random.Generator) -> Controller:
    """The controller for `task`; it may draw from `random`.

    Raises:
        ConfigError: there is none for it.
    """
    if isinstance(task, ReachTask):
        return ReachController(task, random)
    if isinstance(task, PushTask):
        return PushController(task)
    raise ConfigError(f"there is no scripted controller for the task {task.name!r}: there are for reach and push")


class ToolServo:
    """Moves the tool in a straight line.

    The targets move from where they are, not from where the joints are, so that the sag that gravity leaves is
    integrated away.
    """

    GAIN = 0.35
    """Share of the way that one step goes; the joints need two or three steps to follow."""

    LAG = 0.05
    """How far ahead the tool's motion is extrapolated [s], about what a servo lags behind its target."""

    LONGEST_STEP = 0.05
    """Longest way that one step tries [m], for which the Jacobian still holds."""

    def __init__(self, task: Task, kinematics: Kinematics, *, pointing_down: bool = False) -> None:
        self._task, self._kinematics, self._pointing_down = task, kinematics, pointing_down

    def towards(self, observation: FloatArray, place: FloatArray) -> FloatArray:
        """The action (n,) that moves the tool to `place` (3,) [m]."""
        part = self._task.layout.part
        joints = part(observation, "joints")
        self._kinematics.pose(joints + self.LAG * part(observation, "velocities"))
        coming = self._kinematics.tool
        self._kinematics.pose(joints)
        motion = self.GAIN * (place - coming)
        motion *= min(1.0, self.LONGEST_STEP / max(float(np.linalg.norm(motion)), 1e-9))
        action = self._kinematics.step(motion, pointing_down=self._pointing_down) / self._task.action_scale
        return np.asarray(action / max(1.0, float(np.abs(action).max())))


class ReachController:
    """Drives all joints to a free pose that has the tool at the goal; near it, goes straight."""

    NEAR = 0.06
    """Where the tool goes straight for the goal [m]."""

    STARTS = 20
    """Random poses from which a pose for the goal is sought."""

    def __init__(self, task: Task, random: np.random.Generator) -> None:
        self._task, self._random = task, random
        self._kinematics = Kinematics(task)
        self._servo = ToolServo(task, self._kinematics)
        self._goal = np.full(3, np.nan)
        self._solution: FloatArray | None = None

    def act(self, observation: FloatArray) -> FloatArray:
        """Return the action (n,) in -1..1 for an observation (size,)."""
        part = self._task.layout.part
        goal = part(observation, "goal")
        if not np.array_equal(goal, self._goal):
            self._goal, self._solution = goal, self._nearest_solution(goal, part(observation, "joints"))
        if self._solution is None or np.linalg.norm(goal - part(observation, "tool")) < self.NEAR:
            return self._servo.towards(observation, goal)
        way = (self._solution - part(observation, "targets")) / self._task.action_scale
        return np.asarray(way / max(1.0, float(np.abs(way).max())))

    def _nearest_solution(self, goal: FloatArray, joints: FloatArray) -> FloatArray | None:
        """Of the free poses found for `goal`, the one that is the shortest way from `joints`."""
        low, high = self._task.position_limits.T
        starts = [joints, *(self._random.uniform(low, high) for _ in range(self.STARTS))]
        found = [solution for start in starts if (solution := self._kinematics.solve(goal, start)) is not None]
        return min(found, key=lambda solution: float(np.abs(solution - joints).max()), default=None)


class PushController:
    """Goes over the object to behind it, comes down pointing downwards, and pushes towards the goal."""

    BEHIND = 0.05
    """Where a push starts, behind the object's centre [m]."""

    CARRY_HEIGHT = 0.08
    """Of the tool over the table while it goes round the object [m]."""

    PUSH_HEIGHT = 0.015
    """Of the tool over the table while it pushes [m]."""

    ARRIVED = 0.015
    """The object is left alone this near to the goal [m]."""

    WIDTH = 0.015
    """How far off the line of the push the tool may be [m]."""

    def __init__(self, task: Task) -> None:
        self._layout = task.layout
        self._servo = ToolServo(task, Kinematics(task), pointing_down=True)

    def act(self, observation: FloatArray) -> FloatArray:
        """Return the action (n,) in -1..1 for an observation (size,)."""
        tool, cube, goal = (self._layout.part(observation, name) for name in ("tool", "object", "goal"))
        return self._servo.towards(observation, self._waypoint(tool, cube, goal))

    def _waypoint(self, tool: FloatArray, cube: FloatArray, goal: FloatArray) -> FloatArray:
        way = goal[:2] - cube[:2]
        distance = float(np.hypot(*way))
        if distance < self.ARRIVED:
            return np.append(tool[:2], self.CARRY_HEIGHT)
        direction = way / distance
        offset = tool[:2] - cube[:2]
        along = float(offset @ direction)
        across = abs(float(offset[0] * direction[1] - offset[1] * direction[0]))
        start = cube[:2] - self.BEHIND * direction
        if along < 0.0 and across < self.WIDTH and tool[2] < 2.0 * self.PUSH_HEIGHT:
            return np.append(goal[:2], self.PUSH_HEIGHT)
        if np.hypot(*(tool[:2] - start)) < self.WIDTH:
            return np.append(start, self.PUSH_HEIGHT)
        return np.append(start, self.CARRY_HEIGHT)
