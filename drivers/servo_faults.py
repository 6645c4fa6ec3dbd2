"""Hardware errors of a servo as named errors with the servo's name, the value and the limit."""

from robot_mbrl.contracts.errors import (
    ServoEncoderFault,
    ServoFault,
    ServoOvercurrent,
    ServoOverheat,
    ServoOverload,
    ServoShock,
    ServoUndervoltage,
)
from robot_mbrl.contracts.types import HardwareError
from robot_mbrl.drivers.arms import ArmDefinition, JointDefinition


def servo_fault(
    arm: ArmDefinition, joint: JointDefinition, error: HardwareError, *, voltage: float, temperature: float, load: float
) -> ServoFault:
    """The exception for `error`, the most dangerous flag first.

    Args:
        arm: for the temperature limit.
        joint: whose servo it is.
        error: flags as the servo reports them, at least one.
        voltage: last supply voltage [V].
        temperature: last temperature [°C].
        load: last load, -1..1.
    """
    label = f"{joint.name} (ID {joint.id})"
    low, high = joint.voltage_limits
    if error & HardwareError.OVERHEAT:
        return ServoOverheat(
            f"{label}: overheat, {temperature:.0f} °C, limit {arm.temperature_limit:.0f} °C: let it cool and lighten "
            "its load"
        )
    if error & HardwareError.OVERLOAD:
        return ServoOverload(
            f"{label}: overload, load {load:+.0%} of its maximum for longer than it may: free the joint, then switch "
            "the torque off and on (Dynamixel: reboot the servo)"
        )
    if error & HardwareError.OVERCURRENT:
        return ServoOvercurrent(
            f"{label}: overcurrent, load {load:+.0%}: free the joint, then switch the torque off and on"
        )
    if error & HardwareError.VOLTAGE:
        return ServoUndervoltage(
            f"{label}: supply voltage {voltage:.1f} V is outside {low:.1f}..{high:.1f} V: check the power supply"
        )
    if error & HardwareError.ENCODER:
        return ServoEncoderFault(f"{label}: position sensor fault (flags {int(error):#x}): replace the servo")
    return ServoShock(f"{label}: electrical fault of the motor driver (flags {int(error):#x}): check power and wiring")
