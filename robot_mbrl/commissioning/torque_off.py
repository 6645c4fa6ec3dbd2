"""Switch the torque off, also on an arm that is not calibrated."""

from collections.abc import Sequence

from robot_mbrl.contracts.errors import BusError
from robot_mbrl.drivers.arm_checks import read_torque
from robot_mbrl.drivers.bus import ServoBus
from robot_mbrl.drivers.dialects import Servo


def torque_off(bus: ServoBus, servos: Sequence[Servo]) -> None:
    """Let go of all joints, which fall under gravity, and read back that the servos did.

    Raises:
        BusError: a servo does not answer, or kept its torque.
    """
    register = servos[0].register("torque_enable")
    bus.sync_write(register.address, {servo.id: register.encode(0) for servo in servos})
    for servo, on in zip(servos, read_torque(bus, servos), strict=True):
        if on:
            raise BusError(f"{servo.label}: torque did not go off: switch the arm's power off")
