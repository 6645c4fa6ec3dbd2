"""Switch the torque off, also on an arm that is not calibrated or not all there."""

from collections.abc import Sequence
from typing import Final

from robot_mbrl.contracts.errors import BusError
from robot_mbrl.drivers.bus import ServoBus
from robot_mbrl.drivers.dialects import Servo

REPEATS: Final = 2
"""Nobody answers a sync write, so one that noise has broken is lost silently."""


def torque_off(bus: ServoBus, servos: Sequence[Servo]) -> None:
    """Let go of all joints, which fall under gravity, and read back that the servos did.

    All servos are told first, whoever may be missing; who let go is looked at afterwards, one servo at a time.

    Raises:
        BusError: servos kept their torque, or could not be asked; all of them are named.
        PortLost: the port went away.
    """
    register = servos[0].register("torque_enable")
    for _ in range(REPEATS):
        bus.sync_write(register.address, {servo.id: register.encode(0) for servo in servos})
    holding: list[str] = []
    unknown: list[str] = []
    for servo in servos:
        try:
            if bus.read_register(servo.id, register):
                holding.append(servo.label)
        except BusError:
            unknown.append(servo.label)
    if holding or unknown:
        parts = {"torque did not go off": holding, "was told to let go and cannot be asked whether it did": unknown}
        found = "; ".join(f"{', '.join(names)}: {text}" for text, names in parts.items() if names)
        raise BusError(f"{found}: switch the arm's power off (the other {_others(servos, holding, unknown)} let go)")


def _others(servos: Sequence[Servo], *troubled: Sequence[str]) -> int:
    return len(servos) - sum(len(names) for names in troubled)
