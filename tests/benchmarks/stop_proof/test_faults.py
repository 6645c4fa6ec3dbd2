"""The faults of the stop proof: what the emulated arm is told exists, and wrong motions are wrong in one way only."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter

from robot_mbrl.benchmarks.stop_proof.arm_faults import SERVO, SURROUNDINGS, WIRE, beyond_normal_lag, overheated
from robot_mbrl.benchmarks.stop_proof.kinds import Kind
from robot_mbrl.benchmarks.stop_proof.motion import BRISK, FULL_SPEED, LEG, MIDDLE, SWING, write_swing
from robot_mbrl.benchmarks.stop_proof.motion_faults import (
    BEYOND,
    FADE,
    SELF_POSE,
    TABLE_POSE,
    collision_ahead,
    faded_out,
    limit_crossed,
    line_to,
    other_policy,
    past_limit,
)
from robot_mbrl.benchmarks.stop_proof.observation import Observation
from robot_mbrl.benchmarks.stop_proof.process_faults import HEARTBEAT, silent_console
from robot_mbrl.benchmarks.stop_proof.settling import swinging
from robot_mbrl.benchmarks.stop_proof.stage import ARM, POLICY_RATE, Stage
from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState
from robot_mbrl.contracts.types import FloatArray, VerdictLevel
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.drivers.virtual.faults import Fault
from robot_mbrl.policies.scripted import ScriptedPolicy, load_trajectory
from robot_mbrl.runtime.monitor_setup import build_monitor
from robot_mbrl.runtime.policy_process import joint_space
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from robot_mbrl.sim.geometry import MujocoGeometry

ARM_DEFINITION = load_arm(ARM)
N = len(ARM_DEFINITION.joints)
PERIOD_NS = 5_000_000


class ToldArm:
    """A control socket that checks and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def fault(self, fault: dict[str, Any]) -> None:
        self.told.append(TypeAdapter[Any](Fault).validate_python(fault))


@pytest.mark.parametrize("kind", [*WIRE, *SERVO, *SURROUNDINGS], ids=lambda kind: kind.name)
def test_the_emulated_arm_knows_every_fault_that_it_is_told(kind: Kind) -> None:
    arm = ToldArm()
    kind.make(cast("Stage", SimpleNamespace(control=arm)))
    (fault,) = arm.told
    for name in (getattr(fault, "servo", None), getattr(fault, "of", None)):
        assert name is None or name in ARM_DEFINITION.joint_names


def stage_with_goals(velocity: FloatArray) -> Stage:
    """A stage whose goals move from `MIDDLE` with `velocity` (n,) [rad/s]."""

    def recent(count: int) -> Any:
        frames = np.zeros(count, FRAME_DTYPE)
        frames["deadline_ns"] = np.arange(count) * PERIOD_NS
        frames["requested_position"][:, :N] = np.outer(np.arange(count) * PERIOD_NS * 1e-9, velocity)
        return frames

    return cast("Stage", SimpleNamespace(arm=ARM_DEFINITION, observer=SimpleNamespace(recent=recent)))


def test_a_wrong_motion_begins_as_the_right_one_went_on_and_leads_to_its_target() -> None:
    velocity, start, target = np.linspace(-1.0, 1.0, N), np.array(MIDDLE), np.array(TABLE_POSE)
    goals = line_to(target)(stage_with_goals(velocity), start)
    np.testing.assert_array_equal(goals(0.0), start)
    np.testing.assert_allclose((goals(1e-6) - start) / 1e-6, velocity, atol=1e-4)
    np.testing.assert_allclose(goals(60.0), target, atol=1e-12)
    later = (goals(FADE + 0.11) - goals(FADE + 0.10)) / 0.01
    assert np.abs(later).max() == pytest.approx(FULL_SPEED, rel=1e-9)


