"""Where the tool is to go, and the smooth random motion that the models are fitted to."""

from pathlib import Path
from typing import Final

import numpy as np

from robot_mbrl.benchmarks.doubt.motions import MotionDraw
from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.contracts.errors import SimulationError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.policies.tour import Leg
from robot_mbrl.sim.model import build_model
from robot_mbrl.sim.tasks.workspace import Workspace
from robot_mbrl.sim.truth import nominal_truth

Goal = tuple[float, float, float]

LOW: Final = (0.17, -0.17, 0.1)
HIGH: Final = (0.34, 0.17, 0.27)
"""Corners of the box that the goals lie in [m]: before the arm, clear of the table and of its base."""
FARTHEST: Final = 0.2
"""From one goal to the next [m]."""
TRIES: Final = 2000
PIECE: Final = 8.0
"""Of the exploration, at least [s]: a stop ends one."""


class GoalDraw:
    """Draws goals that free poses of the arm reach."""

    def __init__(self, arm: ArmDefinition, random: np.random.Generator) -> None:
        """Draw for `arm`."""
        self._workspace = Workspace(build_model(arm, nominal_truth(arm).without_backlash()), arm)
        self._random = random

    def draw(self, count: int) -> list[Goal]:
        """So many goals, each at most `FARTHEST` from the one before.

        Raises:
            SimulationError: none was found in many draws.
        """
        goals: list[Goal] = []
        for _ in range(count):
            goals.append(self._next(goals[-1] if goals else None))
        return goals

    def _next(self, before: Goal | None) -> Goal:
        for _ in range(TRIES):
            tool = self._workspace.draw_free_pose(self._random, LOW[2]).tool
            inside = (tool >= LOW).all() and (tool <= HIGH).all()
            if inside and (before is None or np.linalg.norm(tool - before) <= FARTHEST):
                x, y, z = (round(float(value), 4) for value in tool)
                return x, y, z
        raise SimulationError(f"no reachable goal between {LOW} and {HIGH} m in {TRIES} draws: try another --seed")


def exploration(
    arm: ArmDefinition, start: FloatArray, seconds: float, random: np.random.Generator, folder: Path
) -> list[Leg]:
    """Smooth motion from the pose `start` (n,) [rad] on, for at least `seconds` [s], as legs of a tour.

    It goes from free pose to free pose on ways that are clear of table and arm; the trajectories go into `folder`.

    Raises:
        SimulationError: no clear way was found.
    """
    draw = MotionDraw(arm)
    legs: list[Leg] = []
    pose, planned = start, 0.0
    while planned < seconds:
        motion = draw.draw(random, min(PIECE, seconds - planned), pose)
        path = folder / f"exploration-{len(legs)}.yaml"
        path.write_text(dump_settings(motion.trajectory), encoding="utf-8")
        lasts = sum(waypoint.duration for waypoint in motion.trajectory.waypoints)
        legs.append(Leg(policy=f"scripted:{path}", seconds=lasts))
        last = motion.trajectory.waypoints[-1].position
        pose, planned = np.array([last[name] for name in arm.joint_names]), planned + lasts
    return legs
