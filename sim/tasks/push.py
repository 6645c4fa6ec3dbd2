"""Push: slide an object over the table to a point."""

from typing import ClassVar

import numpy as np

from robot_mbrl.contracts.errors import SimulationError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.sim.scene import Cube
from robot_mbrl.sim.tasks.task import Episode, Task, closeness, effort, length
from robot_mbrl.sim.tasks.workspace import Workspace


class PushTask(Task):
    """Slide the object within 3 cm of a point on the table, 6 to 15 cm away, within 10 s.

    `reward = 0.8 closeness(|object - goal|) + 0.2 closeness(|tool - object|) - effort(action)`, of the next
    observation. Distances of object and goal are measured in the table's plane.
    """

    name: ClassVar[str] = "push"
    time_limit: ClassVar[int] = 200
    tolerance: ClassVar[float] = 0.03
    cube: ClassVar[Cube] = Cube()

    APPROACH_SHARE = 0.2
    """Share of the reward for being near the object."""

    CLEARANCE = 0.08
    """Lowest height of the tool at the start [m]: above the object."""

    WORKING_HEIGHT = 0.05
    """Objects and goals lie under places that the tool reaches below this height [m]."""

    TRAVEL = (0.06, 0.15)
    """Shortest and longest way from object to goal [m]."""

    TRIES = 200
    """Pairs of places to draw before giving up; about one in five is accepted."""

    def draw_episode(self, workspace: Workspace, random: np.random.Generator) -> Episode:
        """Draw two places that the tool reaches low over the table, and a free start above the object.

        Raises:
            SimulationError: no pair of places lies within `TRAVEL` of each other.
        """
        for _ in range(self.TRIES):
            start, goal = (workspace.draw_low_place(random, self.WORKING_HEIGHT) for _ in range(2))
            if self.TRAVEL[0] <= np.hypot(*(goal - start)) <= self.TRAVEL[1]:
                start, goal = (np.append(place, self.cube.edge / 2.0) for place in (start, goal))
                workspace.place_cube(start)
                pose = workspace.draw_free_pose(random, lowest=self.CLEARANCE)
                return Episode(pose.joints, goal, start)
        raise SimulationError(
            f"push with {self.arm.name}: no two places {self.TRAVEL[0]} to {self.TRAVEL[1]} m apart in "
            f"{self.TRIES} draws: check the arm's position limits"
        )

    def distance(self, observation: FloatArray) -> FloatArray:
        """Distance of object and goal in the plane [m], (..., size) -> (...)."""
        gap = self.layout.part(observation, "object")[..., :2] - self.layout.part(observation, "goal")[..., :2]
        return length(gap)

    def reward(self, observation: FloatArray, action: FloatArray, next_observation: FloatArray) -> FloatArray:
        """Reward of each transition, see the class; (N, size), (N, n), (N, size) -> (N,)."""
        del observation
        reach = self.layout.part(next_observation, "tool") - self.layout.part(next_observation, "object")
        approach = closeness(length(reach))
        delivery = closeness(self.distance(next_observation))
        return (1.0 - self.APPROACH_SHARE) * delivery + self.APPROACH_SHARE * approach - effort(action)
