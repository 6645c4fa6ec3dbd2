"""The plant against closed formulas: motors, friction, gears, faults."""

import math
from collections.abc import Callable
from pathlib import Path

import mujoco
import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError, SimulationError
from robot_mbrl.contracts.plant import Bridge, Plant
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.drivers.arms import RAD_PER_TICK, arm_names, load_arm
from robot_mbrl.sim.names import TOOL_SITE
from robot_mbrl.sim.plant import MujocoPlant
from robot_mbrl.sim.scene import Scene
from robot_mbrl.sim.truth import draw_truth, nominal_truth
from tests.sim.plant_bench import (
    ARMATURE,
    COULOMB,
    KT,
    ROLL,
    SHOULDER_LIFT,
    SO101,
    VISCOUS,
    N,
    R,
    V,
    hold,
    plant_with,
    run,
    truth_with,
)


def test_stall_current_is_voltage_over_resistance() -> None:
    plant = plant_with(truth_with(), free=())
    run(plant, 0.05, {ROLL: 1.0})
    assert plant.state.current[ROLL] == pytest.approx(V / R, rel=1e-4)
    run(plant, 0.05, {ROLL: -0.5})
    assert plant.state.current[ROLL] == pytest.approx(-0.5 * V / R, rel=1e-4)


@pytest.mark.parametrize(("share", "sign"), [(0.99, 1.0), (1.01, -1.0)])
def test_stall_torque_is_kt_v_over_r(share: float, sign: float) -> None:
    """Without friction, a hand that pushes against the motor wins from kt V / R = 3.347 N·m on."""
    plant = plant_with(truth_with(coulomb=0.0))
    plant.push(ROLL, -share * KT * V / R, 1.0)
    run(plant, 0.1, {ROLL: 1.0})
    assert plant.state.velocity[ROLL] * sign > 0.01


def test_no_load_speed() -> None:
    """ω = (kt V / R - c) / (b + kt² / R) = (3.347 - 0.052) / (0.059 + 0.548) = 5.427 rad/s."""
    plant = plant_with(truth_with(), position=(0.0, 0.0, 0.0, 0.0, -2.5, 0.0))
    run(plant, 0.6, {ROLL: 1.0})
    expected = (KT * V / R - COULOMB) / (VISCOUS + KT**2 / R)
    assert expected == pytest.approx(5.427, abs=1e-3)
    assert plant.state.velocity[ROLL] == pytest.approx(expected, rel=2e-3)


def test_a_shorted_motor_brakes_and_an_open_one_does_not() -> None:
    """Terminal speed under 0.3 N·m: (0.3 - c) / (b + kt² / R) = 0.4085 rad/s shorted, (0.3 - c) / b = 4.203 open."""
    speeds = []
    for bridge, seconds in ((Bridge.DRIVEN, 0.5), (Bridge.OPEN, 4.0)):
        plant = plant_with(truth_with(), position=(0.0, 0.0, 0.0, 0.0, -2.7, 0.0))
        plant.model.jnt_limited[:] = 0
        plant.push(ROLL, 0.3, 10.0)
        run(plant, seconds, bridge=bridge)
        speeds.append(plant.state.velocity[ROLL])
    assert speeds[0] == pytest.approx((0.3 - COULOMB) / (VISCOUS + KT**2 / R), rel=2e-3)
    assert speeds[1] == pytest.approx((0.3 - COULOMB) / VISCOUS, rel=2e-3)


def test_no_current_flows_through_an_open_bridge() -> None:
    plant = plant_with(truth_with())
    plant.push(ROLL, 0.5, 1.0)
    run(plant, 0.3)
    assert plant.state.velocity[ROLL] > 0.5
    assert abs(plant.state.current[ROLL]) < 1e-20


def test_energy_never_grows_while_the_bridges_are_open() -> None:
    plant = MujocoPlant(
        SO101, truth_with({"gravity": 9.81}), Scene(table=False), np.array([0.3, 0.2, -0.4, 0.3, 0.5, 0.4])
    )
    plant.model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY
    energies = []
    for _ in range(400):
        run(plant, 0.001)
        energies.append(plant.data.energy.sum())
    assert np.max(np.diff(energies[1:])) < 1e-7
    assert energies[-1] < energies[1] - 0.05


