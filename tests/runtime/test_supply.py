"""An arm on another supply than its definition's: slowed by the monitor, unless the robot's settings name it."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.config import RobotSettings, dump_settings, parse_settings
from robot_mbrl.contracts.errors import ConfigError, ProcessFailed
from robot_mbrl.contracts.types import FloatArray, VerdictLevel
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.data.log_header import LogHeader
from robot_mbrl.data.replay import build_monitor as replayed_monitor
from robot_mbrl.data.replay import replay
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.policies.sine import SinePolicy, SineSettings
from robot_mbrl.runtime.lockstep_flight import LockstepFlight
from robot_mbrl.runtime.monitor_setup import build_monitor, deployed_arm, monitor_settings
from robot_mbrl.runtime.preflight import check_deployment
from robot_mbrl.runtime.recorder import flight_header
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from robot_mbrl.sim.geometry import MujocoGeometry
from robot_mbrl.sim.truth import nominal_truth

ARM = load_arm("so101_follower")
START: FloatArray = np.array([0.3, -0.9, 0.3, 0.4, 0.5, 0.6])
SUPPLY = 5.0
"""Of many kits [V]; the definition says 7.4."""


def robot(**changes: object) -> RobotSettings:
    return RobotSettings.model_validate({"arm": ARM.name, "port": "/dev/none", **changes})


def flown(settings: RobotSettings) -> FrameArray:
    """Frames of an emulated arm on 5 V that swings its base, judged as its deployment does."""
    truth = nominal_truth(ARM).model_copy(update={"supply_voltage": {"sts3215": SUPPLY}})
    told = DeploySettings(robot=settings, loop=LoopSettings(rate=100.0, policy_rate=20.0))
    flight = LockstepFlight(ARM, truth, START, told, build_monitor(deployed_arm(settings), MujocoGeometry(ARM)))
    return flight.fly(SinePolicy(SineSettings(amplitude=0.2, frequency=0.5), flight.space()), 1.0)


def test_with_the_setting_the_arm_passes_at_full_speed() -> None:
    frames = flown(robot(supply_voltage=SUPPLY))
    assert len(frames) > 100
    assert set(frames["verdict"]) == {VerdictLevel.PASS}
    assert set(frames["speed_scale"]) == {1.0}


def test_without_the_setting_it_is_slowed_all_the_time() -> None:
    with pytest.raises(ProcessFailed, match="it is slowed"):
        flown(robot())
    monitor, supplied = build_monitor(deployed_arm(robot())), flown(robot(supply_voltage=SUPPLY))
    verdicts = [monitor.judge(supplied[tick : tick + 1]) for tick in range(len(supplied))]
    # Before the first round of the health readings is done nothing is known of the supply.
    told = verdicts[np.flatnonzero(np.isfinite(supplied["voltage"][:, : len(ARM.joints)]).any(axis=1))[0] :]
    assert len(told) > 100
    assert {(verdict.level, verdict.reason) for verdict in told} == {(VerdictLevel.SLOW, "undervoltage")}
    # From 0.8 to 0.6 of 7.4 V the scale falls from 1 to 0.1: it is 0.44 at 5.0 V, and less under load.
    scales = [verdict.speed_scale for verdict in told]
    assert 0.3 < min(scales) <= max(scales) < 0.45


def test_the_supply_is_every_joints_nominal_one_and_changes_nothing_else() -> None:
    own, changed = monitor_settings(ARM), monitor_settings(deployed_arm(robot(supply_voltage=SUPPLY)))
    assert {joint.supply_voltage for joint in changed.joints} == {SUPPLY}
    joints = tuple(joint.model_copy(update={"supply_voltage": 7.4}) for joint in changed.joints)
    assert changed.model_copy(update={"joints": joints}) == own


def test_the_log_names_the_supply_and_is_judged_again_with_it_to_the_bit() -> None:
    settings = robot(supply_voltage=SUPPLY)
    header = flight_header(DeploySettings(robot=settings))
    assert {joint.supply_voltage for joint in header.monitor.joints} == {SUPPLY}
    assert {joint.supply_voltage for joint in header.arm.joints} == {SUPPLY}
    read = LogHeader.from_metadata(header.to_metadata())
    assert read == header
    assert replay(flown(settings), replayed_monitor(read), from_start=True).differing == 0


def test_without_the_setting_the_arm_is_the_definitions() -> None:
    assert deployed_arm(robot()) == ARM
    assert deployed_arm(TwinSettings()) == ARM


@pytest.mark.parametrize(
    ("arm", "voltage", "joint"),
    [
        ("so101_follower", 12.0, "shoulder_pan"),
        ("so101_follower", 3.9, "shoulder_pan"),
        # Two rails: what the big servos have, the small ones do not bear, and the other way round.
        ("koch_follower", 12.0, "elbow_flex"),
        ("koch_follower", 5.0, "shoulder_pan"),
    ],
)
def test_a_supply_that_a_servo_does_not_accept_is_refused_before_the_port_is_opened(
    tmp_path: Path, arm: str, voltage: float, joint: str
) -> None:
    settings = DeploySettings(robot=robot(arm=arm, supply_voltage=voltage), log=tmp_path)
    with pytest.raises(ConfigError, match=f"supply_voltage {voltage:g} V: {joint} of {arm} accepts") as caught:
        check_deployment(settings, ManualClock())
    assert "\n" not in str(caught.value)
    assert "docs/hardware.md" in str(caught.value)


@pytest.mark.parametrize("value", ["0", "-5.0", ".inf", "high"])
def test_a_supply_is_a_positive_voltage(value: str) -> None:
    with pytest.raises(ConfigError, match=r"robot\.yaml: supply_voltage = "):
        parse_settings(f"arm: so101_follower\nport: p\nsupply_voltage: {value}\n", RobotSettings, "robot.yaml")


def test_servos_of_another_voltage_have_a_definition_of_their_own(tmp_path: Path) -> None:
    """As docs/hardware.md says, for the STS3215 of 12 V."""
    changes = {"supply_voltage": 12.0, "voltage_limits": [4.0, 14.0], "velocity_limit": 4.7}
    joints = [joint.model_dump(mode="json") | changes for joint in ARM.joints]
    path = tmp_path / "so101_12v.yaml"
    content = {**yaml.safe_load(dump_settings(ARM)), "name": "so101_12v", "joints": joints}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    arm = deployed_arm(robot(arm=str(path)))
    assert {joint.supply_voltage for joint in monitor_settings(arm).joints} == {12.0}
    build_monitor(arm, MujocoGeometry(arm))
    for joint in arm.joints:
        low, high = joint.voltage_limits
        assert low < 12.0 * (1.0 - 0.4) < 12.0 * (1.0 + 0.08) < high
