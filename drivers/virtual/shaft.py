"""The magnetic encoder on a servo's output shaft."""

from dataclasses import dataclass

from robot_mbrl.drivers.arms import TICKS_PER_RAD, JointDefinition


@dataclass(frozen=True, slots=True)
class Shaft:
    """How the servo is mounted: `tick = zero_tick + sign * (position + zero_offset) * 4096 / 2π`.

    Attributes:
        zero_tick: nominal tick at the model's zero.
        sign: +1 or -1, whether ticks rise with the model's angle.
        zero_offset: by how much this very horn is mounted off the drawing [rad].
    """

    zero_tick: int
    sign: int
    zero_offset: float = 0.0

    @classmethod
    def of(cls, joint: JointDefinition, zero_offset: float = 0.0) -> "Shaft":
        """The shaft of a joint of an arm, `zero_offset` [rad] off its nominal zero."""
        return cls(joint.zero_tick, joint.sign, zero_offset)

    def ticks(self, position: float) -> float:
        """Encoder reading at the model's angle `position` [rad], not rounded and not wrapped [ticks]."""
        return self.zero_tick + self.sign * (position + self.zero_offset) * TICKS_PER_RAD
