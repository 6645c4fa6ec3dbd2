"""What is done to the arm while it moves, to see what the monitor makes of it."""

from typing import Final

from robot_mbrl.demo.script import Disturbance
from robot_mbrl.drivers.virtual.control_client import ControlClient
from robot_mbrl.drivers.virtual.faults import Payload, Push
from robot_mbrl.drivers.virtual.wire_faults import Drop

PAYLOAD: Final = 0.35
"""Mass that is hung at the tool [kg]."""
PUSHED: Final = "shoulder_pan"
TORQUE: Final = 2.0
"""Of the push [N·m]: 8 N at 0.25 m."""
PUSH_DURATION: Final = 0.5
CUT: Final = 0.3
"""How long no answer of a servo arrives [s]."""


def disturbances(control: ControlClient, payload: float) -> list[Disturbance]:
    """In order: a load, a push, a wire that fails for a moment; `payload` [kg] is what hangs at the tool as it is."""
    return [
        Disturbance(
            f"{1e3 * PAYLOAD:.0f} g are hung at the tool",
            lambda: control.fault(Payload(mass=payload + PAYLOAD)),
            "the load is taken off",
            lambda: control.fault(Payload(mass=payload)),
        ),
        Disturbance(
            f"{PUSHED} is pushed with {TORQUE:g} N·m for {PUSH_DURATION:g} s",
            lambda: control.fault(Push(servo=PUSHED, torque=TORQUE, duration=PUSH_DURATION)),
        ),
        Disturbance(
            f"the servos' answers are lost on the wire for {CUT:g} s",
            lambda: control.fault(Drop(duration=CUT)),
        ),
    ]
