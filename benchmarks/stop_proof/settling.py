"""How long an arm takes to come to rest by itself: what is left of a stop when nobody has to notice anything.

The arm of a run, in the same swing, in simulated time: a stop is asked for, with no check before it and no machine that
is late. What the arm takes from then on is the time of its goals, which brake along their path within the limits of the
joints, and of its servos and gears, which follow them. It differs up to threefold from one moment of the swing to the
next, so that the stop is asked for in many.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from robot_mbrl.benchmarks.doubt.flights import Passing
from robot_mbrl.benchmarks.stop_proof.measures import measure
from robot_mbrl.benchmarks.stop_proof.motion import LEG, MIDDLE, SWING, swing
from robot_mbrl.benchmarks.stop_proof.observation import Observation
from robot_mbrl.benchmarks.stop_proof.stage import ARM, POLICY_RATE, RATE, drawn_truth
from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.frame import Record, Request
from robot_mbrl.contracts.plant import Plant
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.policies.scripted import ScriptedPolicy
from robot_mbrl.runtime.control_loop import Judge
from robot_mbrl.runtime.lockstep_flight import LockstepFlight
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings

MOMENTS: Final = 60
"""Of one swing to and fro, in which a stop is asked for: every 20 ms."""
MOMENTS_WITH_FAULT: Final = 12
"""The same where surroundings have a fault, which matters more than the moment."""
NOTICE: Final = 0.15
"""What a check may take to notice a fault [s]: half of what the whole stop may take."""
WARM_UP: Final = 2.0 * LEG
"""Of swinging before that [s]."""
WATCHED: Final = 2.0
"""An arm that is not at rest so long after [s] counts as at rest then; nothing is excused beyond that."""

Surroundings = Callable[[Plant], None]
"""Makes a fault of what surrounds the arm, on its physics."""


@dataclass(frozen=True, slots=True)
class Settling:
    """From the request, or from the end of what forces the arm, to rest [s].

    Attributes:
        best: at the moment of the swing at which it is shortest.
        median: of all moments.
        worst: at the moment at which it is longest.
    """

    best: float
    median: float
    worst: float


def swinging(seed: int, monitor: Judge) -> tuple[LockstepFlight, ScriptedPolicy]:
    """The arm that `seed` draws under `monitor`, at one end of its swing, and the policy that swings it."""
    arm = load_arm(ARM)
    settings = DeploySettings(robot=TwinSettings(arm=ARM), loop=LoopSettings(rate=RATE, policy_rate=POLICY_RATE))
    flight = LockstepFlight(arm, drawn_truth(arm, seed), np.array(MIDDLE) + np.array(SWING), settings, monitor)
    return flight, ScriptedPolicy(swing(arm), flight.space())


@cache
def settling(seed: int, surroundings: Surroundings | None = None, lasts: float = 0.0) -> Settling:
    """What the arm that `seed` draws takes.

    Args:
        seed: of the arm.
        surroundings: a fault that is made `NOTICE` before the request, if one is.
        lasts: how long that forces the arm [s].

    Raises:
        RobotMbrlError: the arm could not be flown.
    """
    count = MOMENTS if surroundings is None else MOMENTS_WITH_FAULT
    moments = WARM_UP + np.arange(count) * (2.0 * LEG / count)
    times = [time_to_rest(seed, float(moment), surroundings, lasts) for moment in moments]
    return Settling(min(times), float(np.median(times)), max(times))


def time_to_rest(seed: int, moment: float, surroundings: Surroundings | None = None, lasts: float = 0.0) -> float:
    """The same of a stop that is asked for after `moment` of swinging [s]."""
    flight, policy = swinging(seed, Passing())
    fault_ns: list[int] = []
    asked_ns: list[int] = []

    def stop(time: float) -> None:
        if time >= moment - NOTICE and not fault_ns:
            fault_ns.append(flight.wire.now_ns())
            if surroundings is not None:
                surroundings(flight.plant)
        if time >= moment and not asked_ns:
            asked_ns.append(flight.wire.now_ns())
            flight.ask(Request.STOP)

    flight.fly(policy, 2.0 * moment, stop)
    # A servo may stop the arm itself, for what its surroundings do to it.
    start_ns = asked_ns[0] if asked_ns else flight.wire.now_ns()
    play = np.array([joint.backlash for joint in drawn_truth(flight.arm, seed).joints])
    seen = _watch(flight, lasts + WATCHED)
    found = measure(seen, play, start_ns, start_ns, over_ns=fault_ns[0] + to_ns(lasts))
    return WATCHED if found.to_rest is None else min(max(found.to_rest - found.forced, 0.0), WATCHED)


def _watch(flight: LockstepFlight, seconds: float) -> Observation:
    """What is seen of `flight` while it goes on for `seconds` [s]."""
    stamps: list[int] = []
    position: list[FloatArray] = []
    velocity: list[FloatArray] = []
    frames: list[Record] = []
    for _ in range(round(seconds * RATE)):
        stamps.append(flight.wire.now_ns())
        position.append(flight.plant.state.position.copy())
        velocity.append(flight.plant.state.velocity.copy())
        frames.append(flight.loop.tick().copy())
    torque = np.ones((len(stamps), len(flight.arm.joints)), bool)
    return Observation(
        np.array(stamps, np.int64), np.array(position), np.array(velocity), torque, np.concatenate(frames)
    )
