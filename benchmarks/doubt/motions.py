"""Nominal episodes: an arm goes from free pose to free pose, at speeds drawn anew for each leg, clear of everything."""

from typing import Final, NamedTuple

import numpy as np

from robot_mbrl.contracts.errors import SimulationError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.policies.joint_space import SMOOTH_STEP_PEAK, JointSpace
from robot_mbrl.policies.scripted import ScriptedPolicy, Trajectory, Waypoint
from robot_mbrl.sim.geometry import MujocoGeometry

SPEEDS: Final = (0.4, 1.6)
"""Between which the peak speed of a leg's fastest joint is drawn [rad/s]."""
SHORTEST_LEG: Final = 0.5
"""[s]; with the speeds above a leg's accelerations stay below a third of the SO-101's limits."""
CLEARANCE: Final = 0.03
"""What the whole way keeps between links, and between the tool and the table [m]."""
MARGIN: Final = 0.15
"""What poses keep from the joints' limits [rad]."""
TRIES: Final = 5000
_LOOKS: Final = 12
"""At how many places of a leg its clearance is looked at."""


class Motion(NamedTuple):
    """One episode's way.

    Attributes:
        start: (n,) where the arm stands at first [rad].
        trajectory: where it goes from there.
    """

    start: FloatArray
    trajectory: Trajectory

    def policy(self, space: JointSpace) -> ScriptedPolicy:
        """What moves the arm of `space` like that."""
        return ScriptedPolicy(self.trajectory, space)


class MotionDraw:
    """Draws episodes for one arm."""

    def __init__(self, arm: ArmDefinition) -> None:
        """Draw for `arm`."""
        self._arm = arm
        self._geometry = MujocoGeometry(arm)
        limits = np.array([joint.position_limits for joint in arm.joints])
        self._low, self._high = limits[:, 0] + MARGIN, limits[:, 1] - MARGIN

    def draw(self, random: np.random.Generator, seconds: float, start: FloatArray | None = None) -> Motion:
        """An episode of at least `seconds` [s], from the pose `start` (n,) [rad]; None draws that as well.

        Raises:
            SimulationError: no clear way was found in many draws.
        """
        pose = start = self._pose(random) if start is None else start
        waypoints: list[Waypoint] = []
        lasts = 0.0
        while not waypoints or lasts < seconds:
            after = self._next(random, pose)
            way = float(np.abs(after - pose).max())
            duration = max(SHORTEST_LEG, SMOOTH_STEP_PEAK * way / float(random.uniform(*SPEEDS)))
            position = dict(zip(self._arm.joint_names, after.tolist(), strict=True))
            waypoints.append(Waypoint(duration=duration, position=position))
            lasts, pose = lasts + duration, after
        return Motion(start, Trajectory(waypoints=tuple(waypoints), approach_speed=SPEEDS[1]))

    def _next(self, random: np.random.Generator, pose: FloatArray) -> FloatArray:
        """A pose that is reached from `pose` along a clear straight line, by a share of the way to a free one."""
        for _ in range(TRIES):
            after = pose + (self._pose(random) - pose) * random.uniform(0.2, 0.8)
            if all(self._clear(pose + (after - pose) * share) for share in np.linspace(0.0, 1.0, _LOOKS)):
                return after
        raise SimulationError(f"{self._arm.name}: no clear way from {np.round(pose, 3).tolist()} in {TRIES} draws")

    def _pose(self, random: np.random.Generator) -> FloatArray:
        for _ in range(TRIES):
            pose = random.uniform(self._low, self._high)
            if self._clear(pose):
                return pose
        raise SimulationError(f"{self._arm.name}: no clear pose in {TRIES} draws: check its model and its limits")

    def _clear(self, pose: FloatArray) -> bool:
        return (
            float(self._geometry.tool_position(pose)[2]) > CLEARANCE
            and self._geometry.clearance(pose).distance > CLEARANCE
        )
