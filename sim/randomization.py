"""Randomization: a range for every physical parameter that shall vary, and a draw from them."""

import math
from typing import Any, Literal, Self

import numpy as np
from pydantic import model_validator

from robot_mbrl.contracts.config import Settings
from robot_mbrl.sim.parameters import ArmTruth, JointTruth

JOINT_PARAMETERS = tuple(name for name in JointTruth.model_fields if name != "name")
ARM_PARAMETERS = tuple(name for name in ArmTruth.model_fields if name not in ("arm", "joints"))


class Range(Settings):
    """An interval and how a value is drawn from it.

    Attributes:
        low: lower end.
        high: upper end.
        distribution: uniform in the value or in its logarithm.
        applies: `scale` multiplies the given value, `shift` adds to it, `absolute` replaces it.
    """

    low: float
    high: float
    distribution: Literal["uniform", "log_uniform"] = "uniform"
    applies: Literal["scale", "shift", "absolute"] = "scale"

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}: swap them")
        if self.distribution == "log_uniform" and self.low <= 0.0:
            raise ValueError(f"low {self.low} of a log_uniform range must be positive")
        if self.applies == "scale" and self.low < 0.0:
            raise ValueError(f"low {self.low} of a scale must not be negative")
        return self

    def draw(self, value: float, rng: np.random.Generator) -> float:
        """Draw once and apply to `value`."""
        if self.distribution == "log_uniform":
            drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        else:
            drawn = rng.uniform(self.low, self.high)
        if self.applies == "scale":
            return value * drawn
        return value + drawn if self.applies == "shift" else drawn


class Randomization(Settings):
    """Ranges by parameter name.

    Attributes:
        ranges: names of fields of `JointTruth`, drawn for each joint apart, and of `ArmTruth`.
    """

    ranges: dict[str, Range]

    @model_validator(mode="after")
    def _known_parameters(self) -> Self:
        known = (*JOINT_PARAMETERS, *ARM_PARAMETERS)
        for name in self.ranges:
            if name not in known:
                raise ValueError(f"unknown parameter {name!r}: give one of {', '.join(known)}")
        return self

    def draw(self, truth: ArmTruth, rng: np.random.Generator) -> ArmTruth:
        """A new truth around `truth`. The same generator state gives the same truth, whatever the ranges' order.

        Raises:
            ValidationError: a drawn value is physically impossible; narrow its range.
        """
        data = truth.model_dump()
        for joint in data["joints"]:
            self._apply(joint, JOINT_PARAMETERS, rng)
        self._apply(data, ARM_PARAMETERS, rng)
        return ArmTruth.model_validate(data)

    def _apply(self, data: dict[str, Any], names: tuple[str, ...], rng: np.random.Generator) -> None:
        for name in names:
            chosen = self.ranges.get(name)
            if chosen is None:
                continue
            value = data[name]
            if isinstance(value, dict):
                data[name] = {key: chosen.draw(entry, rng) for key, entry in value.items()}
            else:
                data[name] = chosen.draw(value, rng)


def _scale(low: float, high: float) -> Range:
    return Range(low=low, high=high, distribution="log_uniform")


PUBLISHED_RANGES = Randomization(
    ranges={
        # Spread between BAM's fits of one type: XL330 kt 0.303 and 0.387, R 3.37 and 4.02; STS3215 7.4 V and 12 V
        # kt 1.21 and 1.44, R 2.03 and 2.68, armature 0.0284 and 0.0325.
        "torque_constant": _scale(0.88, 1.14),
        "resistance": _scale(0.87, 1.15),
        "armature": _scale(0.87, 1.15),
        # Coulomb 0.052 and 0.196, viscous 0.030 and 0.059 over the STS3215 fits; 0.0128 and 0.0206, 0.0037 and 0.0078
        # over the XL330's.
        "coulomb": _scale(0.5, 2.0),
        "viscous": _scale(0.5, 2.0),
        # BAM's Stribeck fits: excess 0.0056 N·m at 1.95 rad/s (XL330), 0.044 N·m at 0.059 rad/s (STS3250).
        "stribeck_excess": Range(low=0.0, high=0.044, applies="absolute"),
        "stribeck_velocity": Range(low=0.059, high=1.95, distribution="log_uniform", applies="absolute"),
        # 0.5° on the data sheet, about 1° measured on worn servos (SO-ARM100 issue 134): half to one and a half of 1°.
        "backlash": Range(low=0.5, high=1.5),
        # BAM's error_gain_ratio of the 12 V STS3215: 0.975.
        "position_gain": _scale(0.95, 1.05),
        # A horn has 25 teeth, calibration brings the rest below a degree or so.
        "zero_offset": Range(low=-0.035, high=0.035, applies="absolute"),
        # Feetech updates its position loop every 1 ms at the latest; the upper end is five of them.
        "command_delay": Range(low=0.0, high=0.005, applies="absolute"),
        "thermal_resistance": _scale(0.7, 1.4),
        "thermal_capacitance": _scale(0.7, 1.4),
        # 5 % is the usual tolerance of a small supply; printed parts vary with infill.
        "supply_voltage": Range(low=0.95, high=1.05),
        "supply_resistance": Range(low=0.05, high=0.2, applies="absolute"),
        "ambient_temperature": Range(low=18.0, high=30.0, applies="absolute"),
        "link_mass_scale": Range(low=0.9, high=1.1),
        "surface_friction": Range(low=0.3, high=1.0, applies="absolute"),
        "object_mass": _scale(0.5, 2.0),
    }
)
"""The default ranges, with the published figures that they span."""
