"""The monitor of each arm, as its definition says: it lets the arm do what it is made for, and nothing else."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, Record, empty
from robot_mbrl.contracts.types import FloatArray, JointCommand, VerdictLevel
from robot_mbrl.drivers.arms import ArmDefinition, arm_names, load_arm
from robot_mbrl.runtime.monitor_setup import build_monitor, monitor_settings
from robot_mbrl.sim.geometry import MujocoGeometry
from tests.drivers.emulated import EmulatedArm, emulated_arm

RATE = 100.0
ARM = load_arm("so101_follower")

LIFTED: FloatArray = np.array([0.3, -0.9, 0.3, 0.4, 0.5, 0.6])
"""Clear of the table and of the arm itself, for both kinds of arm [rad]."""


def smooth(share: float) -> float:
    """From 0 to 1 with neither velocity nor acceleration at the ends."""
    x = min(max(share, 0.0), 1.0)
    return x**3 * (10.0 - 15.0 * x + 6.0 * x**2)


@cache
def geometry(name: str) -> MujocoGeometry:
    return MujocoGeometry(load_arm(name))


def measured(robot: EmulatedArm, tick: int, deadline_ns: int) -> Record:
    """A frame as the control process fills it, but for the commands."""
    n = len(robot.arm.joints)
    frame = empty(FRAME_DTYPE)
    frame["tick"], frame["joints"] = tick, n
    frame["deadline_ns"], frame["wake_ns"] = deadline_ns, robot.wire.now_ns()
    state, health, statistics = robot.robot.read(), robot.robot.health(), robot.bus.statistics
    frame["stamp_ns"], frame["health_ns"][0, :n] = state.stamp_ns, health.stamp_ns
    frame["position"][0, :n], frame["load"][0, :n] = state.position, state.load
    frame["velocity"][0, :n] = frame["reported_velocity"][0, :n] = state.velocity
    frame["current"][0, :n], frame["temperature"][0, :n] = health.current, health.temperature
    frame["voltage"][0, :n], frame["hardware_error"][0, :n] = health.voltage, health.hardware_error
    frame["transactions"] = statistics.transactions
    frame["corrupt"], frame["timeouts"] = statistics.corrupt, statistics.timeouts
    return frame


def flight(name: str, seconds: float, lifted: FloatArray, swing: float) -> Iterator[Record]:
    """Frames of the emulated arm in lockstep: parked, then going to `lifted`, swinging there by `swing` [rad]."""
    robot = emulated_arm(name)
    robot.robot.connect()
    n, period_ns = len(robot.arm.joints), to_ns(1.0 / RATE)
    start: FloatArray | None = None
    for tick in range(round(seconds * RATE)):
        time = tick / RATE - 0.5
        if time >= 0.0 and start is None:
            robot.robot.set_torque(enabled=True)
            start = robot.robot.goal_position
        deadline_ns = -(-robot.wire.now_ns() // period_ns) * period_ns
        robot.wire.sleep_until_ns(deadline_ns)
        frame = measured(robot, tick, deadline_ns)
        if start is None:
            yield frame
            continue
        moving = swing * smooth(time - 2.0) * np.sin(2.0 * np.pi * (time - 2.0)) if time > 2.0 else 0.0
        goal = start + (lifted - start) * smooth(time / 2.0) + moving
        frame["state"] = ControlState.RUNNING
        frame["goal_position"][0, :n] = robot.robot.goal_position
        frame["requested_position"][0, :n] = frame["action_position"][0, :n] = goal
        frame["action_ns"], frame["action_expires_ns"] = deadline_ns, deadline_ns + to_ns(0.1)
        yield frame
        robot.robot.write(JointCommand(goal))


# A leader's weak gears are made for being moved by hand; the Koch's cannot lift themselves, and only lie there.
SWINGS = {"so101_follower": 0.25, "koch_follower": 0.25, "so101_leader": 0.1, "koch_leader": 0.0}


@pytest.mark.parametrize("name", arm_names())
def test_an_arm_that_lies_parked_is_lifted_and_swings_passes(name: str) -> None:
    arm = load_arm(name)
    monitor = build_monitor(arm, geometry(name))
    states = set()
    lifted = LIFTED if SWINGS[name] else np.array([joint.park_position for joint in arm.joints])
    for frame in flight(name, 4.5, lifted, SWINGS[name]):
        verdict = monitor.judge(frame)
        assert verdict.level == VerdictLevel.PASS, (int(frame["tick"][0]), verdict)
        states.add(int(frame["state"][0]))
    assert states == {ControlState.IDLE, ControlState.RUNNING}


@pytest.fixture(scope="module")
def swing() -> list[Record]:
    return list(flight("so101_follower", 3.5, LIFTED, 0.25))


def test_a_flight_is_judged_again_to_the_bit(swing: list[Record]) -> None:
    monitor = build_monitor(ARM, geometry(ARM.name))
    first = [repr(monitor.judge(frame)) for frame in swing]
    monitor.reset()
    assert [repr(monitor.judge(frame)) for frame in swing] == first


@pytest.mark.parametrize("joint", range(6))
@pytest.mark.parametrize("side", [0, 1])
def test_a_request_beyond_a_joints_limit_is_held_at_once(swing: list[Record], joint: int, side: int) -> None:
    monitor = build_monitor(ARM, geometry(ARM.name))
    for frame in swing[:-1]:
        monitor.judge(frame)
    wrong = swing[-1].copy()
    limit = ARM.joints[joint].position_limits[side]
    wrong["action_position"][0, joint] = limit + (0.05 if side else -0.05)
    wrong["action_ns"] = swing[-2]["action_ns"]
    verdict = monitor.judge(wrong)
    assert verdict.level >= VerdictLevel.HOLD
    assert verdict.joint == joint
    assert verdict.reason in {"command_position", "action_jump"}


@pytest.mark.parametrize(
    "field", ["position", "reported_velocity", "load", "temperature", "voltage", "requested_position"]
)
def test_a_nan_in_flight_stops(swing: list[Record], field: str) -> None:
    monitor = build_monitor(ARM, geometry(ARM.name))
    for frame in swing[:-1]:
        monitor.judge(frame)
    wrong = swing[-1].copy()
    wrong[field][0, 3] = np.nan
    verdict = monitor.judge(wrong)
    assert (verdict.level, verdict.reason, verdict.joint) == (VerdictLevel.STOP, "non_finite", 3)


def test_a_pose_in_the_table_is_held_and_then_stopped(swing: list[Record]) -> None:
    """The policy wants the fingers 5 cm deep in the table, and insists."""
    overrides = {"kinematics": {"action_jump": {"stop": 100.0}}}
    monitor = build_monitor(ARM, geometry(ARM.name), overrides)
    for frame in swing:
        monitor.judge(frame)
    pose = np.array([0.0, 0.2, 0.9, 0.5, 0.0, 0.0])
    assert geometry(ARM.name).tool_position(pose)[2] < -0.05
    levels = []
    for tick in range(1, 120):
        frame = swing[-1].copy()
        for stamp in ("deadline_ns", "wake_ns", "stamp_ns", "health_ns", "action_ns", "action_expires_ns"):
            frame[stamp] += tick * to_ns(1.0 / RATE)
        frame["tick"] += tick
        frame["state"], frame["reported_velocity"][0, :6] = ControlState.HOLDING, 0.0
        frame["action_position"][0, :6] = pose
        verdict = monitor.judge(frame)
        levels.append(verdict.level)
        assert verdict.reason in {"tool_floor", "link_clearance", "tool_box"}
    assert levels[0] == VerdictLevel.HOLD
    assert levels[-1] == VerdictLevel.STOP


# -- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", arm_names())
def test_the_joints_limits_are_the_arms(name: str) -> None:
    arm = load_arm(name)
    for limits, joint in zip(monitor_settings(arm).joints, arm.joints, strict=True):
        assert (limits.name, limits.position) == (joint.name, joint.position_limits)
        assert (limits.velocity, limits.acceleration) == (joint.velocity_limit, joint.acceleration_limit)
        assert (limits.jerk, limits.supply_voltage) == (joint.jerk_limit, joint.supply_voltage)


@pytest.mark.parametrize("name", arm_names())
def test_the_voltage_grades_lie_inside_what_the_servos_accept(name: str) -> None:
    arm = load_arm(name)
    sag, excess = arm.safety.health.voltage_sag.stop, arm.safety.health.voltage_excess.stop
    assert sag is not None
    assert excess is not None
    for joint in arm.joints:
        low, high = joint.voltage_limits
        assert low <= joint.supply_voltage * (1.0 - sag)
        assert joint.supply_voltage * (1.0 + excess) <= high
    stop = arm.safety.health.temperature.stop
    assert stop is not None
    assert stop < arm.temperature_limit


def test_overrides_change_single_values() -> None:
    settings = monitor_settings(ARM, {"kinematics": {"tracking_error": {"stop": 0.5}}, "hold_limit": 2.0})
    assert settings.hold_limit == 2.0
    assert settings.kinematics.tracking_error.stop == 0.5
    assert settings.kinematics.tracking_error.slow == ARM.safety.kinematics.tracking_error.slow
    assert settings.workspace == ARM.safety.workspace


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        ({"kinematics": {"tracking_error": {"stop": 0.05}}}, "slow = 0.12 must be below stop = 0.05"),
        ({"kinematics": {"traking_error": {"stop": 1}}}, "unknown key kinematics.traking_error"),
        ({"workspace": {"floor": 0.1}}, "below the floor at 0.1 m"),
        ({"workspace": {"box": {"low": [0.25, -1, 0], "high": [1, 1, 1]}}}, "is outside"),
        (
            {"workspace": {"keep_outs": [{"name": "bin", "low": [0.2, -0.1, 0], "high": [0.3, 0.1, 0.1]}]}},
            "inside the keep-out bin",
        ),
        ({"workspace": {"hold_clearance": 0.03, "slow_clearance": 0.04}}, "hold_clearance is 0.03 m"),
    ],
)
def test_contradictions_are_refused_in_one_line(overrides: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        build_monitor(ARM, geometry(ARM.name), overrides)
    message = str(caught.value)
    assert message.startswith("safety of so101_follower: ")
    assert "\n" not in message


def test_without_a_geometry_the_workspace_is_not_watched() -> None:
    names = build_monitor(ARM).check_names
    assert "tool_box" not in names
    assert "link_clearance" in build_monitor(ARM, geometry(ARM.name)).check_names


def test_an_arm_without_a_safety_section_is_refused() -> None:
    with pytest.raises(ValueError, match="safety"):
        ArmDefinition.model_validate({**ARM.model_dump(exclude={"safety"})})
