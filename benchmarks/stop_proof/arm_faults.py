"""Faults of wire, servos, supply and surroundings: all that the emulated arm can be told."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from robot_mbrl.benchmarks.stop_proof.criteria import Violation
from robot_mbrl.benchmarks.stop_proof.kinds import Kind, Make
from robot_mbrl.benchmarks.stop_proof.stage import ARM, Stage
from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.drivers.arms import RAD_PER_TICK, ArmDefinition, load_arm

JOINT: Final = "elbow_flex"
"""That the faults of single servos hit: it carries forearm, wrist and gripper."""

BASE: Final = "shoulder_pan"
FRICTION: Final = 30.0
PUSH: Final = 6.0
"""[N·m]."""
PUSH_DURATION: Final = 0.5
"""Of the push [s]."""
_JOINTS: Final = load_arm(ARM).joint_names

FALLS: Final = "a servo without torque falls, whatever the host does"
WEAK: Final = "with the fifth of its torque that an overload leaves a servo it neither brakes its link nor holds it"
TWINS: Final = "one of two servos with the same ID goes where the other is told to, and neither can be addressed alone"
SINKS: Final = "more than the servos can carry: the arm sinks until something holds it"
GIVES_UP: Final = "after 2 s of such a load servos keep a fifth of their torque, their protection, and the arm sinks on"
PUSHED: Final = "more than the servo can hold: it is turned away from its goal, and then has to come back"
RESTARTS: Final = "a servo that restarts has its torque off"
SWITCHES_OFF: Final = "a servo that gets too hot switches its torque off"


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
    """Frames in which a joint is farther from its goals than it ever was before; less is the servo's own lag.

    Farther from its goal shows a joint that stands still at once where it was fast; farther from all the goals of the
    last `tracking_lag`, as the monitor sees it, also shows one that was slow.
    """
    frames = np.concatenate((before, after))
    goals, positions = (frames[name][:, : len(arm.joints)] for name in ("goal_position", "position"))
    stamps, lag_ns = frames["wake_ns"], to_ns(arm.safety.kinematics.tracking_lag)
    spans = [goals[start : end + 1] for end, start in enumerate(np.searchsorted(stamps, stamps - lag_ns).tolist())]
    low, high = (np.array([extreme(span, axis=0) for span in spans]) for extreme in (np.min, np.max))
    to_goal = np.abs(goals - positions)
    to_span = np.maximum(0.0, np.maximum(low - positions, positions - high))
    # In the first moments the goals of before are not known.
    known = stamps[: len(before)] - stamps[0] >= lag_ns
    farther: NDArray[np.bool_] = np.zeros(len(after), bool)
    for away, counts in ((to_goal, np.ones_like(known)), (to_span, known)):
        normal = away[: len(before)].max(axis=0, where=counts[:, np.newaxis], initial=0.0)
        farther |= np.any(away[len(before) :] > normal + RAD_PER_TICK, axis=1)
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

SERVO: Final = (
    Kind("silent servo", "servo", f"{JOINT} neither hears nor answers", on_arm(fault="silent", servo=JOINT)),
    Kind(
        "duplicate id",
        "servo",
        f"wrist_flex takes the ID of {JOINT}",
        on_arm(fault="duplicate_id", servo="wrist_flex", of=JOINT),
        excuses={Violation.LATE: TWINS},
    ),
    # The servo releases it when its next goal lies behind it, which may be before anybody has read of it.
    Kind(
        "overload",
        "servo",
        f"{JOINT}'s overload protection trips",
        on_arm(fault="overload", servo=JOINT),
        excuses={Violation.LATE: WEAK},
        harmless=True,
    ),
    Kind(
        "disconnect",
        "servo",
        f"{JOINT} loses data and power",
        on_arm(fault="disconnect", servo=JOINT),
        excuses={Violation.LATE: FALLS},
    ),
    Kind(
        "brown-out",
        "servo",
        "the supply drops to 2 V for 0.2 s",
        on_arm(fault="brown_out", voltage=2.0, duration=0.2),
        excuses={Violation.LATE: FALLS, Violation.TORQUE: RESTARTS},
    ),
    Kind(
        "power loss",
        "servo",
        "the supply is gone",
        on_arm(fault="brown_out", voltage=0.0),
        excuses={Violation.LATE: FALLS},
    ),
    Kind(
        "overheat",
        "servo",
        f"{JOINT} gets 90 °C hot, which switches its torque off",
        on_arm(fault="overheat", servo=JOINT),
        visible=overheated,
        excuses={Violation.LATE: FALLS, Violation.TORQUE: SWITCHES_OFF},
    ),
)


def jam(name: str, joint: str) -> Kind:
    """The kind `name`: `joint` jams where it is."""
    return Kind(
        name,
        "surroundings",
        f"{joint} jams",
        on_arm(fault="stuck", servo=joint),
        surroundings=lambda plant: plant.set_stuck(_JOINTS.index(joint), stuck=True),
        visible=beyond_normal_lag,
    )


SURROUNDINGS: Final = (
    jam("stuck joint", JOINT),
    jam("stuck base", BASE),
    Kind(
        "friction",
        "surroundings",
        f"{JOINT} has {FRICTION:g} times its friction",
        on_arm(fault="friction", servo=JOINT, scale=FRICTION),
        surroundings=lambda plant: plant.set_friction_scale(_JOINTS.index(JOINT), FRICTION),
        visible=beyond_normal_lag,
    ),
    Kind(
        "payload",
        "surroundings",
        "1.5 kg hang at the tool",
        on_arm(fault="payload", mass=1.5),
        visible=beyond_normal_lag,
        excuses={Violation.LATE: SINKS, Violation.MOVED: GIVES_UP},
    ),
    Kind(
        "push",
        "surroundings",
        f"somebody turns the base with {PUSH:g} N·m for {PUSH_DURATION:g} s",
        on_arm(fault="push", servo=BASE, torque=PUSH, duration=PUSH_DURATION),
        surroundings=lambda plant: plant.push(_JOINTS.index(BASE), PUSH, PUSH_DURATION),
        lasts=PUSH_DURATION,
        force=PUSHED,
    ),
)
