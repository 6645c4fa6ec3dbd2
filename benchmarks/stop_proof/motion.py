"""What the arm does when a fault hits it: a swing of all joints to and fro, in free space, at full speed."""

from pathlib import Path
from typing import Final

from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.policies.joint_space import SMOOTH_STEP_PEAK
from robot_mbrl.policies.scripted import Trajectory, Waypoint

MIDDLE: Final = (0.0, -0.8, 0.4, 0.0, 0.0, 0.75)
"""Around which the joints swing [rad]: the gripper ahead of the arm and 0.2 m above the table."""
FULL_SPEED: Final = 3.5
"""The peak of the goals of every joint in every leg [rad/s]: the fastest that these servos follow with some margin.

Their limit is 4.9 rad/s, the published speed without load at 7.4 V; under P control a shaft trails its goals and then
overtakes them. Flown in simulated time at 200 Hz with the arms of seeds 0 to 4, and the policy's actions up to a tick
early or late, the fastest shaft of each reaches 4.0 to 4.6 rad/s, the hardest working servo gets 0.78 to 0.91 of its
supply, and the tracking error peaks at 0.07 to 0.10 rad, of the 0.12 rad above which the monitor slows the arm. At 4.0
rad/s the servos are at 0.87 to 1.0, the error is 0.12 rad, and the monitor slows three of the five for acceleration."""
LEG: Final = 0.6
"""From one end of the swing to the other [s]: the goals take 18 rad/s² for it, half of what the joints may."""
REACH: Final = FULL_SPEED * LEG / (2.0 * SMOOTH_STEP_PEAK)
"""By which each joint swings to either side [rad]."""
SWING: Final = (-REACH, -REACH, REACH, REACH, -REACH, -REACH)
"""The first end of the swing, from `MIDDLE` [rad]: the arm folds, so that it comes out of its park pose upwards."""
BRISK: Final = 3.0
"""An arm whose fastest joint is faster than that is in full swing [rad/s]."""
APPROACH_SPEED: Final = 1.0
"""[rad/s]."""
APPROACH: Final = 4.0
"""By then an arm that started parked has swung once to and fro [s]."""


def swing(arm: ArmDefinition) -> Trajectory:
    """The swing, for ever."""
    ends = (
        {joint.name: middle + side * swing for joint, middle, swing in zip(arm.joints, MIDDLE, SWING, strict=True)}
        for side in (1.0, -1.0)
    )
    waypoints = tuple(Waypoint(duration=LEG, position=end) for end in ends)
    return Trajectory(waypoints=waypoints, approach_speed=APPROACH_SPEED, repeat=True)


def write_swing(path: Path, arm: ArmDefinition) -> None:
    """Write the trajectory file of the swing."""
    path.write_text(dump_settings(swing(arm)), encoding="utf-8")
