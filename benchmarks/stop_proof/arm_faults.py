"""Faults of wire, servos, supply and surroundings: all that the emulated arm can be told."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.benchmarks.stop_proof.kinds import Kind, Make
from robot_mbrl.benchmarks.stop_proof.stage import Stage
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import RAD_PER_TICK, ArmDefinition

JOINT: Final = "elbow_flex"
"""That the faults of single servos hit: it carries forearm, wrist and gripper."""

PUSH_DURATION: Final = 0.5
"""Of the push [s]."""

FALLS: Final = "a servo without torque falls, whatever the host does"
TWINS: Final = "one of two servos with the same ID goes where the other is told to, and neither can be addressed alone"


def on_arm(**fault: Any) -> Make:
    """Hands `fault` to the emulated arm's control socket."""

    def make(stage: Stage) -> None:
        stage.control.fault(fault)

    return make


def overheated(arm: ArmDefinition, _before: NDArray[np.void], after: NDArray[np.void]) -> NDArray[np.bool_]:
    """Frames in which a servo has been read to be too hot."""
    hot: NDArray[np.bool_] = after["temperature"][:, : len(arm.joints)] > arm.temperature_limit
    any_hot: NDArray[np.bool_] = np.any(hot, axis=1)
    return any_hot


def beyond_normal_lag(arm: ArmDefinition, before: NDArray[np.void], after: NDArray[np.void]) -> NDArray[np.bool_]:
    """Frames in which a joint is farther from its goal than it ever was before; less is the servo's own lag."""
    n = len(arm.joints)

    def lag(frames: NDArray[np.void]) -> FloatArray:
        behind: FloatArray = np.abs(frames["goal_position"][:, :n] - frames["position"][:, :n])
        return behind

    farther: NDArray[np.bool_] = np.any(lag(after) > lag(before).max(axis=0) + RAD_PER_TICK, axis=1)
    return farther


_WIRE: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "drop": ("no answer arrives any more", {"fault": "drop"}),
    "drop commands": ("no instruction arrives any more", {"fault": "drop", "direction": "to_servo"}),
    "flip": ("three bits of each answer are inverted", {"fault": "flip", "bits": 3}),
    "truncate": ("each answer lacks its last two bytes", {"fault": "truncate", "size": 2}),
    "delay": ("each answer is 20 ms late", {"fault": "delay", "seconds": 0.02}),
    "usb latency": ("the adapter hands bytes over every 16 ms only", {"fault": "usb_latency", "seconds": 0.016}),
    "unplug": ("the USB cable is pulled", {"fault": "unplug"}),
    "unplug and replug": ("the USB cable is pulled for 0.3 s", {"fault": "unplug", "duration": 0.3}),
}

WIRE: Final = (
    *(Kind(name, "wire", what, on_arm(**fault)) for name, (what, fault) in _WIRE.items()),
    Kind("duplicate", "wire", "each answer arrives twice", on_arm(fault="duplicate"), harmless=True),
    Kind("garbage", "wire", "200 random bytes before each answer", on_arm(fault="garbage", size=200), harmless=True),
)

_TORQUE_LOST: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "disconnect": (f"{JOINT} loses data and power", {"fault": "disconnect", "servo": JOINT}),
    "brown-out": ("the supply drops to 2 V for 0.2 s", {"fault": "brown_out", "voltage": 2.0, "duration": 0.2}),
    "power loss": ("the supply is gone", {"fault": "brown_out", "voltage": 0.0}),
}

SERVO: Final = (
    Kind("silent servo", "servo", f"{JOINT} neither hears nor answers", on_arm(fault="silent", servo=JOINT)),
    Kind(
        "duplicate id",
        "servo",
        f"wrist_flex takes the ID of {JOINT}",
        on_arm(fault="duplicate_id", servo="wrist_flex", of=JOINT),
        physics=TWINS,
    ),
    # The servo releases it when its next goal lies behind it, which may be before anybody has read of it.
    Kind(
        "overload",
        "servo",
        f"{JOINT}'s overload protection trips",
        on_arm(fault="overload", servo=JOINT),
        physics=FALLS,
        harmless=True,
    ),
    *(Kind(name, "servo", what, on_arm(**fault), physics=FALLS) for name, (what, fault) in _TORQUE_LOST.items()),
    Kind(
        "overheat",
        "servo",
        f"{JOINT} gets 90 °C hot, which switches its torque off",
        on_arm(fault="overheat", servo=JOINT),
        visible=overheated,
        physics=FALLS,
    ),
)

_SURROUNDINGS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "stuck joint": (f"{JOINT} jams", {"fault": "stuck", "servo": JOINT}),
    "stuck base": ("shoulder_pan jams", {"fault": "stuck", "servo": "shoulder_pan"}),
    "friction": (f"{JOINT} has 30 times its friction", {"fault": "friction", "servo": JOINT, "scale": 30.0}),
}

SURROUNDINGS: Final = (
    *(
        Kind(name, "surroundings", what, on_arm(**fault), visible=beyond_normal_lag)
        for name, (what, fault) in _SURROUNDINGS.items()
    ),
    Kind(
        "payload",
        "surroundings",
        "1.5 kg hang at the tool",
        on_arm(fault="payload", mass=1.5),
        visible=beyond_normal_lag,
        physics="more than the servos can carry: the arm sinks until something holds it",
    ),
    Kind(
        "push",
        "surroundings",
        f"somebody turns the base with 6 N·m for {PUSH_DURATION:g} s",
        on_arm(fault="push", servo="shoulder_pan", torque=6.0, duration=PUSH_DURATION),
        lasts=PUSH_DURATION,
        physics="more than the servo can hold: the arm moves as long as it is pushed, and springs back",
    ),
)
