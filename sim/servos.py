"""Published figures of the servos: what a truth starts from where nothing better is known of a particular arm.

STS3215 and XL330 are fits to real servos: BAM (Duclusaud et al., ICRA 2025, github.com/Rhoban/bam), model M1, Coulomb
and viscous friction. The XL430-W250 has no published fit: its figures are solved from ROBOTIS' e-Manual.
"""

import math
from dataclasses import dataclass, replace

from robot_mbrl.drivers.arms import TICKS_PER_RAD

DYNAMIXEL_PWM_LIMIT = 885
"""PWM value that is a duty of 1 (e-Manual, PWM limit 36: 0.113 % a unit)."""

DYNAMIXEL_P_GAIN = TICKS_PER_RAD / 128 / DYNAMIXEL_PWM_LIMIT
"""Duty a radian and P unit: the e-Manual divides the P register by 128 and multiplies by the error in ticks."""

DYNAMIXEL_CYCLE = 0.001
"""Period of the position loop [s]. ROBOTIS does not publish it; the unit of `realtime_tick` is taken."""

DYNAMIXEL_I_GAIN = TICKS_PER_RAD / 65536 / DYNAMIXEL_PWM_LIMIT / DYNAMIXEL_CYCLE
"""Duty a rad·s and I unit: the register is divided by 65536 and multiplies the sum of errors over the cycles."""

DYNAMIXEL_D_GAIN = TICKS_PER_RAD / 16 / DYNAMIXEL_PWM_LIMIT * DYNAMIXEL_CYCLE
"""Duty a rad/s and D unit: the register is divided by 16 and multiplies the change of the error a cycle."""


@dataclass(frozen=True, slots=True)
class LoopRegisters:
    """Where a servo keeps the gains of its position loop, and what it holds from the factory.

    Attributes:
        names: of the P, I and D register.
        defaults: factory values in the same order.
        integral_gain: duty that one I unit makes of 1 rad of error in 1 s.
        derivative_gain: duty that one D unit makes of 1 rad/s.
        duty_limit: the register that limits the duty.
        duty_unit: duty of one of its units; its factory value is a duty of 1.
    """

    names: tuple[str, str, str]
    defaults: tuple[int, int, int]
    integral_gain: float
    derivative_gain: float
    duty_limit: str
    duty_unit: float


FEETECH_LOOP = LoopRegisters(
    names=("p_coefficient", "i_coefficient", "d_coefficient"),
    defaults=(32, 0, 32),
    # Feetech publishes no scale for I and D, and BAM's fits do without either: both are taken to have no effect.
    integral_gain=0.0,
    derivative_gain=0.0,
    duty_limit="max_torque_limit",
    duty_unit=0.001,
)


def _dynamixel_loop(p: int, i: int, d: int) -> LoopRegisters:
    names = ("position_p_gain", "position_i_gain", "position_d_gain")
    return LoopRegisters(names, (p, i, d), DYNAMIXEL_I_GAIN, DYNAMIXEL_D_GAIN, "pwm_limit", 1.0 / DYNAMIXEL_PWM_LIMIT)


@dataclass(frozen=True, slots=True)
class ServoFigures:
    """Figures of one kind of servo at `gear_ratio`, at the output shaft; names and units as in `JointTruth`."""

    gear_ratio: float
    torque_constant: float
    resistance: float
    armature: float
    coulomb: float
    viscous: float
    position_gain: float
    thermal_resistance: float
    thermal_capacitance: float
    loop: LoopRegisters

    def scaled_to(self, gear_ratio: float) -> "ServoFigures":
        """The same motor behind another gear.

        Torque and friction torque grow with the ratio, inertia and viscous friction with its square.
        """
        ratio = gear_ratio / self.gear_ratio
        return replace(
            self,
            gear_ratio=gear_ratio,
            torque_constant=self.torque_constant * ratio,
            armature=self.armature * ratio**2,
            coulomb=self.coulomb * ratio,
            viscous=self.viscous * ratio**2,
        )


STS3215 = ServoFigures(
    gear_ratio=345.0,
    torque_constant=1.212,
    resistance=2.68,
    armature=0.0284,
    coulomb=0.052,
    viscous=0.059,
    # BAM, bam/feetech/actuator.py: measured with an oscilloscope.
    position_gain=0.166,
    # Robonine's bench test: holding 1.47 N·m (about 1.8 W in the winding) settles 23 K above ambient in 10 minutes.
    thermal_resistance=12.6,
    thermal_capacitance=20.0,
    loop=FEETECH_LOOP,
)

XL330_M288 = ServoFigures(
    gear_ratio=288.35,
    torque_constant=0.387,
    resistance=4.02,
    armature=0.0018,
    coulomb=0.0128,
    viscous=0.0037,
    position_gain=DYNAMIXEL_P_GAIN,
    # The STS3215's (55 g), capacitance scaled by mass and resistance by surface, mass^(2/3), to 18 g.
    thermal_resistance=26.5,
    thermal_capacitance=6.5,
    loop=_dynamixel_loop(400, 0, 0),
)

XL330_M077 = replace(XL330_M288.scaled_to(77.5), loop=_dynamixel_loop(400, 400, 0))

XL430_W250 = ServoFigures(
    gear_ratio=258.5,
    # e-Manual at 11.1 V: stall 1.4 N·m and 1.3 A, no load 57 rpm = 5.97 rad/s. With Coulomb friction the same share of
    # the stall torque as BAM found in the XL330 (2.5 %):
    #   R = 11.1 V / 1.3 A,  kt = (1.4 + 0.034) N·m / 1.3 A,  viscous = (kt (11.1 - kt 5.97) / R - 0.034) / 5.97.
    # At 12 V these give 1.52 N·m and 61.7 rpm; the e-Manual says 1.5 N·m and 61 rpm.
    torque_constant=1.103,
    resistance=8.54,
    # The XL330's rotor inertia is not the XL430's; the STS3215 has the same size and weight, so its rotor is taken:
    # 0.0284 kg·m² (258.5 / 345)².
    armature=0.0159,
    coulomb=0.034,
    viscous=0.092,
    position_gain=DYNAMIXEL_P_GAIN,
    thermal_resistance=12.6,
    thermal_capacitance=20.0,
    loop=_dynamixel_loop(640, 0, 4000),
)

BACKLASH = math.radians(1.0)
"""Whole gap [rad]: ±0.5° a joint (MuJoCo Menagerie, robotstudio_so101; measured on an STS3215, SO-ARM100 issue 134)."""

CABLE_RESISTANCE = 0.1
"""Supply and cables [Ω]: 1 m of a 22 AWG pair, 53 mΩ/m each way."""

FIGURES: dict[str, ServoFigures] = {
    "sts3215": STS3215,
    "xl330-m288": XL330_M288,
    "xl330-m077": XL330_M077,
    "xl430-w250": XL430_W250,
}
"""By the servo name of an arm's definition, each at its usual gear ratio."""
