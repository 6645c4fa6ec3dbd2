"""The suite is worth something only if it fails: each robot here breaks one promise, and the law for it says so."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from robot_mbrl.contracts.errors import NotReady
from robot_mbrl.contracts.types import JointCommand, JointState, StopCategory
from tests.conformance import laws
from tests.conformance.harness import Harness
from tests.conformance.laws import Law
from tests.conformance.robots import RAISED, LockstepHarness
from tests.drivers.emulated import EmulatedArm, emulated_arm


class Broken:
    """A robot that does as another one does, but for what a subclass breaks."""

    def __init__(self, emulated: EmulatedArm) -> None:
        self._emulated = emulated
        self._robot = emulated.robot

    def __getattr__(self, name: str) -> Any:
        return getattr(self._robot, name)


class MovesOnConnecting(Broken):
    """Homes itself."""

    def connect(self) -> None:
        self._robot.connect()
        self._robot.set_torque(enabled=True)
        goal = self._robot.read().position
        goal[0] += 0.1
        self._robot.write(JointCommand(goal))


class EnablesTorqueOnConnecting(Broken):
    """Moves nothing, but holds."""

    def connect(self) -> None:
        self._robot.connect()
        self._robot.set_torque(enabled=True)


class ReordersJoints(Broken):
    """Names in another order."""

    @property
    def joint_names(self) -> tuple[str, ...]:
        return tuple(reversed(self._robot.joint_names))


class WorksUnconnected(Broken):
    """Answers a reading that it never took."""

    def read(self) -> JointState:
        zeros = np.zeros(6)
        return JointState(0, zeros, zeros, zeros)


class RepeatsOldReadings(Broken):
    """Answers from a cache."""

    _last: JointState | None = None

    def read(self) -> JointState:
        self._last = self._last or self._robot.read()
        return self._last


class ReadsDegrees(Broken):
    """Another unit."""

    def read(self) -> JointState:
        state = self._robot.read()
        return JointState(state.stamp_ns, np.rad2deg(state.position), state.velocity, state.load)


class ClipsNan(Broken):
    """Lets a NaN pass its clamp, and sends zero."""

    def write(self, command: JointCommand) -> None:
        self._robot.write(JointCommand(np.nan_to_num(command.position, posinf=0.0, neginf=0.0)))


class ClampsToLimits(Broken):
    """Corrects silently what it should refuse."""

    def write(self, command: JointCommand) -> None:
        limits = np.array([joint.position_limits for joint in self._emulated.arm.joints])
        if command.position.shape == (6,) and np.isfinite(command.position).all():
            command = JointCommand(np.clip(command.position, limits[:, 0], limits[:, 1]))
        self._robot.write(command)


class IgnoresCommands(Broken):
    """Takes them and does nothing."""

    def write(self, command: JointCommand) -> None:
        self._robot.write(JointCommand(np.where(np.isfinite(command.position), self._goal(), command.position)))

    def _goal(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        limits = np.array([joint.position_limits for joint in self._emulated.arm.joints])
        return np.clip(self._robot.read().position, limits[:, 0], limits[:, 1])


class ForgetsTheStop(Broken):
    """Its stop is not latched."""

    def stop(self, category: StopCategory = StopCategory.HOLD) -> None:
        self._robot.stop(category)
        self._robot.reset()


class DropsOnStop(Broken):
    """Torque off whatever was asked."""

    def stop(self, category: StopCategory = StopCategory.HOLD) -> None:
        self._robot.stop(StopCategory.TORQUE_OFF if category == StopCategory.HOLD else category)


class LetsGoOnTheWay(Broken):
    """Brakes, and lets go of joints that still trail their goals."""

    def stop(self, category: StopCategory = StopCategory.HOLD) -> None:
        self._robot.stop(StopCategory.HOLD)
        if category != StopCategory.HOLD:
            self._robot.stop(StopCategory.TORQUE_OFF)


class HoldsAlways(Broken):
    """Never lets go."""

    def stop(self, category: StopCategory = StopCategory.HOLD) -> None:
        del category
        self._robot.stop(StopCategory.HOLD)


class OnlySaysThatItLetsGo(Broken):
    """Holds on, and refuses commands as an arm without torque would."""

    _limp = False

    @property
    def has_torque(self) -> bool:
        return not self._limp and self._robot.has_torque

    def stop(self, category: StopCategory = StopCategory.HOLD) -> None:
        self._limp = category != StopCategory.HOLD
        self._robot.stop(StopCategory.HOLD)

    def set_torque(self, *, enabled: bool) -> None:
        self._robot.set_torque(enabled=enabled)
        self._limp = not enabled

    def write(self, command: JointCommand) -> None:
        if self._limp:
            raise NotReady("no torque")
        self._robot.write(command)


class ForgetsTheStopOnConnecting(Broken):
    """Starts afresh, as if nothing had happened."""

    def connect(self) -> None:
        self._robot.connect()
        self._robot.reset()


class DropsOnClosing(Broken):
    """Torque off in a `finally`."""

    def close(self) -> None:
        if self._emulated.torque()[0]:
            self._robot.set_torque(enabled=False)
        self._robot.close()


CASES: list[tuple[Callable[[EmulatedArm], Broken], Law]] = [
    (ReordersJoints, laws.joints_are_named_as_in_the_definition),
    (WorksUnconnected, laws.nothing_works_before_connecting),
    (MovesOnConnecting, laws.connecting_moves_nothing_and_gives_no_torque),
    (EnablesTorqueOnConnecting, laws.connecting_moves_nothing_and_gives_no_torque),
    (RepeatsOldReadings, laws.a_reading_is_whole_fresh_and_true),
    (ReadsDegrees, laws.a_reading_is_whole_fresh_and_true),
    (IgnoresCommands, laws.a_command_is_followed),
    (ClipsNan, laws.a_command_that_is_not_finite_reaches_no_servo),
    (ClampsToLimits, laws.a_command_outside_the_limits_reaches_no_servo),
    (ForgetsTheStop, laws.stopping_holds_and_is_latched),
    (OnlySaysThatItLetsGo, laws.a_stop_that_lets_go_takes_the_torque),
    (ForgetsTheStopOnConnecting, laws.connecting_again_keeps_a_stop),
    (LetsGoOnTheWay, laws.a_ramp_lets_go_of_joints_that_rest),
    (HoldsAlways, laws.a_stop_that_lets_go_takes_the_torque),
    (ForgetsTheStop, laws.torque_cannot_be_switched_on_while_stopped),
]


@pytest.mark.parametrize(("robot", "law"), CASES, ids=lambda thing: str(thing.__name__))
def test_a_broken_robot_is_found_out(robot: Callable[[EmulatedArm], Broken], law: Law) -> None:
    harness = broken_harness(robot, raised=False)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        law(harness)


@pytest.mark.parametrize(
    ("robot", "law"),
    [
        (DropsOnStop, laws.stopping_holds_and_is_latched),
        (DropsOnClosing, laws.closing_leaves_the_arm_as_it_is),
    ],
    ids=lambda thing: str(thing.__name__),
)
def test_an_arm_that_is_let_fall_is_found_out(robot: Callable[[EmulatedArm], Broken], law: Law) -> None:
    """The arm stretches out first: one that is folded on its stops falls nowhere."""
    harness = broken_harness(robot, raised=True)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        law(harness)


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: str(law.__name__))
def test_the_same_wrapper_around_a_whole_robot_passes(law: Law) -> None:
    """So it is the break that is found out, not the wrapper."""
    law(broken_harness(Broken, raised=False))


def broken_harness(robot: Callable[[EmulatedArm], Broken], *, raised: bool) -> Harness:
    emulated = emulated_arm("so101_follower", RAISED if raised else None)
    harness = LockstepHarness(emulated)
    harness.robot = robot(emulated)
    return harness
