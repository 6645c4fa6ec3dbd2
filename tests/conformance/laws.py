"""The laws that every `Robot` obeys. Each takes a fresh harness and raises AssertionError when it is broken.

Run them on a driver of your own with `pytest tests/conformance --harness your_package.module:YourHarness`.
"""

from collections.abc import Callable

import numpy as np
import pytest

from robot_mbrl.contracts.errors import LimitViolation, NonFiniteCommand, NotReady
from robot_mbrl.contracts.types import FloatArray, JointCommand, StopCategory
from robot_mbrl.drivers.arms import RAD_PER_TICK
from tests.conformance.harness import Harness

TICK = RAD_PER_TICK * 1.001
"""One encoder tick [rad], and rounding."""
PERIOD = 0.01
"""Between commands [s]."""
MOVING_JOINT = 0
"""The joint that motions are tried on: the first turns about the vertical, so gravity has no say in the result."""
STEP = 0.2
"""How far it is moved [rad]."""
RAISING_SPEED = 1.0
"""How fast the arm is raised [rad/s]."""
FALL = 0.1
"""A raised arm that is let go turns some joint by more than this [rad] in `FALL_TIME` [s]."""
FALL_TIME = 1.0

Law = Callable[[Harness], None]


def follow(harness: Harness, goals: FloatArray) -> None:
    """Command `goals` (steps, n) one a period, reading in between as a control loop does."""
    for goal in goals:
        harness.robot.read()
        harness.robot.write(JointCommand(goal))
        harness.wait(PERIOD)


def path_to(start: FloatArray, offset: float, speed: float) -> FloatArray:
    """Goals from `start` that turn the moving joint by `offset` [rad] at `speed` [rad/s]."""
    steps = max(1, round(abs(offset) / (speed * PERIOD)))
    goals = np.repeat(start[None], steps, axis=0)
    goals[:, MOVING_JOINT] += np.linspace(0.0, offset, steps + 1)[1:]
    return goals


def ready(harness: Harness) -> FloatArray:
    """Connect, switch the torque on, and return the measured position as a goal within the limits."""
    harness.robot.connect()
    harness.robot.set_torque(enabled=True)
    return present_goal(harness)


def present_goal(harness: Harness) -> FloatArray:
    """The measured position as a goal within the limits."""
    limits = np.array([joint.position_limits for joint in harness.arm.joints])
    return np.clip(harness.robot.read().position, limits[:, 0], limits[:, 1])


def raise_arm(harness: Harness, pose: FloatArray) -> None:
    """Lead an arm that has torque from where it is to `pose` (n,) [rad]."""
    start = present_goal(harness)
    steps = max(1, round(np.abs(pose - start).max() / (RAISING_SPEED * PERIOD)))
    follow(harness, start + np.linspace(0.0, 1.0, steps + 1)[1:, None] * (pose - start))
    harness.wait(0.3)


def settle(harness: Harness) -> FloatArray:
    """Wait until no joint moves by a tenth of a tick in 0.3 s, and return where they are; gives up after 10 s."""
    before = harness.true_position()
    for _ in range(33):
        harness.wait(0.3)
        after = harness.true_position()
        if np.abs(after - before).max() <= TICK / 10:
            return after
        before = after
    raise AssertionError(
        f"the arm does not come to rest: it still moves by {np.abs(after - before).max()} rad in 0.3 s"
    )


def assert_still(harness: Harness, before: FloatArray, seconds: float) -> None:
    """Nothing moves by more than a tick in `seconds` [s]."""
    harness.wait(seconds)
    assert np.abs(harness.true_position() - before).max() <= TICK


def joints_are_named_as_in_the_definition(harness: Harness) -> None:
    """Names, count and order."""
    assert harness.robot.joint_names == harness.arm.joint_names


def nothing_works_before_connecting(harness: Harness) -> None:
    """Every use raises NotReady."""
    robot = harness.robot
    uses: list[Callable[[], object]] = [
        robot.read,
        lambda: robot.write(JointCommand(np.zeros(len(harness.arm.joints)))),
        lambda: robot.set_torque(enabled=True),
        robot.stop,
        robot.reset,
    ]
    for use in uses:
        with pytest.raises(NotReady):
            use()


def connecting_moves_nothing_and_gives_no_torque(harness: Harness) -> None:
    """To one tick, in the half second around it, and commands are still refused."""
    before = harness.true_position()
    harness.robot.connect()
    assert_still(harness, before, 0.5)
    with pytest.raises(NotReady):
        harness.robot.write(JointCommand(before))


def switching_torque_on_moves_nothing(harness: Harness) -> None:
    """An arm at rest stays where it is, to one tick."""
    harness.robot.connect()
    before = harness.true_position()
    harness.robot.set_torque(enabled=True)
    assert_still(harness, before, 0.5)


