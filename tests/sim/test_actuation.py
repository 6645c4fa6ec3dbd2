"""Position actuation against the same loop closed in Python around voltage actuation."""

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.sim.apply import servo_loop
from robot_mbrl.sim.model import build_model
from robot_mbrl.sim.scene import Scene
from robot_mbrl.sim.truth import ArmTruth, nominal_truth

REACH = np.array([0.5, -0.6, 0.4, 0.3, 0.8, 0.6])


def rigid(arm: ArmDefinition) -> ArmTruth:
    return nominal_truth(arm).without_backlash()


def with_registers(arm: ArmDefinition, **registers: int) -> ArmDefinition:
    joints = (joint.model_copy(update={"registers": {**joint.registers, **registers}}) for joint in arm.joints)
    return arm.model_copy(update={"joints": tuple(joints)})


def largest_difference(arm: ArmDefinition, timestep: float, *, seconds: float = 1.2) -> float:
    """Largest difference [rad] over a reach and back, between duty = clip(P g (goal - q) + ...) and the native loop."""
    truth, scene = rigid(arm), Scene(timestep=timestep)
    voltage, position = (build_model(arm, truth, scene, kind) for kind in ("voltage", "position"))
    python, native = mujoco.MjData(voltage), mujoco.MjData(position)
    loops = [servo_loop(joint) for joint in arm.joints]
    p = np.array([loop.proportional * joint.position_gain for loop, joint in zip(loops, truth.joints, strict=True)])
    i, d, limit = (np.array([getattr(loop, key) for loop in loops]) for key in ("integral", "derivative", "duty_limit"))
    supply = np.array([truth.supply_voltage[joint.servo] for joint in arm.joints])
    park = np.array([joint.park_position for joint in arm.joints])
    python.qpos[:] = native.qpos[:] = park
    windup: NDArray[np.float64] = np.where(i > 0.0, limit / np.maximum(i, 1e-12), 0.0)
    integral = np.zeros(len(park))
    worst, steps = 0.0, round(seconds / timestep)
    for step in range(steps):
        goal = REACH if step < steps // 2 else park
        native.ctrl[:] = goal
        error = goal - python.qpos
        python.ctrl[:] = supply * np.clip(p * error + i * integral - d * python.qvel, -limit, limit)
        integral = np.clip(integral + timestep * error, -windup, windup)
        mujoco.mj_step(voltage, python)
        mujoco.mj_step(position, native)
        worst = max(worst, float(np.abs(python.qpos - native.qpos).max()))
    assert np.abs(native.qpos - park).max() < 0.1
    return worst


def test_a_p_loop_in_python_and_the_native_one_are_the_same() -> None:
    """The STS3215's loop has no D term: both compute one voltage from one state, so rounding is all that differs."""
    assert largest_difference(load_arm("so101_follower"), 0.001) < 1e-12


def test_with_a_derivative_the_two_meet_as_the_timestep_shrinks() -> None:
    """MuJoCo integrates the native D term implicitly and Python's explicitly: a difference of first order in time."""
    coarse, fine = (largest_difference(load_arm("koch_follower"), timestep) for timestep in (0.001, 0.00025))
    assert coarse < 0.01
    assert fine < coarse / 3.0


def test_the_integral_term_agrees() -> None:
    """XL330-M077 from the factory: I 400, which is 4.5 duty a rad·s."""
    arm = load_arm("koch_leader")
    assert servo_loop(arm.joints[0]).integral == pytest.approx(400 * 651.8986 / 65536 / 885 / 0.001, rel=1e-6)
    assert largest_difference(arm, 0.0005) < 2e-3


def test_the_servo_s_duty_limit_is_kept() -> None:
    """`max_torque_limit` 500 on the SO-101's gripper is a duty of 0.5: it stalls at 0.5 · 1.212 · 7.4 / 2.68 N·m."""
    arm = load_arm("so101_follower")
    model = build_model(arm, rigid(arm), actuation="position")
    data = mujoco.MjData(model)
    data.ctrl[5] = 1.7
    mujoco.mj_forward(model, data)
    assert data.actuator_force[5] == pytest.approx(0.5 * 1.212 * 7.4 / 2.68, rel=1e-9)
    data.ctrl[0] = 1.9
    mujoco.mj_forward(model, data)
    assert data.actuator_force[0] == pytest.approx(1.212 * 7.4 / 2.68, rel=1e-9)


def test_registers_of_the_definition_set_the_gains() -> None:
    """P 32 instead of 16 doubles the torque of a small error: kt V P g / R · 0.05 rad."""
    arm = with_registers(load_arm("so101_follower"), p_coefficient=32)
    model = build_model(arm, rigid(arm), actuation="position")
    data = mujoco.MjData(model)
    data.ctrl[0] = 0.05
    mujoco.mj_forward(model, data)
    assert data.actuator_force[0] == pytest.approx(1.212 * 7.4 * 32 * 0.166 / 2.68 * 0.05, rel=1e-9)


def test_goals_outside_the_limits_are_clamped() -> None:
    arm = load_arm("so101_follower")
    model = build_model(arm, rigid(arm), actuation="position")
    np.testing.assert_allclose(model.actuator_ctrlrange, [joint.position_limits for joint in arm.joints])
    assert model.actuator_ctrllimited.all()


def test_a_command_delay_shifts_the_response_by_as_much() -> None:
    """5 ms at 1 ms steps: the delayed arm repeats the undelayed one five steps later, from rest and without gravity."""
    arm = load_arm("so101_follower")
    truth = rigid(arm).model_copy(update={"gravity": 0.0})
    joints = tuple(joint.model_copy(update={"command_delay": 0.005}) for joint in truth.joints)
    tracks = []
    for each in (truth, truth.model_copy(update={"joints": joints})):
        model = build_model(arm, each, Scene(table=False), "position")
        data = mujoco.MjData(model)
        data.ctrl[:] = REACH
        track = []
        for _ in range(60):
            mujoco.mj_step(model, data)
            track.append(data.qpos.copy())
        tracks.append(np.array(track))
    np.testing.assert_allclose(tracks[1][:5], 0.0, atol=1e-12)
    np.testing.assert_allclose(tracks[1][5:], tracks[0][:-5], atol=1e-9)
