"""The joint space of a made-up arm with two joints."""

import numpy as np

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.policies.joint_space import JointSpace

SPACE = JointSpace(
    arm="two_joints",
    names=("pan", "lift"),
    position_limits=np.array([[-1.0, 1.0], [-0.5, 0.5]]),
    velocity_limits=np.array([2.0, 1.0]),
    period=0.05,
    lifetime=0.15,
    clock=ManualClock(),
)
