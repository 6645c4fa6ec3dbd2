"""What a policy that commands joints has to know of its arm, and what it is shown of it.

An observation holds float64 arrays, n joints in the order of the arm's definition:

    time        (1,) seconds of the episode; it stands still while the arm is held, and runs slower while it is slowed
    position    (n,) measured [rad]
    velocity    (n,) estimated [rad/s]
    commanded   (n,) goals that were last sent to the servos [rad]: where a motion has to begin, since under gravity
                the measured angles are a little below them
    goal        (3,) where the task's tool or object shall come to, in the arm's base frame [m]; only where the
                deployment gives one
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from robot_mbrl.contracts.clock import Clock, to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import Action, FloatArray

OBSERVED: Final = ("time", "position", "velocity", "commanded")
"""What every deployment observes."""


@dataclass(frozen=True, slots=True)
class JointSpace:
    """The joints that a policy commands, and how long its actions are good for.

    Attributes:
        arm: kinematic model of the arm, such as `so101`.
        names: of the n joints.
        position_limits: (n, 2) lowest and highest angle [rad].
        velocity_limits: (n,) [rad/s].
        period: between two actions [s].
        lifetime: from the making of an action to its expiry [s].
        clock: what the expiry is stamped with.
        observed: what observations hold.
    """

    arm: str
    names: tuple[str, ...]
    position_limits: FloatArray
    velocity_limits: FloatArray
    period: float
    lifetime: float
    clock: Clock
    observed: tuple[str, ...] = OBSERVED

    def index(self, joint: str, source: str) -> int:
        """Where a joint stands in arrays.

        Raises:
            ConfigError: there is no such joint; `source` names what asked for it.
        """
        if joint not in self.names:
            raise ConfigError(f"{source}: no joint {joint!r} on this arm: give one of {', '.join(self.names)}")
        return self.names.index(joint)

    def action(self, position: FloatArray, disagreement: float = float("nan")) -> Action:
        """An action made now, with goals `position` (n,) [rad]."""
        return Action(position, disagreement, self.clock.now_ns() + to_ns(self.lifetime))

    def inside(self, position: FloatArray) -> FloatArray:
        """`position` (n,) [rad], moved to the nearest angles that the limits allow."""
        return np.clip(position, self.position_limits[:, 0], self.position_limits[:, 1])


def smooth_step(share: float) -> float:
    """`10 s³ - 15 s⁴ + 6 s⁵`, from 0 to 1 for s in 0..1: no step in velocity or acceleration at either end."""
    s = min(max(share, 0.0), 1.0)
    return s * s * s * (10.0 + s * (6.0 * s - 15.0))


SMOOTH_STEP_PEAK = 1.875
"""Largest slope of `smooth_step`, at s = 1/2: `30 s² (1 - s)²` = 30/16."""