def torque_and_goals_are_told(harness: Harness) -> None:
    """What was switched and what was written, to the last bit; the copy is the reader's own."""
    harness.robot.connect()
    torque = [harness.robot.has_torque]
    start = ready(harness)
    torque.append(harness.robot.has_torque)
    goal = path_to(start, STEP, 1.0)[0]
    harness.robot.write(JointCommand(goal))
    told = harness.robot.goal_position
    assert np.array_equal(told, goal)
    told += 1.0
    assert np.array_equal(harness.robot.goal_position, goal)
    harness.robot.stop(StopCategory.TORQUE_OFF)
    assert [*torque, harness.robot.has_torque] == [False, True, False]


def a_reading_is_whole_fresh_and_true(harness: Harness) -> None:
    """Shapes, finite numbers, rising time stamps, positions within a tick of the truth at rest."""
    harness.robot.connect()
    stamps: list[int] = []
    for _ in range(5):
        state = harness.robot.read()
        for values in (state.position, state.velocity, state.load):
            assert values.shape == (len(harness.arm.joints),)
            assert values.dtype == np.float64
            assert np.isfinite(values).all()
        assert np.abs(state.position - harness.true_position()).max() <= TICK
        assert np.abs(state.load).max() <= 1.0
        stamps.append(state.stamp_ns)
        harness.wait(PERIOD)
    assert np.diff(stamps).min() > 0


def a_reading_belongs_to_the_reader(harness: Harness) -> None:
    """A later reading does not change an earlier one."""
    start = ready(harness)
    first = harness.robot.read()
    kept = first.position.copy()
    follow(harness, path_to(start, STEP, 1.0))
    assert (first.position == kept).all()
    assert abs(harness.robot.read().position[MOVING_JOINT] - kept[MOVING_JOINT]) > STEP / 2


