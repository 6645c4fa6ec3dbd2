"""tick -> rad -> tick is the identity, for every joint of every arm over its whole range."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_mbrl.drivers.arms import RAD_PER_TICK, JointMap, arm_names, load_arm
from robot_mbrl.drivers.calibration import nominal_calibration


@pytest.mark.parametrize("name", arm_names())
def test_every_tick_of_every_joint_survives_the_way_to_radians_and_back(name: str) -> None:
    for joint in nominal_calibration(load_arm(name)).joints.values():
        joint_map = joint.joint_map
        for tick in range(4096):
            assert joint_map.to_tick(joint_map.to_rad(tick)) == tick


@given(st.sampled_from([-1, 1]), st.integers(-5000, 5000), st.integers(-1_048_575, 1_048_575))
def test_the_identity_holds_for_any_sign_zero_and_multi_turn_tick(sign: int, zero: int, tick: int) -> None:
    joint_map = JointMap(sign, zero)
    assert joint_map.to_tick(joint_map.to_rad(tick)) == tick


@given(st.sampled_from([-1, 1]), st.integers(0, 4095), st.floats(-3.2, 3.2))
def test_an_angle_is_off_by_half_a_tick_at_most(sign: int, zero: int, angle: float) -> None:
    joint_map = JointMap(sign, zero)
    assert abs(joint_map.to_rad(joint_map.to_tick(angle)) - angle) <= RAD_PER_TICK / 2 + 1e-12


def test_hand_computed_values() -> None:
    assert JointMap(1, 2048).to_rad(3072) == pytest.approx(math.pi / 2)
    assert JointMap(-1, 2048).to_rad(3072) == pytest.approx(-math.pi / 2)
    assert JointMap(1, 2048).to_tick(-math.pi / 4) == 1536
    assert JointMap(-1, 1000).to_tick(math.pi) == -1048
