"""The check before torque goes on and before a latch is left: may motion start from here?"""

from robot_mbrl.contracts.types import FloatArray

GOAL_TOLERANCE = 0.1
"""Between a held goal and the measured position [rad]: twice the 0.05 rad by which a proportional servo sags."""
POSITION_TOLERANCE = 0.01
"""Beyond a position limit [rad], for an arm that leans on its stop: six encoder ticks."""
REST_VELOCITY = 0.05
"""Below this a joint is at rest [rad/s]."""


def start_pose_problem(
    names: tuple[str, ...],
    position: FloatArray,
    velocity: FloatArray,
    limits: FloatArray,
    held_goal: FloatArray | None = None,
) -> str | None:
    """One line on why motion may not start from here, or None.

    Args:
        names: of the n joints.
        position: (n,) measured [rad].
        velocity: (n,) estimated [rad/s].
        limits: (n, 2) position limits [rad].
        held_goal: (n,) goals that the servos hold [rad] when the torque is on, None when it is off. A goal far from
            where the joint is would be a jump as soon as whatever holds the joint gives way.
    """
    for index, name in enumerate(names):
        measured, speed = float(position[index]), float(velocity[index])
        low, high = limits[index]
        # Written so that NaN fails every comparison.
        if not low - POSITION_TOLERANCE <= measured <= high + POSITION_TOLERANCE:
            return f"{name}: at {measured:.3f} rad, outside {low:.3f}..{high:.3f} rad: move it by hand with torque off"
        if not abs(speed) <= REST_VELOCITY:
            return f"{name}: moving at {speed:.3f} rad/s, limit {REST_VELOCITY} rad/s: wait until the arm is at rest"
        if held_goal is not None and not abs(measured - held_goal[index]) <= GOAL_TOLERANCE:
            distance = abs(measured - float(held_goal[index]))
            return f"{name}: {distance:.3f} rad from its goal, limit {GOAL_TOLERANCE} rad: release the torque, free it"
    return None
