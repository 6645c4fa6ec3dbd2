"""What the arm does when a fault hits it: a swing of all joints, in free space, at a brisk pace."""

from pathlib import Path
from typing import Final

from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.policies.scripted import Trajectory, Waypoint

MIDDLE: Final = (0.0, -0.9, 0.8, 0.6, 0.0, 0.5)
"""Around which the joints swing [rad]: the arm half folded, 0.1 m above the table."""
SWING: Final = (0.4, 0.2, -0.2, 0.25, 0.5, 0.3)
"""By which each joint swings to either side [rad]."""
LEG: Final = 1.2
"""From one end of the swing to the other [s]. The base peaks at 1.25 rad/s, the tool at 0.29 m/s: a little more than
the 0.25 m/s that ISO 10218-1:2025 grants an arm of class I."""
BRISK: Final = 1.0
"""An arm whose fastest joint is faster than that is in full swing [rad/s]."""
APPROACH_SPEED: Final = 1.0
"""[rad/s]."""
APPROACH: Final = 4.0
"""By then an arm that started parked has swung once to and fro [s]."""


def write_swing(path: Path, arm: ArmDefinition) -> None:
    """Write the trajectory file of the swing."""
    ends = (
        {joint.name: middle + side * swing for joint, middle, swing in zip(arm.joints, MIDDLE, SWING, strict=True)}
        for side in (1.0, -1.0)
    )
    waypoints = tuple(Waypoint(duration=LEG, position=end) for end in ends)
    trajectory = Trajectory(waypoints=waypoints, approach_speed=APPROACH_SPEED, repeat=True)
    path.write_text(dump_settings(trajectory), encoding="utf-8")
