"""Truths: published figures, draws, files, and writing them into compiled models."""

import math
from pathlib import Path

import mujoco
import numpy as np
import pytest
from pydantic import ValidationError

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import arm_names, load_arm
from robot_mbrl.sim.apply import TRUTH_FIELDS, apply_truth
from robot_mbrl.sim.model import Actuation, build_model
from robot_mbrl.sim.randomization import ARM_PARAMETERS, JOINT_PARAMETERS, PUBLISHED_RANGES, Randomization, Range
from robot_mbrl.sim.scene import Cube, Scene
from robot_mbrl.sim.truth import ArmTruth, JointTruth, draw_truth, load_truth, nominal_truth, save_truth

SO101 = load_arm("so101_follower")


def joint(truth: ArmTruth, name: str) -> JointTruth:
    return next(joint for joint in truth.joints if joint.name == name)


def test_the_sts3215_is_bam_s() -> None:
    servo = nominal_truth(SO101).joints[0]
    figures = servo.torque_constant, servo.resistance, servo.armature, servo.coulomb, servo.viscous
    assert figures == (1.212, 2.68, 0.0284, 0.052, 0.059)


def test_leader_gears_scale_the_motor() -> None:
    """1/147 instead of 1/345: kt 1.212 · 0.42609 = 0.5164, armature 0.0284 · 0.18155 = 0.005156."""
    wrist = joint(nominal_truth(load_arm("so101_leader")), "wrist_flex")
    assert wrist.torque_constant == pytest.approx(0.5164, abs=1e-4)
    assert wrist.armature == pytest.approx(0.005156, abs=1e-6)
    assert wrist.viscous == pytest.approx(0.01071, abs=1e-5)


@pytest.mark.parametrize(
    ("arm", "name", "supply", "stall", "no_load_rpm"),
    [
        ("koch_follower", "shoulder_pan", 11.1, 1.4, 57.0),
        ("koch_follower", "shoulder_pan", 12.0, 1.5, 61.0),
        ("koch_follower", "elbow_flex", 5.0, 0.52, 103.0),
        ("so101_follower", "shoulder_pan", 7.4, 2.94, 46.5),
    ],
)
def test_the_figures_reproduce_the_data_sheets(
    arm: str, name: str, supply: float, stall: float, no_load_rpm: float
) -> None:
    """Stall torque and no-load speed follow from the fits; fits to real servos and data sheets agree to 20 %."""
    servo = joint(nominal_truth(load_arm(arm)), name)
    k, resistance = servo.torque_constant, servo.resistance
    speed = (k * supply / resistance - servo.coulomb) / (servo.viscous + k**2 / resistance)
    assert k * supply / resistance - servo.coulomb == pytest.approx(stall, rel=0.2)
    assert speed * 60 / (2 * math.pi) == pytest.approx(no_load_rpm, rel=0.2)


def test_dynamixel_position_gain_is_the_e_manual_s() -> None:
    """P 128 makes one PWM unit of each tick of error: 1 rad is 651.9 ticks, full duty is 885."""
    servo = joint(nominal_truth(load_arm("koch_follower")), "elbow_flex")
    assert servo.position_gain * 128 == pytest.approx(651.8986 / 885, rel=1e-6)


@pytest.mark.parametrize("name", arm_names())
def test_draws_repeat_by_seed_and_differ_between_seeds(name: str) -> None:
    arm = load_arm(name)
    assert draw_truth(arm, np.random.default_rng(7)) == draw_truth(arm, np.random.default_rng(7))
    assert draw_truth(arm, np.random.default_rng(7)) != draw_truth(arm, np.random.default_rng(8))


@pytest.mark.parametrize("seed", range(20))
def test_draws_stay_within_the_published_ranges(seed: int) -> None:
    nominal, drawn = nominal_truth(SO101), draw_truth(SO101, np.random.default_rng(seed))
    for name, allowed in PUBLISHED_RANGES.ranges.items():
        pairs = (
            [(getattr(nominal, name), getattr(drawn, name))]
            if name in ARM_PARAMETERS
            else [(getattr(a, name), getattr(b, name)) for a, b in zip(nominal.joints, drawn.joints, strict=True)]
        )
        for before, after in pairs:
            values = (
                zip(before.values(), after.values(), strict=True) if isinstance(before, dict) else [(before, after)]
            )
            for old, new in values:
                low, high = (
                    (old * allowed.low, old * allowed.high)
                    if allowed.applies == "scale"
                    else (
                        allowed.low,
                        allowed.high,
                    )
                )
                assert low * (1 - 1e-12) <= new <= high * (1 + 1e-12), name


def test_the_order_of_ranges_does_not_matter() -> None:
    backwards = Randomization(ranges=dict(reversed(PUBLISHED_RANGES.ranges.items())))
    nominal = nominal_truth(SO101)
    assert backwards.draw(nominal, np.random.default_rng(1)) == PUBLISHED_RANGES.draw(nominal, np.random.default_rng(1))


