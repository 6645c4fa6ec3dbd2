"""Arm definitions: the published facts in those that ship, and what a wrong one is told."""

from pathlib import Path

import pytest

from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import ArmDefinition, arm_names, load_arm
from robot_mbrl.drivers.control_tables import control_table

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")


def test_the_four_arms_ship() -> None:
    assert arm_names() == ("koch_follower", "koch_leader", "so101_follower", "so101_leader")


@pytest.mark.parametrize("name", arm_names())
def test_joints_have_the_ids_1_to_6_in_order_at_1_mbps(name: str) -> None:
    arm = load_arm(name)
    assert arm.name == name
    assert arm.joint_names == JOINTS
    assert [joint.id for joint in arm.joints] == [1, 2, 3, 4, 5, 6]
    assert arm.baud == 1_000_000


@pytest.mark.parametrize("name", arm_names())
def test_every_register_of_a_definition_exists_and_takes_its_value(name: str) -> None:
    arm = load_arm(name)
    for joint in arm.joints:
        table = control_table(joint.servo)
        assert table.protocol == arm.protocol
        for register, value in joint.registers.items():
            assert table[register].writable
            assert table[register].permits(value)


@pytest.mark.parametrize("name", arm_names())
def test_limits_and_park_positions_are_reachable_in_one_turn(name: str) -> None:
    for joint in load_arm(name).joints:
        ticks = [joint.nominal_map.to_tick(limit) for limit in (*joint.position_limits, joint.park_position)]
        assert all(0 <= tick <= 4095 for tick in ticks)


def test_so101_ranges_and_gears_are_the_published_ones() -> None:
    follower, leader = load_arm("so101_follower"), load_arm("so101_leader")
    assert [joint.gear_ratio for joint in follower.joints] == [345] * 6
    assert [joint.gear_ratio for joint in leader.joints] == [191, 345, 191, 147, 147, 147]
    assert follower.joints[0].position_limits == (-1.91986, 1.91986)
    assert follower.joints[4].position_limits == (-2.74385, 2.84121)
    gripper = follower.joints[5].registers
    assert (gripper["max_torque_limit"], gripper["protection_current"], gripper["overload_torque"]) == (500, 250, 25)


def test_koch_follower_has_two_large_and_four_small_servos() -> None:
    assert [joint.servo for joint in load_arm("koch_follower").joints] == ["xl430-w250"] * 2 + ["xl330-m288"] * 4


@pytest.mark.parametrize("name", arm_names())
def test_the_temperature_limit_is_the_lowest_that_a_servo_of_the_arm_has_from_the_factory(name: str) -> None:
    arm = load_arm(name)
    tables = [control_table(joint.servo) for joint in arm.joints]
    register = "max_temperature_limit" if arm.protocol == "feetech" else "temperature_limit"
    assert arm.temperature_limit == min(table[register].default for table in tables)


@pytest.mark.parametrize("name", arm_names())
def test_sources_tell_of_nothing_that_the_arm_does_not_have(name: str) -> None:
    arm = load_arm(name)
    registers = {register for joint in arm.joints for register in joint.registers}
    text = " ".join(arm.sources.values())
    assert ("protection current" in text) == ("protection_current" in registers)
    assert ("P 1500" in text) == ("position_p_gain" in registers)
    servos = {joint.servo for joint in arm.joints}
    torque = arm.sources["torque_limit"].lower()
    assert {kind for kind in ("sts3215", "xl330-m077", "xl330-m288", "xl430-w250") if kind in torque} == servos


def test_the_koch_leader_has_the_stall_torque_of_its_supply() -> None:
    """XL330-M077 on 5 V, ROBOTIS e-Manual; 0.228 N·m is what it has on 6 V."""
    assert {(joint.supply_voltage, joint.torque_limit) for joint in load_arm("koch_leader").joints} == {(5.0, 0.215)}


def write_definition(path: Path, old: str, new: str) -> str:
    text = dump_settings(load_arm("so101_follower"))
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return str(path)


def test_a_definition_can_be_loaded_from_a_file_of_its_own(tmp_path: Path) -> None:
    path = write_definition(tmp_path / "mine.yaml", "name: so101_follower", "name: mine")
    arm = load_arm(path)
    assert arm.name == "mine"
    assert isinstance(arm, ArmDefinition)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("gear_ratio: 345.0", "gear_ration: 345.0", "unknown key joints.0.gear_ration"),
        ("gear_ratio: 345.0", "gear_ratio: -1.0", "joints.0.gear_ratio = -1.0"),
        ("id: 2", "id: 1", "id 1 is given to more than one joint"),
        ("id: 2", "id: 253", "joints.1.id = 253"),
        ("velocity_limit: 4.9", "velocity_limit: .nan", "joints.0.velocity_limit"),
        ("servo: sts3215", "servo: sts9999", "joints.0.servo = 'sts9999'"),
        ("- -1.91986", "- 3.0", "3.0 must be below 1.91986"),
    ],
)
def test_a_wrong_definition_is_told_in_one_line_with_the_key(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    path = write_definition(tmp_path / "wrong.yaml", old, new)
    with pytest.raises(ConfigError) as caught:
        load_arm(path)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_arm_is_told_which_there_are() -> None:
    with pytest.raises(ConfigError, match=r"unknown arm 'so100': give one of koch_follower, .* or the path"):
        load_arm("so100")
