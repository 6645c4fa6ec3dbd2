"""Arms as data: which servos, which limits, which map from servo to model."""

from robot_mbrl.drivers.arms.definition import ArmDefinition, JointDefinition, arm_names, load_arm
from robot_mbrl.drivers.arms.joint_map import TICKS_PER_REVOLUTION, JointMap

__all__ = ["TICKS_PER_REVOLUTION", "ArmDefinition", "JointDefinition", "JointMap", "arm_names", "load_arm"]
