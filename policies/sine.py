"""A slow sine around the pose that the arm starts in: the first thing to run on an arm that was just built."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from pydantic import Field

from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import Action, FloatArray
from robot_mbrl.policies.joint_space import SMOOTH_STEP_PEAK, JointSpace, smooth_step

HIGHEST_AMPLITUDE: Final = 0.6
"""[rad]; what is swept around an unknown pose stays small."""
HIGHEST_FREQUENCY: Final = 1.0
"""[Hz]."""


class SineSettings(Settings):
    """Which joints swing, how far and how fast.

    Attributes:
        joints: by name; none given takes the first joint, which carries no weight on the arms that ship.
        amplitude: to either side [rad].
        frequency: [Hz].
    """

    joints: tuple[str, ...] = ()
    amplitude: float = Field(default=0.2, gt=0.0, le=HIGHEST_AMPLITUDE)
    frequency: float = Field(default=0.2, gt=0.0, le=HIGHEST_FREQUENCY)


class SinePolicy:
    """`q(t) = q0 + s(t/T) (c - q0 + A sin(2π t / T))` on the chosen joints, all others hold `q0`.

    `q0` is the commanded pose at the first step, `T` the period, `s` the smooth step, so that the motion begins at
    rest, and `c` is `q0` moved inwards where the swing would pass a limit.
    """

    def __init__(self, settings: SineSettings, space: JointSpace) -> None:
        """Check the settings against the arm.

        Raises:
            ConfigError: no such joint, a swing wider than the joint's range, or faster than it may turn.
        """
        self._space = space
        self._period = 1.0 / settings.frequency
        self._amplitude = np.zeros(len(space.names))
        for name in settings.joints or space.names[:1]:
            self._amplitude[space.index(name, "sine")] = settings.amplitude
        self._check(settings)
        self._start: FloatArray | None = None

    def _check(self, settings: SineSettings) -> None:
        # The swing itself, and swinging in over the first period to a centre that is at most an amplitude away.
        peak = (2.0 * math.pi + 2.0 * SMOOTH_STEP_PEAK) * settings.frequency * settings.amplitude
        for name, amplitude, (low, high), fastest in zip(
            self._space.names, self._amplitude, self._space.position_limits, self._space.velocity_limits, strict=True
        ):
            if 2.0 * amplitude > high - low:
                raise ConfigError(
                    f"sine: {name} swings {2.0 * amplitude:.3f} rad, its range is {high - low:.3f} rad: give a smaller "
                    "amplitude"
                )
            if amplitude > 0.0 and peak > fastest:
                raise ConfigError(
                    f"sine: {name} may reach {peak:.3f} rad/s, its limit is {fastest:.3f} rad/s: give a smaller "
                    "amplitude or frequency"
                )

    def reset(self) -> None:
        """Begin again, around the pose of the next step."""
        self._start = None

    def act(self, observation: Mapping[str, FloatArray]) -> Action:
        """The swing at `observation["time"]`; see `joint_space` for what is in an observation."""
        if self._start is None:
            self._start = self._space.inside(observation["commanded"])
        share = float(observation["time"][0]) / self._period
        low = self._space.position_limits[:, 0] + self._amplitude
        high = self._space.position_limits[:, 1] - self._amplitude
        centre = np.where(self._amplitude > 0.0, np.clip(self._start, low, high), self._start)
        swing = centre - self._start + self._amplitude * math.sin(2.0 * math.pi * share)
        return self._space.action(self._start + smooth_step(share) * swing)