@pytest.mark.parametrize("name", [*JOINT_PARAMETERS, *ARM_PARAMETERS])
def test_every_physical_parameter_can_be_randomized(name: str) -> None:
    nominal = nominal_truth(SO101)
    shift = Randomization(ranges={name: Range(low=0.001, high=0.002, applies="shift")})
    drawn = shift.draw(nominal, np.random.default_rng(0))
    assert drawn != nominal


def test_log_uniform_draws_halve_as_often_as_they_double() -> None:
    halves = Range(low=0.5, high=2.0, distribution="log_uniform")
    rng = np.random.default_rng(0)
    draws = np.array([halves.draw(1.0, rng) for _ in range(4000)])
    assert np.mean(draws < 1.0) == pytest.approx(0.5, abs=0.03)
    assert np.log(draws).std() == pytest.approx(2 * math.log(2) / math.sqrt(12), rel=0.05)


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"unknown parameter 'mass'.*torque_constant"):
        Randomization(ranges={"mass": Range(low=0.0, high=1.0)})


def test_a_file_gives_back_an_equal_truth(tmp_path: Path) -> None:
    truth = draw_truth(SO101, np.random.default_rng(3))
    save_truth(tmp_path / "truth.yaml", truth)
    assert load_truth(tmp_path / "truth.yaml", SO101) == truth


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("resistance: 2.68", "resistance: -2.68", r"joints\.0\.resistance = -2\.68"),
        ("coulomb: 0.052", "coulomp: 0.052", r"unknown key joints\.0\.coulomp"),
        ("link_mass_scale: 1.0", "link_mass_scale: 0.0", r"link_mass_scale = 0\.0"),
        ("name: elbow_flex", "name: elbow", r"its joints are .*elbow.*list exactly those"),
        ("sts3215: 7.4", "xl330-m288: 7.4", r"supply_voltage has xl330-m288"),
        ("payload_mass: 0.0", "payload_mass: .nan", r"payload_mass = nan"),
    ],
)
def test_wrong_files_are_refused_with_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "truth.yaml"
    save_truth(path, nominal_truth(SO101))
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        load_truth(path, SO101)
    assert "\n" not in str(caught.value)


def test_a_gap_in_some_joints_only_is_refused() -> None:
    truth = nominal_truth(SO101)
    first = truth.joints[0].model_copy(update={"backlash": 0.0})
    with pytest.raises(ValidationError, match=r"backlash is 0 for shoulder_pan only"):
        ArmTruth.model_validate({**truth.model_dump(), "joints": [first, *truth.joints[1:]]})


def model_arrays(model: mujoco.MjModel) -> dict[str, np.ndarray]:
    names = (name for name in dir(model) if not name.startswith("_"))
    return {name: value for name in names if isinstance(value := getattr(model, name), np.ndarray)}


@pytest.mark.parametrize("name", arm_names())
@pytest.mark.parametrize("actuation", ["voltage", "position"])
def test_applying_a_truth_equals_building_with_it(name: str, actuation: Actuation) -> None:
    arm = load_arm(name)
    scene = Scene(cube=Cube())
    first, second = (draw_truth(arm, np.random.default_rng(seed)) for seed in (1, 2))
    if actuation == "position":
        first, second = first.without_backlash(), second.without_backlash()
        longest = [joint.model_copy(update={"command_delay": 0.005}) for joint in first.joints]
        first = first.model_copy(update={"joints": tuple(longest)})
    applied, built = build_model(arm, first, scene, actuation), build_model(arm, second, scene, actuation)
    before = {key: value.copy() for key, value in model_arrays(applied).items()}
    apply_truth(applied, arm, second)
    fresh = model_arrays(built)
    for key, value in model_arrays(applied).items():
        if key not in ("actuator_history", "actuator_historyadr"):
            np.testing.assert_allclose(value, fresh[key], rtol=1e-9, atol=1e-15, err_msg=key)
        if not np.array_equal(value, before[key]):
            assert key in TRUTH_FIELDS, key
    assert applied.opt.gravity[2] == built.opt.gravity[2]


def test_a_truth_that_the_model_cannot_hold_is_refused() -> None:
    truth = nominal_truth(SO101)
    rigid = truth.without_backlash()
    model = build_model(SO101, rigid, actuation="position")
    with pytest.raises(ConfigError, match=r"built without backlash"):
        apply_truth(model, SO101, truth)
    slow = tuple(joint.model_copy(update={"command_delay": 0.02}) for joint in rigid.joints)
    with pytest.raises(ConfigError, match=r"command_delay = 0.02 s .*longest_delay"):
        apply_truth(model, SO101, rigid.model_copy(update={"joints": slow}))
    with pytest.raises(ConfigError, match=r"list exactly those|give one voltage"):
        apply_truth(model, SO101, nominal_truth(load_arm("koch_follower")))
