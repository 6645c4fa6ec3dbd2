"""Reach: bring the tool frame to a point."""

from typing import ClassVar

import numpy as np

from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.sim.tasks.task import Episode, Task, closeness, effort, length
from robot_mbrl.sim.tasks.workspace import Workspace


class ReachTask(Task):
    """Bring the tool frame within 2 cm of a point that some free pose of the arm reaches, within 5 s.

    `reward = closeness(|tool - goal|) - effort(action)`, of the next observation.
    """

    name: ClassVar[str] = "reach"
    time_limit: ClassVar[int] = 100
    tolerance: ClassVar[float] = 0.02

    CLEARANCE = 0.04
    """Lowest height of start and goal above the table [m]."""

    def draw_episode(self, workspace: Workspace, random: np.random.Generator) -> Episode:
        """Draw two free poses: the arm starts in one, the goal is where the tool is in the other."""
        start = workspace.draw_free_pose(random, lowest=self.CLEARANCE)
        goal = workspace.draw_free_pose(random, lowest=self.CLEARANCE)
        return Episode(start.joints, goal.tool)

    def distance(self, observation: FloatArray) -> FloatArray:
        """Distance of tool and goal [m], (..., size) -> (...)."""
        gap = self.layout.part(observation, "tool") - self.layout.part(observation, "goal")
        return length(gap)

    def reward(self, observation: FloatArray, action: FloatArray, next_observation: FloatArray) -> FloatArray:
        """Reward of each transition, see the class; (N, size), (N, n), (N, size) -> (N,)."""
        del observation
        return closeness(self.distance(next_observation)) - effort(action)
