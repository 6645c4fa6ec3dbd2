"""Which way round a servo is mounted is not to be seen above the driver: a mirrored arm reads as the other one."""

import numpy as np
import pytest

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.types import FloatArray, Health, JointCommand, JointState
from robot_mbrl.drivers.arms import RAD_PER_TICK, load_arm
from robot_mbrl.sim.twin import Twin
from tests.drivers.emulated import EmulatedArm, emulated_arm, mirrored

RAISED = np.array([0.0, -0.8, 0.8, 0.5, 0.3, 0.5])
"""A pose that gravity pulls at [rad]."""
OFFSET = np.array([0.3, 0.2, -0.3, 0.3, 0.3, 0.3])
"""How far each joint is moved [rad]."""
STEPS = 40
PERIOD = 0.01
ELBOW = 2
ARMS = pytest.mark.parametrize("name", ["so101_follower", "koch_follower"])


def run(emulated: EmulatedArm) -> tuple[JointState, JointState, Health, FloatArray]:
    """Readings in the midst of a motion and at its end, health, and the goals that the driver tells."""
    robot = emulated.robot
    robot.connect()
    robot.set_torque(enabled=True)
    start = robot.read().position
    for step in range(1, STEPS + 1):
        robot.write(JointCommand(start + OFFSET * step / STEPS))
        emulated.wait(PERIOD)
        state = robot.read()
        if step == STEPS // 2:
            middle = state
    goal = robot.goal_position
    for _ in range(STEPS):
        robot.write(JointCommand(start + OFFSET))
        emulated.wait(PERIOD)
        state = robot.read()
    return middle, state, robot.health(), goal


@ARMS
def test_a_mirrored_arm_reads_as_the_other_one(name: str) -> None:
    ours = run(emulated_arm(name, RAISED))
    theirs = run(emulated_arm(mirrored(name), RAISED))
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        np.testing.assert_allclose(other.position, one.position, atol=4 * RAD_PER_TICK)
        np.testing.assert_allclose(other.velocity, one.velocity, atol=0.15)
        np.testing.assert_allclose(other.load, one.load, atol=0.06)
    np.testing.assert_allclose(theirs[2].current, ours[2].current, atol=0.03)
    np.testing.assert_allclose(theirs[3], ours[3], atol=1e-9)
    # Every joint was moving, and gravity's share of load and current tells their signs.
    assert (np.sign(ours[0].velocity) == np.sign(OFFSET)).all()
    assert (np.abs(ours[0].velocity) > 0.2).all()
    assert abs(ours[1].load[ELBOW]) > 0.1
    assert abs(ours[2].current[ELBOW]) > 0.06


@ARMS
def test_its_servos_turn_the_other_way(name: str) -> None:
    """Goal and present position mirror about the joint's zero tick, to one tick."""
    pair = emulated_arm(name, RAISED), emulated_arm(mirrored(name), RAISED)
    for emulated in pair:
        run(emulated)
    for joint, one, other in zip(pair[0].arm.joints, *(emulated.virtual.servos for emulated in pair), strict=True):
        for register, slack in (("goal_position", 1), ("present_position", 4)):
            assert one.get(register) + other.get(register) == pytest.approx(2 * joint.zero_tick, abs=slack)
        assert abs(one.get("goal_position") - joint.zero_tick) > 50


@ARMS
def test_the_twin_of_a_mirrored_arm_is_the_twin_of_the_other_one(name: str) -> None:
    states = []
    for arm in (load_arm(name), mirrored(name)):
        clock = ManualClock()
        twin = Twin(arm, clock=clock)
        twin.connect()
        twin.set_torque(enabled=True)
        twin.write(JointCommand(twin.goal_position + np.array([0.2, 0.0, 0.0, 0.0, 0.0, 0.0])))
        clock.advance(0.1)
        states.append(twin.read())
    np.testing.assert_array_equal(states[0].position, states[1].position)
    np.testing.assert_array_equal(states[0].velocity, states[1].velocity)
    np.testing.assert_array_equal(states[0].load, states[1].load)
    assert states[0].velocity[0] > 0.1