def gravity_torque(plant: MujocoPlant, joint: int, payload: float) -> float:
    """Σ m g (x - x_joint) over all bodies beyond a pitch joint, with the arm in the plane y = 0 [N·m]."""
    body = plant.model.joint(SO101.joint_names[joint]).bodyid[0]
    beyond = range(body, body + N - joint)
    lever = plant.data.xipos[:, 0] - plant.data.xpos[body, 0]
    links = sum(plant.model.body_mass[index] * lever[index] for index in beyond)
    tool = plant.data.site(TOOL_SITE).xpos[0] - plant.data.xpos[body, 0]
    return 9.81 * float(links + payload * tool)


@pytest.mark.parametrize("payload", [0.0, 0.1])
def test_static_hold_error_and_torque_under_gravity(payload: float) -> None:
    """A P loop sags by τ / (kt V P g / R): gravity and, for a payload, m g r = 0.1 · 9.81 · r more."""
    plant = plant_with(truth_with({"gravity": 9.81}, coulomb=0.0), free=(SHOULDER_LIFT,))
    plant.attach_payload(payload)
    hold(plant, 3.0, SHOULDER_LIFT, 0.5, 32.0)
    torque = gravity_torque(plant, SHOULDER_LIFT, payload)
    assert torque > 0.6
    error = plant.state.position[SHOULDER_LIFT] - 0.5
    assert error == pytest.approx(torque / (KT * V * 32.0 * 0.166 / R), rel=2e-3)
    assert -KT * plant.state.current[SHOULDER_LIFT] == pytest.approx(torque, rel=2e-3)


def test_a_payload_taken_off_leaves_the_arm_as_it_was() -> None:
    plant, untouched = (plant_with(truth_with({"gravity": 9.81}), free=(SHOULDER_LIFT,)) for _ in range(2))
    plant.attach_payload(0.5)
    plant.attach_payload(0.0)
    for each in (plant, untouched):
        hold(each, 0.5, SHOULDER_LIFT, 0.3, 16.0)
    np.testing.assert_array_equal(plant.state.position, untouched.state.position)


def test_coulomb_friction_holds_below_breakaway_and_slips_above() -> None:
    """Above it, v approaches (τ - c) / b with time constant J / b, which is 0.48 s without the link."""
    plant = plant_with(truth_with())
    plant.push(ROLL, 0.95 * COULOMB, 5.0)
    run(plant, 5.0)
    assert abs(plant.state.position[ROLL]) < RAD_PER_TICK / 10
    plant = plant_with(truth_with())
    plant.push(ROLL, 1.5 * COULOMB, 5.0)
    run(plant, 5.0)
    assert plant.state.velocity[ROLL] == pytest.approx(0.5 * COULOMB / VISCOUS, rel=1e-3)


def test_stribeck_friction_adds_its_excess_at_rest() -> None:
    truth = truth_with(stribeck_excess=0.04, stribeck_velocity=0.1)
    for share, moves in ((0.97, False), (1.03, True)):
        plant = plant_with(truth)
        plant.push(ROLL, share * (COULOMB + 0.04), 2.0)
        run(plant, 2.0)
        assert bool(plant.state.position[ROLL] > 0.01) is moves


def test_stribeck_friction_falls_with_speed() -> None:
    """At a steady speed the push balances c + e exp(-(v / v_s)²) + b v."""
    plant = plant_with(
        truth_with(stribeck_excess=0.04, stribeck_velocity=1.5), position=(0.0, 0.0, 0.0, 0.0, -2.7, 0.0)
    )
    plant.model.jnt_limited[:] = 0
    plant.push(ROLL, 0.15, 10.0)
    run(plant, 6.0)
    v = plant.state.velocity[ROLL]
    assert 0.5 < v < 1.5
    assert pytest.approx(0.15, abs=2e-4) == COULOMB + 0.04 * math.exp(-((v / 1.5) ** 2)) + VISCOUS * v


