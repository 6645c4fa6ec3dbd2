"""The scripted policy: its path passes the waypoints, at rest, and everything is refused beforehand."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.errors import ConfigError, LimitViolation, RobotMbrlError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.policies.joint_space import SMOOTH_STEP_PEAK, JointSpace, smooth_step
from robot_mbrl.policies.registry import POLICIES, build_policy
from robot_mbrl.policies.scripted import ScriptedPolicy, Trajectory, Waypoint, load_trajectory
from robot_mbrl.sim.geometry import MujocoGeometry
from tests.policies.two_joints import SPACE

SQUARE = (
    Waypoint(duration=1.0, position={"pan": 0.0, "lift": 0.0}),
    Waypoint(duration=2.0, position={"pan": 0.8}),
    Waypoint(duration=1.0, position={"lift": -0.4}),
)


def goals(trajectory: Trajectory, start: FloatArray, times: list[float]) -> FloatArray:
    policy = ScriptedPolicy(trajectory, SPACE)
    observations = [{"time": np.array([time]), "commanded": start} for time in times]
    return np.array([policy.act(observation).position for observation in observations])


def test_passes_every_waypoint_and_holds_the_last() -> None:
    found = goals(Trajectory(waypoints=SQUARE), np.zeros(2), [0.0, 1.0, 2.0, 3.0, 4.0, 99.0])
    # Half-way along the leg of 2 s the smooth step is at 1/2.
    assert_allclose(found, [[0.0, 0.0], [0.0, 0.0], [0.4, 0.0], [0.8, 0.0], [0.8, -0.4], [0.8, -0.4]], atol=1e-12)


def test_repeats_from_the_first_waypoint() -> None:
    found = goals(Trajectory(waypoints=SQUARE, repeat=True), np.zeros(2), [4.0, 4.5, 5.0, 7.0, 8.0, 9.0])
    assert_allclose(found, [[0.8, -0.4], [0.4, -0.2], [0.0, 0.0], [0.8, 0.0], [0.8, -0.4], [0.0, 0.0]], atol=1e-12)


def test_approaches_no_faster_than_told() -> None:
    trajectory = Trajectory(waypoints=SQUARE, approach_speed=0.25)
    start = np.array([-1.0, 0.1])
    times = np.arange(0.0, 9.0, 1e-3)
    path = goals(trajectory, start, times.tolist())
    assert_allclose(path[0], start)
    on_the_way = times[1:] < SMOOTH_STEP_PEAK * 1.0 / 0.25
    speeds = np.abs(np.diff(path, axis=0)).max(axis=1)[on_the_way] / 1e-3
    assert speeds.max() == pytest.approx(0.25, rel=1e-4)


def test_reset_plans_the_approach_anew() -> None:
    policy = ScriptedPolicy(Trajectory(waypoints=SQUARE), SPACE)
    for start in (np.zeros(2), np.array([0.3, -0.1])):
        policy.reset()
        assert_allclose(policy.act({"time": np.zeros(1), "commanded": start}).position, start)


def test_smooth_step_rests_at_both_ends_and_peaks_in_the_middle() -> None:
    assert [smooth_step(s) for s in (-1.0, 0.0, 0.5, 1.0, 2.0)] == [0.0, 0.0, 0.5, 1.0, 1.0]
    slope = np.diff([smooth_step(s) for s in np.linspace(0.0, 1.0, 10_001)]) * 10_000
    assert slope.max() == pytest.approx(SMOOTH_STEP_PEAK, rel=1e-6)
    assert slope[0] == pytest.approx(0.0, abs=1e-6)
    assert slope[-1] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("trajectory", "error", "parts"),
    [
        (Trajectory(waypoints=SQUARE[1:]), ConfigError, ("first waypoint leaves out lift",)),
        (
            Trajectory(waypoints=(*SQUARE, Waypoint(duration=1.0, position={"elbow": 0.0}))),
            ConfigError,
            ("waypoint 4", "no joint 'elbow'"),
        ),
        (
            Trajectory(waypoints=(*SQUARE, Waypoint(duration=1.0, position={"lift": 0.6}))),
            LimitViolation,
            ("waypoint 4", "lift at 0.6 rad", "-0.5..0.5"),
        ),
        (
            Trajectory(waypoints=(*SQUARE, Waypoint(duration=0.5, position={"pan": 0.0}))),
            LimitViolation,
            ("leg 3", "pan peaks at 3.000 rad/s", "2.000 rad/s", "more than 0.5 s"),
        ),
        (Trajectory(waypoints=SQUARE, approach_speed=1.5), LimitViolation, ("approach_speed 1.5", "1.0 rad/s of lift")),
    ],
)
def test_refuses_what_the_arm_cannot_do(
    trajectory: Trajectory, error: type[RobotMbrlError], parts: tuple[str, ...]
) -> None:
    with pytest.raises(error) as caught:
        ScriptedPolicy(trajectory, SPACE)
    for part in parts:
        assert part in str(caught.value)


def test_policies_are_built_by_name(tmp_path: Path) -> None:
    file = tmp_path / "wave.yaml"
    file.write_text("waypoints: [{duration: 1.0, position: {pan: 0.1, lift: 0.2}}]", encoding="utf-8")
    assert isinstance(build_policy(f"scripted:{file}", SPACE), ScriptedPolicy)
    build_policy("sine", SPACE)
    assert {"bundle", "scripted", "sine"} <= POLICIES.keys()


@pytest.mark.parametrize(
    ("spec", "content", "part"),
    [
        ("dance", "", "unknown policy 'dance': give one of bundle"),
        ("scripted", "", "needs a trajectory"),
        ("scripted:missing.yaml", "", "cannot be read"),
        ("scripted:FILE", "waypoints: []", "waypoints = []"),
        ("scripted:FILE", "waypoints: [{duration: .nan, position: {pan: 0.1, lift: 0.2}}]", "waypoints.0.duration"),
        ("sine:FILE", "amplitude: 3.0", "amplitude = 3.0"),
        ("sine:FILE", "speed: 3.0", "unknown key speed"),
    ],
)
def test_wrong_names_and_files_are_refused(tmp_path: Path, spec: str, content: str, part: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        build_policy(spec.replace("FILE", str(file)), SPACE)
    assert part in str(caught.value)


EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "so101_wave.yaml"


def test_the_example_leads_from_the_park_pose_clear_of_everything_and_back() -> None:
    arm = load_arm("so101_follower")
    space = JointSpace(
        arm=arm.model,
        names=arm.joint_names,
        position_limits=np.array([joint.position_limits for joint in arm.joints]),
        velocity_limits=np.array([joint.velocity_limit for joint in arm.joints]),
        period=0.05,
        lifetime=0.15,
        clock=ManualClock(),
    )
    park = np.array([joint.park_position for joint in arm.joints])
    policy, geometry = ScriptedPolicy(load_trajectory(EXAMPLE), space), MujocoGeometry(arm)
    path = [policy.act({"time": np.array([time]), "commanded": park}).position for time in np.arange(0.0, 16.0, 0.05)]
    assert_allclose(path[-1], park, atol=1e-9)
    assert np.ptp([pose[0] for pose in path]) == pytest.approx(0.6, abs=1e-2)
    nearest = min(geometry.clearance(pose).distance for pose in path)
    assert nearest >= arm.safety.workspace.slow_clearance
    assert min(geometry.tool_position(pose)[2] for pose in path) > arm.safety.workspace.floor
