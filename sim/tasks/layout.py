"""Where each quantity lies in a task's observation vector."""

from robot_mbrl.contracts.types import FloatArray

PLACES = {"tool": 3, "object": 3, "object_velocity": 3, "goal": 3}
"""Length of each part that is a place or a rate in space; the other parts have one entry a joint."""


class Layout:
    """An observation is the concatenation of its parts, in this order.

    ================= ==== =======================================================================
    part              size
    ================= ==== =======================================================================
    joints            n    joint positions [rad]
    velocities        n    joint velocities [rad/s]
    targets           n    joint targets that the servos hold now [rad]
    tool              3    tool frame's origin, base frame [m]
    object            3    object's centre, base frame [m]; only in tasks that have an object
    object_velocity   3    its rate [m/s]; only in tasks that have an object
    goal              3    where tool or object shall go, base frame [m]
    ================= ==== =======================================================================

    The targets make the state complete: actions change targets, and under gravity joints lag behind them.

    Attributes:
        joints: number of joints, n.
        size: length of an observation.
        slices: place of each part, by name.
    """

    def __init__(self, joints: int, *, has_object: bool) -> None:
        names = ["joints", "velocities", "targets", "tool"]
        names += ["object", "object_velocity"] if has_object else []
        self.joints = joints
        self.slices: dict[str, slice] = {}
        self.size = 0
        for name in [*names, "goal"]:
            length = PLACES.get(name, joints)
            self.slices[name] = slice(self.size, self.size + length)
            self.size += length

    def part(self, observation: FloatArray, name: str) -> FloatArray:
        """View of the part `name` of observations, (..., size) -> (..., length).

        Raises:
            KeyError: the layout has no such part.
        """
        return observation[..., self.slices[name]]