def test_friction_scale_multiplies_all_friction() -> None:
    plant = plant_with(truth_with())
    plant.set_friction_scale(ROLL, 3.0)
    plant.push(ROLL, 2.9 * COULOMB, 10.0)
    run(plant, 1.0)
    assert abs(plant.state.position[ROLL]) < RAD_PER_TICK / 10
    plant.push(ROLL, 1.1 * COULOMB, 10.0)
    run(plant, 2.0)
    assert plant.state.velocity[ROLL] == pytest.approx((4.0 - 3.0) * COULOMB / (3.0 * VISCOUS), rel=1e-3)


def test_the_output_moves_freely_through_the_gap_and_no_further() -> None:
    gap = math.radians(1.0)
    plant = plant_with(truth_with(backlash=gap, coulomb=3.0), free=(ROLL,))
    for torque, tolerance in ((0.002, 0.01), (1.0, 0.1)):
        ends = []
        for sign in (1.0, -1.0):
            plant.push(ROLL, sign * torque, 0.5)
            run(plant, 0.5)
            ends.append(plant.state.position[ROLL])
        assert ends[0] - ends[1] == pytest.approx(gap, rel=tolerance)


def test_the_motor_turns_by_the_gap_before_the_output_follows() -> None:
    """Until then the output is dragged along a little: the gap has grease, and the horn an inertia."""
    gap = math.radians(2.0)
    plant = plant_with(truth_with(backlash=gap))
    plant.push(ROLL, -0.005, 0.5)
    run(plant, 0.6, {ROLL: 0.0})
    motor, output = plant.data.joint("wrist_roll").qpos[0], plant.state.position[ROLL]
    assert output - motor == pytest.approx(-gap / 2, rel=0.01)
    while plant.data.joint("wrist_roll").qpos[0] > motor - 0.9 * gap:
        run(plant, 0.001, {ROLL: -0.05})
    assert abs(plant.state.position[ROLL] - output) < 0.3 * gap
    plant.push(ROLL, 0.005, 1.0)
    run(plant, 0.5, {ROLL: -0.05})
    motor = plant.data.joint("wrist_roll").qpos[0]
    assert plant.state.position[ROLL] - motor == pytest.approx(gap / 2, rel=0.01)
    assert plant.state.position[ROLL] < output - gap


@pytest.mark.parametrize("backlash", [0.0, math.radians(1.0)])
def test_a_stuck_joint_stays_under_full_duty(backlash: float) -> None:
    plant = plant_with(truth_with(backlash=backlash), free=(ROLL,))
    plant.set_stuck(ROLL, stuck=True)
    before = plant.state.position[ROLL]
    run(plant, 1.0, {ROLL: 1.0})
    assert abs(plant.state.position[ROLL] - before) < RAD_PER_TICK
    plant.set_stuck(ROLL, stuck=False)
    run(plant, 0.2, {ROLL: 1.0})
    assert plant.state.position[ROLL] > before + 0.2


def test_a_push_ends_and_its_impulse_is_torque_times_time() -> None:
    """Without friction, twice the duration is twice the speed, and the speed stays after the end."""
    speeds = []
    for duration in (0.05, 0.1):
        plant = plant_with(truth_with(coulomb=0.0, viscous=0.0))
        plant.push(ROLL, 0.2, duration)
        run(plant, 0.15)
        after = plant.state.velocity[ROLL]
        run(plant, 0.15)
        assert plant.state.velocity[ROLL] == pytest.approx(after, rel=1e-6)
        speeds.append(after)
    assert speeds[1] == pytest.approx(2 * speeds[0], rel=1e-6)
    inertia = 0.1 * 0.2 / speeds[1]
    assert ARMATURE < inertia < ARMATURE + 2e-4