def test_a_wrong_motion_keeps_to_what_the_joints_may_do() -> None:
    """Turning round at full speed: at 30 actions a second it asks for less than the acceleration limit."""
    velocity, start = np.full(N, -FULL_SPEED), np.array(MIDDLE)
    goals = line_to(start + 2.0)(stage_with_goals(velocity), start)
    way = np.array([goals(tick / POLICY_RATE) for tick in range(12)])
    accelerations = np.diff(way, n=2, axis=0) * POLICY_RATE**2
    assert np.abs(accelerations).max() < min(joint.acceleration_limit for joint in ARM_DEFINITION.joints)


@pytest.mark.parametrize("joint", range(N))
def test_a_way_past_a_limit_passes_that_limit_alone_and_nothing_else(joint: int) -> None:
    """Up to the limit the arm is clear of itself and the table, so that it is the limit that is tested."""
    start, velocity = np.array(MIDDLE), FULL_SPEED * np.sign(SWING)
    goals = past_limit(joint)(stage_with_goals(velocity), start)
    end = goals(60.0)
    low, high = ARM_DEFINITION.joints[joint].position_limits
    assert end[joint] == pytest.approx(high + BEYOND) or end[joint] == pytest.approx(low - BEYOND)
    np.testing.assert_allclose(np.delete(end, joint), np.delete(faded_out(start, velocity), joint), atol=1e-12)
    geometry = MujocoGeometry(ARM_DEFINITION)
    for elapsed in np.linspace(0.0, 5.0, 200):
        pose = goals(float(elapsed))
        if low <= pose[joint] <= high:
            assert geometry.clearance(pose).distance > 0.015


@pytest.mark.parametrize(("pose", "link"), [(TABLE_POSE, "table"), (SELF_POSE, "shoulder")])
def test_collision_courses_end_in_what_they_are_named_after(pose: tuple[float, ...], link: str) -> None:
    clearance = MujocoGeometry(ARM_DEFINITION).clearance(np.array(pose))
    assert clearance.distance < -0.01
    assert link in clearance.pair


def test_the_swing_is_clear_of_everything_and_within_limits(tmp_path: Any) -> None:
    path = tmp_path / "swing.yaml"
    write_swing(path, ARM_DEFINITION)
    trajectory = load_trajectory(path)
    settings = DeploySettings(robot=TwinSettings(), loop=LoopSettings(policy_rate=30.0))
    ScriptedPolicy(trajectory, joint_space(ARM_DEFINITION, settings, ManualClock()))
    geometry = MujocoGeometry(ARM_DEFINITION)
    for share in np.linspace(-1.0, 1.0, 21):
        assert geometry.clearance(np.array(MIDDLE) + share * np.array(SWING)).distance > 0.04
    assert [waypoint.duration for waypoint in trajectory.waypoints] == [LEG, LEG]


@pytest.mark.parametrize("seed", range(5))
def test_the_swing_is_full_speed_for_every_drawn_arm_and_the_monitor_lets_it_pass(seed: int) -> None:
    """In simulated time, at the rates of loop and policy: as fast as the servos are, slowed and stopped by nobody."""
    flight, policy = swinging(seed, build_monitor(ARM_DEFINITION, MujocoGeometry(ARM_DEFINITION)))
    speeds: list[float] = []
    frames = flight.fly(
        policy,
        6.0 * LEG,
        lambda _time: speeds.append(float(np.abs(flight.plant.state.velocity).max())),
    )
    assert (frames["verdict"] == VerdictLevel.PASS).all()
    assert int(frames["state"][-1]) == ControlState.RUNNING
    assert max(speeds) > 0.82 * ARM_DEFINITION.joints[0].velocity_limit
    assert np.abs(frames["load"][:, :N]).max() > 0.78
    assert BRISK < FULL_SPEED < max(speeds)


def seen_with(frames: NDArray[np.void]) -> Observation:
    nothing = np.zeros((0, N))
    return Observation(np.zeros(0, np.int64), nothing, nothing, nothing > 0.0, frames)


