"""Moves: the path's laws, and what happens on an emulated arm in lockstep when all goes well and when it does not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_mbrl.commissioning.joint_move import LIMIT_SLACK, PERIOD, check_way, move_joints, plan_move
from robot_mbrl.contracts.errors import ConfigError, LimitViolation, NotReady
from robot_mbrl.contracts.geometry import Clearance
from robot_mbrl.contracts.types import FloatArray, JointState
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.sim.geometry import MujocoGeometry
from tests.drivers.emulated import EmulatedArm, emulated_arm, within_limits

ARM = load_arm("so101_follower")
HELD = np.array([joint.park_position for joint in ARM.joints])
READY = (0.0, -0.8, 0.8, 0.3, 0.0, 0.3)
ON_THE_TABLE = (0.0, 0.96, 0.54, -1.655, 0.0, 0.0)
"""Where a limp SO-101 comes to rest that was let go of in the middle of its ranges [rad]."""


@given(st.floats(-1.9, 1.9), st.floats(0.05, 4.9))
def test_a_path_ends_at_its_goal_and_is_never_faster_than_told(goal: float, speed: float) -> None:
    path = plan_move(ARM, HELD, {"shoulder_pan": goal}, speed)
    assert path[-1, 0] == pytest.approx(goal)
    steps = np.abs(np.diff(np.vstack([HELD, path]), axis=0))
    assert steps.max() <= speed * PERIOD * (1.0 + 1e-9) + 1e-12


@given(st.floats(-1.9, 1.9))
def test_the_other_joints_hold(goal: float) -> None:
    path = plan_move(ARM, HELD, {"shoulder_pan": goal}, 1.0)
    assert np.array_equal(path[:, 1:], np.tile(HELD[1:], (len(path), 1)))


def test_a_joint_just_outside_its_limits_is_brought_inside() -> None:
    held = HELD.copy()
    held[1] = ARM.joints[1].position_limits[0] - LIMIT_SLACK / 2
    assert plan_move(ARM, held, {"shoulder_pan": 0.1}, 1.0)[-1, 1] == ARM.joints[1].position_limits[0]


def test_a_joint_far_outside_its_limits_is_refused() -> None:
    held = HELD.copy()
    held[1] = ARM.joints[1].position_limits[0] - 2 * LIMIT_SLACK
    with pytest.raises(LimitViolation, match="shoulder_lift: is at"):
        plan_move(ARM, held, {"shoulder_pan": 0.1}, 1.0)


@pytest.mark.parametrize(
    ("goals", "speed", "error"),
    [
        ({"knee": 0.0}, 1.0, ConfigError),
        ({"gripper": 2.0}, 1.0, LimitViolation),
        ({"gripper": float("nan")}, 1.0, LimitViolation),
        ({"gripper": 0.5}, 5.0, LimitViolation),
        ({"gripper": 0.5}, 0.0, ConfigError),
        ({"gripper": 0.5}, float("nan"), ConfigError),
    ],
)
def test_what_cannot_be_is_refused(goals: dict[str, float], speed: float, error: type[Exception]) -> None:
    with pytest.raises(error):
        plan_move(ARM, HELD, goals, speed)


class Slope:
    """A shape that is as far from the table as its first joint says, 1 m/rad, whatever the others do."""

    def tool_position(self, position: FloatArray) -> FloatArray:
        """Has none."""
        raise NotImplementedError

    def clearance(self, position: FloatArray) -> Clearance:
        """Distance by the first joint."""
        return Clearance(float(position[0]), "table - gripper")


def pose(first: float, second: float = 0.0) -> FloatArray:
    """Angles of all joints, the others at 0 [rad]."""
    return np.array([first, second, 0.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("held", "measured", "end", "refused"),
    [
        (pose(0.5), pose(0.5), pose(0.011), False),
        (pose(0.5), pose(0.5), pose(0.0), True),
        # It lies on the table: it may rise, not go on, and not be dragged along.
        (pose(-0.02), pose(-0.02), pose(0.5), False),
        (pose(-0.02), pose(-0.02), pose(-0.5), True),
        (pose(-0.02), pose(-0.02), pose(-0.02, 0.5), True),
        (pose(-0.02), pose(-0.02), pose(-0.02), False),
        # Its goals are clear of the table, and it hangs down to it.
        (pose(0.02), pose(0.005), pose(0.02, 0.5), False),
        (pose(0.02), pose(0.003), pose(0.02, 0.5), True),
        (pose(0.02), pose(0.003), pose(0.05, 0.5), False),
    ],
)
def test_a_way_keeps_clear_or_leads_away(
    held: FloatArray, measured: FloatArray, end: FloatArray, *, refused: bool
) -> None:
    if not refused:
        check_way(ARM, Slope(), held, measured, end)
        return
    with pytest.raises(LimitViolation, match=r"table - gripper would be .* mm apart, .* raise the arm first"):
        check_way(ARM, Slope(), held, measured, end)


def standing(name: str = "so101_follower", position: tuple[float, ...] = READY) -> EmulatedArm:
    """An arm that holds a pose, by default with room around it."""
    emulated = emulated_arm(name, within_limits(load_arm(name), np.array(position)))
    emulated.robot.connect()
    emulated.robot.set_torque(enabled=True)
    return emulated


@pytest.mark.parametrize("name", ["so101_follower", "koch_follower"])
def test_a_move_arrives_and_leaves_the_arm_holding(name: str) -> None:
    emulated = standing(name)
    report = move_joints(emulated.robot, emulated.arm, {"shoulder_pan": 0.4}, 1.0, emulated.wire)
    assert report.settled
    # Coulomb friction over the position loop's gain leaves some hundredths of a radian.
    assert emulated.true_position()[0] == pytest.approx(0.4, abs=0.03)
    assert report.end[0] == pytest.approx(emulated.true_position()[0], abs=0.005)
    assert emulated.torque() == [1] * 6


def test_an_interrupted_move_stops_and_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    emulated = standing()
    read, calls = emulated.robot.read, iter(range(30))

    def interrupted() -> JointState:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return read()

    monkeypatch.setattr(emulated.robot, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        move_joints(emulated.robot, emulated.arm, {"shoulder_pan": 1.5}, 1.0, emulated.wire)
    emulated.wait(0.5)
    stopped = emulated.true_position()
    emulated.wait(0.5)
    assert 0.0 < stopped[0] < 0.5
    assert np.abs(emulated.true_position() - stopped).max() < 0.01
    assert emulated.torque() == [1] * 6
    with pytest.raises(NotReady, match="stopped"):
        emulated.robot.set_torque(enabled=True)


@pytest.mark.parametrize(
    ("position", "joint", "goal"),
    [(tuple(HELD.tolist()), "shoulder_lift", -0.8), (ON_THE_TABLE, "shoulder_pan", 0.3)],
    ids=["the shoulder of a folded arm", "an arm that lies on its gripper"],
)
def test_the_gripper_is_not_driven_into_the_table_or_along_it(
    position: tuple[float, ...], joint: str, goal: float
) -> None:
    emulated = standing(position=position)
    before, goals = emulated.true_position(), emulated.robot.goal_position
    with pytest.raises(LimitViolation, match=rf"{joint} at .* rad, table - "):
        move_joints(emulated.robot, ARM, {joint: goal}, 1.0, emulated.wire, MujocoGeometry(ARM))
    assert np.array_equal(emulated.robot.goal_position, goals)
    assert np.abs(emulated.true_position() - before).max() < 0.01


def test_an_arm_that_lies_on_the_table_may_rise_and_then_turn() -> None:
    emulated, geometry = standing(position=ON_THE_TABLE), MujocoGeometry(ARM)
    for joint, goal in {"shoulder_lift": -0.8, "shoulder_pan": 0.3}.items():
        move_joints(emulated.robot, ARM, {joint: goal}, 1.0, emulated.wire, geometry)
    assert emulated.true_position()[:2] == pytest.approx([0.3, -0.8], abs=0.1)