@pytest.mark.parametrize("name", arm_names())
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_the_park_pose_is_at_rest(name: str, seed: int | None) -> None:
    """With the torque off the arm stays to one tick where it started, within its limits and on or above the table."""
    arm = load_arm(name)
    plant = MujocoPlant(arm, nominal_truth(arm) if seed is None else draw_truth(arm, np.random.default_rng(seed)))
    start = plant.state.position.copy()
    run(plant, 1.0)
    limits = np.array([joint.position_limits for joint in arm.joints])
    assert np.max(np.abs(plant.state.position - start)) < 2 * RAD_PER_TICK
    assert (plant.state.position > limits[:, 0] - RAD_PER_TICK).all()
    assert (plant.state.position < limits[:, 1] + RAD_PER_TICK).all()
    assert np.max(np.abs(start - [joint.park_position for joint in arm.joints])) < 0.1
    assert plant.data.contact.dist.min(initial=0.0) > -0.001


@pytest.mark.parametrize("name", arm_names())
def test_full_duty_in_any_direction_stays_bounded(name: str) -> None:
    """The fastest servo moves 0.04 rad in a step: two and a half steps' way past a stop is the most."""
    arm = load_arm(name)
    rng = np.random.default_rng(5)
    plant = MujocoPlant(arm, draw_truth(arm, rng))
    stops = plant.model.jnt_range[: N * 2 : 2]
    bridges = np.full(N, Bridge.DRIVEN, np.uint8)
    for _ in range(30):
        duty = rng.choice([-1.0, 1.0], N)
        for _ in range(100):
            plant.step(duty, bridges)
        assert (plant.state.position > stops[:, 0] - 0.1).all()
        assert (plant.state.position < stops[:, 1] + 0.1).all()


def test_steps_repeat_bit_for_bit() -> None:
    truth = draw_truth(SO101, np.random.default_rng(2))
    ends = []
    for _ in range(2):
        plant = MujocoPlant(SO101, truth)
        run(plant, 0.5, {0: 0.3, 1: 0.8, 2: -0.6, 5: 1.0})
        ends.append(plant.state.position.copy())
    np.testing.assert_array_equal(ends[0], ends[1])


def test_the_state_is_one_object_and_time_counts_from_zero() -> None:
    plant: Plant = MujocoPlant(SO101, nominal_truth(SO101))
    state = plant.state
    assert state.time == 0.0
    run(plant, 0.01)
    assert plant.state is state
    assert state.time == pytest.approx(0.01)


def test_divergence_is_an_error_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plant = MujocoPlant(SO101, nominal_truth(SO101))
    plant.data.qvel[0] = 1e5
    with pytest.raises(SimulationError, match=r"diverged.*rad/s: check") as caught:
        run(plant, 0.01)
    assert "\n" not in str(caught.value)
    with pytest.raises(SimulationError, match="NaN"):
        run(MujocoPlant(SO101, nominal_truth(SO101)), 0.001, {0: math.nan})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda plant: plant.attach_payload(-0.1), "payload of -0.1 kg"),
        (lambda plant: plant.push(6, 1.0, 1.0), "no joint 6: give 0 to 5"),
        (lambda plant: plant.push(0, math.inf, 1.0), "push of inf"),
        (lambda plant: plant.set_friction_scale(0, -1.0), "friction scale = -1.0"),
        (lambda plant: plant.set_stuck(-1, stuck=True), "no joint -1"),
        (lambda plant: plant.set_supply(math.nan), "supply voltage = nan"),
        (lambda plant: plant.set_temperature(0, math.nan), "temperature = nan"),
    ],
)
def test_impossible_faults_are_refused(call: Callable[[Plant], None], message: str) -> None:
    plant = MujocoPlant(SO101, truth_with(), Scene(table=False), np.zeros(N))
    with pytest.raises(ConfigError, match=message):
        call(plant)


def test_a_timestep_too_long_for_servos_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"timestep = 0.002 s"):
        MujocoPlant(SO101, truth_with(), Scene(timestep=0.002))


def test_a_start_position_of_another_length_is_refused() -> None:
    start: FloatArray = np.zeros(5)
    with pytest.raises(ConfigError, match="give 6 angles"):
        MujocoPlant(SO101, truth_with(), position=start)
