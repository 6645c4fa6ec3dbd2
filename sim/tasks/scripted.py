"""Hand-written controllers for the tasks: a yardstick for what is learned, and a source of demonstrations.

They know the arm's nominal model and see observations only.
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
    """The controller for `task`; it draws starts for its inverse kinematics from `random`.

    Raises:
        ConfigError: there is none for it.
    """
    if isinstance(task, ReachTask):
        return ReachController(task, random)
    if isinstance(task, PushTask):
        return PushController(task, random)
    raise ConfigError(f"there is no scripted controller for the task {task.name!r}: there are for reach and push")


class ToolMover:
    """Moves the tool to places: far away through joint space to a free pose, near by in a straight line.

    The gripper, which is the last joint and does not move the tool frame, is parked: closed, an open one straddles
    what it shall push.
    """

    NEAR = 0.06
    """Where the straight line begins [m]."""

    STRIDE = 0.03
    """How far ahead of the tool the servos are sent on a straight line [m]."""

    STARTS = 12
    """Random poses from which a pose for a far place is sought."""

    SAME_PLACE = 0.01
    """A far place that has moved less than this needs no new pose [m]."""

    def __init__(self, task: Task, random: np.random.Generator, *, pointing_down: bool) -> None:
        self._task, self._random, self._pointing_down = task, random, pointing_down
        self._kinematics = Kinematics(task)
        self._gripper = task.arm.joints[-1].park_position
        self._place = np.full(3, np.inf)
        self._solution: FloatArray | None = None

    def towards(self, observation: FloatArray, place: FloatArray) -> FloatArray:
        """The action (n,) in -1..1 that moves the tool to `place` (3,) [m]."""
        part = self._task.layout.part
        joints, tool = part(observation, "joints"), part(observation, "tool")
        distance = float(np.linalg.norm(place - tool))
        solution = self._solve(place, joints) if distance > self.NEAR else None
        if solution is None:
            ahead = tool + (place - tool) * min(1.0, self.STRIDE / max(distance, 1e-9))
            solution, _ = self._kinematics.solve(ahead, joints, pointing_down=self._pointing_down, iterations=5)
        solution = np.append(solution[:-1], self._gripper)
        way = self._kinematics.targets_for(solution) - part(observation, "targets")
        action = way / self._task.action_scale
        return np.asarray(action / max(1.0, float(np.abs(action).max())))

    def _solve(self, place: FloatArray, joints: FloatArray) -> FloatArray | None:
        if not np.linalg.norm(place - self._place) < self.SAME_PLACE:
            low, high = self._task.position_limits.T
            starts = [self._random.uniform(low, high) for _ in range(self.STARTS)]
            self._place = place
            self._solution = self._kinematics.nearest_solution(place, joints, starts, pointing_down=self._pointing_down)
        return self._solution


class ReachController:
    """Goes for the goal."""

    def __init__(self, task: Task, random: np.random.Generator) -> None:
        self._layout, self._mover = task.layout, ToolMover(task, random, pointing_down=False)

    def act(self, observation: FloatArray) -> FloatArray:
        """Return the action (n,) in -1..1 for an observation (size,)."""
        return self._mover.towards(observation, self._layout.part(observation, "goal"))


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

    WIDTH = 0.02
    """How far off the line of the push the tool may be [m]."""

    def __init__(self, task: Task, random: np.random.Generator) -> None:
        self._layout, self._mover = task.layout, ToolMover(task, random, pointing_down=True)

    def act(self, observation: FloatArray) -> FloatArray:
        """Return the action (n,) in -1..1 for an observation (size,)."""
        tool, cube, goal = (self._layout.part(observation, name) for name in ("tool", "object", "goal"))
        return self._mover.towards(observation, self._waypoint(tool, cube, goal))

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
            return np.append(tool[:2] + ToolMover.STRIDE * direction, self.PUSH_HEIGHT)
        if np.hypot(*(tool[:2] - start)) < self.WIDTH:
            return np.append(start, self.PUSH_HEIGHT)
        return np.append(start, self.CARRY_HEIGHT)
