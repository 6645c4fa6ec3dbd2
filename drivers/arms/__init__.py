"""Arms as data: which servos, which limits, which map from servo to model, and what a command must satisfy."""

from robot_mbrl.drivers.arms.commands import BRAKING_TIMESTEP, CommandedPath, check_command
from robot_mbrl.drivers.arms.definition import ArmDefinition, JointDefinition, arm_names, load_arm
from robot_mbrl.drivers.arms.joint_map import RAD_PER_TICK, TICKS_PER_RAD, TICKS_PER_REVOLUTION, JointMap

__all__ = [
    "BRAKING_TIMESTEP",
    "RAD_PER_TICK",
    "TICKS_PER_RAD",
    "TICKS_PER_REVOLUTION",
    "ArmDefinition",
    "CommandedPath",
    "JointDefinition",
    "JointMap",
    "arm_names",
    "check_command",
    "load_arm",
]