def test_a_verdict_shows_a_fault_that_has_not_shown_otherwise() -> None:
    """It would show in the frame at 30 ms, but that at 20 ms is judged already."""
    frames = np.zeros(8, FRAME_DTYPE)
    frames["wake_ns"] = np.arange(8) * PERIOD_NS
    kind = Kind("late", "wire", "", lambda _stage: None, visible=lambda _arm, _before, after: after["tick"] > 0)
    frames["tick"][6:] = 1
    assert kind.visible_ns(ARM_DEFINITION, seen_with(frames), 2 * PERIOD_NS) == 6 * PERIOD_NS
    frames["verdict"][4:] = VerdictLevel.STOP
    assert kind.visible_ns(ARM_DEFINITION, seen_with(frames), 2 * PERIOD_NS) == 4 * PERIOD_NS
    frames["tick"][3:] = 1
    assert kind.visible_ns(ARM_DEFINITION, seen_with(frames), 2 * PERIOD_NS) == 3 * PERIOD_NS


def test_a_joint_that_falls_behind_slowly_leaves_all_its_goals_of_late_behind() -> None:
    """It trails goals that rise at 1 rad/s by 0.1 rad, then stands with them for 0.25 s, and sinks at 1 rad/s.

    It has been 0.1 rad from its goal all the time, but always where its goals of the last 0.2 s were; now those all
    stand, and the first encoder step away from them shows.
    """
    times = np.arange(200) * PERIOD_NS
    frames = np.zeros(200, FRAME_DTYPE)
    frames["wake_ns"] = times
    rising = np.minimum(times, 100 * PERIOD_NS) * 1e-9
    frames["goal_position"][:, 2] = rising
    frames["position"][:, 2] = rising - 0.1
    frames["position"][100:150, 2] = rising[100]
    frames["position"][150:, 2] = rising[100] - (times[150:] - times[150]) * 1e-9
    shows = beyond_normal_lag(ARM_DEFINITION, frames[:100], frames[100:])
    assert not shows[:51].any()
    assert shows[51:].all()


def test_a_fault_shows_in_the_first_frame_that_has_it() -> None:
    before, after = np.zeros(3, FRAME_DTYPE), np.zeros(4, FRAME_DTYPE)
    after["wake_ns"] = np.arange(4) * PERIOD_NS
    after["temperature"][:, :N] = 30.0
    after["temperature"][2:, 3] = ARM_DEFINITION.temperature_limit + 1.0
    assert overheated(ARM_DEFINITION, before, after).tolist() == [False, False, True, True]
    after["action_position"][3, 1] = ARM_DEFINITION.joints[1].position_limits[0] - 0.01
    assert limit_crossed(1)(ARM_DEFINITION, before, after).tolist() == [False, False, False, True]
    after["action_position"][:, :N] = MIDDLE
    after["action_position"][1, :N] = TABLE_POSE
    assert collision_ahead(ARM_DEFINITION, before, after).tolist() == [False, True, False, False]
    after["heartbeat_ns"] = after["wake_ns"]
    after["heartbeat_ns"][3] -= round(HEARTBEAT * 1e9) + 1
    assert silent_console(ARM_DEFINITION, before, after).tolist() == [False, False, False, True]
    before["goal_position"][:, 2] = 0.0, 0.1, 0.05
    after["goal_position"][:, 2] = 0.1, 0.099, 0.103, 0.2
    assert beyond_normal_lag(ARM_DEFINITION, before, after).tolist() == [False, False, True, True]


def test_another_policy_sends_at_the_policy_s_rate() -> None:
    now = [0]
    sent: list[float] = []

    def send_action(goal: FloatArray, *, age: float) -> None:
        assert age == 0.0
        sent.append(float(goal[0]))

    stage = SimpleNamespace(
        now_ns=lambda: now[0],
        send_signal=lambda *_: None,
        send_action=send_action,
        frame={"action_position": np.zeros((1, 8)), "action_ns": np.array([-20_000_000])},
        arm=ARM_DEFINITION,
    )
    go_on = other_policy(lambda _stage, start: lambda elapsed: start + elapsed)(cast("Stage", stage))
    assert go_on is not None
    for now[0] in range(0, 1_000_000_000, 4_000_000):
        go_on()
    # The policy's last action was made 20 ms before: the next is due 13 ms later, and is as far on as its time.
    assert len(sent) == 30
    np.testing.assert_allclose(sent, np.arange(1, 31) / POLICY_RATE, atol=0.004)
