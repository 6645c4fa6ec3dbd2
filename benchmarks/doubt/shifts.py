"""What happens to the arm in an episode that is not nominal: the world is no longer the one that the model learned."""

from collections.abc import Callable
from typing import Final

import numpy as np

from robot_mbrl.runtime.lockstep_flight import LockstepFlight
from robot_mbrl.sim.names import backlash_joint

Shift = Callable[[LockstepFlight, np.random.Generator], None]
"""Changes the arm of a flight, at once and for good; the generator draws what is left open, such as which joint."""

_PUSH_TORQUES: Final = (0.8, 1.6)
"""Of a push [N·m]: 3 to 6 N at 0.25 m."""
_PUSH_DURATION: Final = 0.4
_PUSHED_JOINTS: Final = 4
"""The first joints, which carry the arm; the last two turn and open the gripper."""
_STOP_AHEAD: Final = 0.02
"""How far ahead of a moving joint the limit is that gets into its way [rad]."""


def _payload(mass: float) -> Shift:
    return lambda flight, _: flight.plant.attach_payload(mass)


def _friction(scale: float) -> Shift:
    def rub(flight: LockstepFlight, _: np.random.Generator) -> None:
        for joint in range(len(flight.arm.joints)):
            flight.plant.set_friction_scale(joint, scale)

    return rub


def _friction_of_one(scale: float) -> Shift:
    return lambda flight, _: flight.plant.set_friction_scale(_fastest(flight), scale)


def _stick(flight: LockstepFlight, _: np.random.Generator) -> None:
    flight.plant.set_stuck(_fastest(flight), stuck=True)


def _delay(seconds: float) -> Shift:
    def delay(flight: LockstepFlight, _: np.random.Generator) -> None:
        for servo in flight.virtual.servos:
            servo.delay_commands(seconds)

    return delay


def _push(flight: LockstepFlight, random: np.random.Generator) -> None:
    torque = random.uniform(*_PUSH_TORQUES) * random.choice((-1.0, 1.0))
    flight.plant.push(int(random.integers(_PUSHED_JOINTS)), torque, _PUSH_DURATION)


def _backlash(scale: float) -> Shift:
    def loosen(flight: LockstepFlight, _: np.random.Generator) -> None:
        model = flight.plant.model
        for name in flight.arm.joint_names:
            model.jnt_range[model.joint(backlash_joint(name)).id] *= scale

    return loosen


def _limit(flight: LockstepFlight, _: np.random.Generator) -> None:
    """Put a stop right before the joint that moves fastest."""
    plant, joint = flight.plant, _fastest(flight)
    forward = plant.state.velocity[joint] > 0.0
    stop = plant.state.position[joint] + (_STOP_AHEAD if forward else -_STOP_AHEAD)
    plant.model.jnt_range[plant.model.joint(flight.arm.joint_names[joint]).id, int(forward)] = stop


def _fastest(flight: LockstepFlight) -> int:
    return int(np.abs(flight.plant.state.velocity).argmax())


SHIFTS: Final[dict[str, Shift]] = {
    "payload 50 g": _payload(0.05),
    "payload 100 g": _payload(0.1),
    "payload 200 g": _payload(0.2),
    "friction x3": _friction(3.0),
    "friction x3, one joint": _friction_of_one(3.0),
    "stuck joint": _stick,
    "60 ms delay": _delay(0.06),
    "push": _push,
    "backlash x4": _backlash(4.0),
    "limit in the way": _limit,
}
"""By name."""