def a_command_is_followed(harness: Harness) -> None:
    """The joint ends within 2 degrees of its goal, the truth says so, and the velocity had the right sign."""
    start = ready(harness)
    goals = path_to(start, STEP, 0.5)
    follow(harness, goals[: len(goals) // 2])
    assert harness.robot.read().velocity[MOVING_JOINT] > 0.0
    follow(harness, goals[len(goals) // 2 :])
    harness.wait(0.5)
    assert abs(harness.true_position()[MOVING_JOINT] - goals[-1, MOVING_JOINT]) < np.deg2rad(2.0)


def a_command_that_is_not_finite_reaches_no_servo(harness: Harness) -> None:
    """NaN and both infinities are refused at every joint, and nothing moves."""
    start = ready(harness)
    harness.robot.write(JointCommand(start))
    before = settle(harness)
    for bad in (np.nan, np.inf, -np.inf):
        for index in range(len(start)):
            goal = start.copy()
            goal[index] = bad
            with pytest.raises(NonFiniteCommand):
                harness.robot.write(JointCommand(goal))
    assert_still(harness, before, 0.2)


def a_command_outside_the_limits_reaches_no_servo(harness: Harness) -> None:
    """Beyond either limit of any joint, or of a wrong shape: refused, and nothing moves."""
    start = ready(harness)
    harness.robot.write(JointCommand(start))
    before = settle(harness)
    for index, joint in enumerate(harness.arm.joints):
        for bad in (joint.position_limits[0] - 0.01, joint.position_limits[1] + 0.01):
            goal = start.copy()
            goal[index] = bad
            with pytest.raises(LimitViolation):
                harness.robot.write(JointCommand(goal))
    with pytest.raises(LimitViolation):
        harness.robot.write(JointCommand(start[:-1]))
    assert_still(harness, before, 0.2)


def stopping_holds_and_is_latched(harness: Harness) -> None:
    """From a motion: at rest soon after, within the braking distance; refused until reset; then free again."""
    start = ready(harness)
    speed = 1.0
    follow(harness, path_to(start, STEP, speed))
    harness.robot.stop()
    held = settle(harness)
    joint = harness.arm.joints[MOVING_JOINT]
    braking = speed / 2 * (speed / joint.acceleration_limit + joint.acceleration_limit / joint.jerk_limit)
    assert held[MOVING_JOINT] - start[MOVING_JOINT] < STEP + braking + np.deg2rad(2.0)
    assert_still(harness, held, 0.3)
    with pytest.raises(NotReady):
        harness.robot.write(JointCommand(start))
    harness.robot.stop()
    assert_still(harness, held, 0.2)
    harness.robot.reset()
    assert_still(harness, held, 0.2)
    harness.robot.write(JointCommand(present_goal(harness)))


def a_stop_that_lets_go_takes_the_torque(harness: Harness) -> None:
    """After categories 0 and 1 the arm falls, where it can, and commands need reset and torque again."""
    start = ready(harness)
    for category in (StopCategory.TORQUE_OFF, StopCategory.RAMP_OFF):
        if harness.raised is not None:
            raise_arm(harness, harness.raised)
        before = harness.true_position()
        harness.robot.stop(category)
        with pytest.raises(NotReady):
            harness.robot.write(JointCommand(start))
        harness.robot.reset()
        with pytest.raises(NotReady):
            harness.robot.write(JointCommand(start))
        if harness.raised is not None:
            harness.wait(FALL_TIME)
            assert np.abs(harness.true_position() - before).max() > FALL
        harness.robot.set_torque(enabled=True)


def a_ramp_lets_go_of_joints_that_rest(harness: Harness) -> None:
    """From full motion: when category 1 has let go, what gravity leaves alone coasts nowhere."""
    start = ready(harness)
    speed = 0.7 * harness.arm.joints[MOVING_JOINT].velocity_limit
    follow(harness, path_to(start, 2.0 * STEP, speed))
    harness.robot.stop(StopCategory.RAMP_OFF)
    let_go = harness.true_position()[MOVING_JOINT]
    harness.wait(0.5)
    assert abs(harness.true_position()[MOVING_JOINT] - let_go) < np.deg2rad(2.0)


def connecting_again_keeps_a_stop(harness: Harness) -> None:
    """Neither a held nor a limp stop is left by connecting once more: only a reset does that."""
    start = ready(harness)
    for category in (StopCategory.HOLD, StopCategory.TORQUE_OFF):
        harness.robot.stop(category)
        harness.robot.connect()
        with pytest.raises(NotReady):
            harness.robot.write(JointCommand(start))
        with pytest.raises(NotReady):
            harness.robot.set_torque(enabled=True)
        harness.robot.reset()
        harness.robot.set_torque(enabled=True)
        harness.robot.write(JointCommand(present_goal(harness)))


def torque_cannot_be_switched_on_while_stopped(harness: Harness) -> None:
    """Not even by asking for it: a stop is latched until a person resets it."""
    ready(harness)
    harness.robot.stop(StopCategory.TORQUE_OFF)
    with pytest.raises(NotReady):
        harness.robot.set_torque(enabled=True)
    harness.robot.reset()
    harness.robot.set_torque(enabled=True)


def closing_leaves_the_arm_as_it_is(harness: Harness) -> None:
    """Torque and goals stay, a second close does nothing, and a closed robot is not ready."""
    start = ready(harness)
    follow(harness, path_to(start, STEP, 1.0))
    before = settle(harness)
    harness.robot.close()
    harness.robot.close()
    assert_still(harness, before, 0.1)
    with pytest.raises(NotReady):
        harness.robot.read()


def reconnecting_to_an_arm_that_holds_does_not_let_it_dip(harness: Harness) -> None:
    """Goals that are held stay: a goal replaced by the present position is a dip under gravity.

    An arm that stopped by itself meanwhile, because its host fell silent, asks for a reset first.
    """
    start = ready(harness)
    follow(harness, path_to(start, STEP, 1.0))
    before = settle(harness)
    harness.robot.close()
    robot = harness.another()
    robot.connect()
    assert_still(harness, before, 0.5)
    robot.reset()
    assert_still(harness, before, 0.1)
    limits = np.array([joint.position_limits for joint in harness.arm.joints])
    robot.write(JointCommand(np.clip(robot.read().position, limits[:, 0], limits[:, 1])))
    robot.close()


def health_is_known_after_a_few_cycles(harness: Harness) -> None:
    """Temperature and voltage of every joint are plausible, and nothing is amiss."""
    harness.robot.connect()
    for _ in range(2 * len(harness.arm.joints)):
        harness.robot.read()
        harness.wait(PERIOD)
    health = harness.robot.health()
    assert (health.stamp_ns >= 0).all()
    for joint, voltage in zip(harness.arm.joints, health.voltage, strict=True):
        assert joint.voltage_limits[0] <= voltage <= joint.voltage_limits[1]
    assert (health.temperature > 0.0).all()
    assert (health.temperature < harness.arm.temperature_limit).all()
    assert all(int(error) == 0 for error in health.hardware_error)


LAWS: tuple[Law, ...] = (
    joints_are_named_as_in_the_definition,
    nothing_works_before_connecting,
    connecting_moves_nothing_and_gives_no_torque,
    switching_torque_on_moves_nothing,
    torque_and_goals_are_told,
    a_reading_is_whole_fresh_and_true,
    a_reading_belongs_to_the_reader,
    a_command_is_followed,
    a_command_that_is_not_finite_reaches_no_servo,
    a_command_outside_the_limits_reaches_no_servo,
    stopping_holds_and_is_latched,
    a_stop_that_lets_go_takes_the_torque,
    a_ramp_lets_go_of_joints_that_rest,
    torque_cannot_be_switched_on_while_stopped,
    connecting_again_keeps_a_stop,
    closing_leaves_the_arm_as_it_is,
    reconnecting_to_an_arm_that_holds_does_not_let_it_dip,
    health_is_known_after_a_few_cycles,
)
