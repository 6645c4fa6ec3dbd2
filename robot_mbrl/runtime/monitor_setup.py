"""The safety monitor of an arm, from its definition, and the model beside it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from robot_mbrl.contracts.config import RobotSettings, merged, one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.geometry import ArmGeometry
from robot_mbrl.contracts.monitor_settings import MonitorSettings
from robot_mbrl.drivers.arms import ArmDefinition, load_arm
from robot_mbrl.drivers.arms.supply import load_robot
from robot_mbrl.policies.ensemble_file import model_digest
from robot_mbrl.policies.model_watch import ModelWatch
from robot_mbrl.policies.onnx_ensemble import OnnxEnsemble
from robot_mbrl.runtime.settings import AnyRobot, DeploySettings
from robot_mbrl.safety.monitor import Monitor


def deployed_arm(robot: AnyRobot) -> ArmDefinition:
    """The arm that a deployment flies: what its monitor is built from, and what its logs name.

    Raises:
        ConfigError: there is no such definition, it is wrong, or its servos do not accept the robot's supply.
    """
    return load_robot(robot) if isinstance(robot, RobotSettings) else load_arm(robot.arm)


def monitor_settings(arm: ArmDefinition, overrides: Mapping[str, Any] | None = None) -> MonitorSettings:
    """The limits of `arm`'s joints and its `safety` section, changed by `overrides`: keys and sections as in the YAML.

    Raises:
        ConfigError: an unknown key, a value out of range, or limits that contradict each other.
    """
    currents = arm.safety.kinematics.current_limits
    limits = [
        {
            "name": joint.name,
            "position": joint.position_limits,
            "velocity": joint.velocity_limit,
            "acceleration": joint.acceleration_limit,
            "jerk": joint.jerk_limit,
            "current": currents.get(joint.servo),
            "supply_voltage": joint.supply_voltage,
        }
        for joint in arm.joints
    ]
    safety = merged(arm.safety.model_dump(), overrides or {})
    try:
        settings = MonitorSettings.model_validate({**safety, "joints": limits})
    except ValidationError as error:
        raise ConfigError(one_line(error, f"safety of {arm.name}")) from error
    hottest = settings.health.temperature.stop
    if hottest is not None and hottest > arm.temperature_limit:
        raise ConfigError(
            f"safety of {arm.name}: health: temperature: stop = {hottest:g} °C is above temperature_limit = "
            f"{arm.temperature_limit:g} °C, at which the servos let go by themselves: give less"
        )
    return settings


def build_monitor(
    arm: ArmDefinition, geometry: ArmGeometry | None = None, overrides: Mapping[str, Any] | None = None
) -> Monitor:
    """The monitor for `arm`; with a `geometry` it also watches the workspace and the clearances.

    Raises:
        ConfigError: limits that contradict each other, or a park pose that the monitor would not let the arm rest in.
    """
    settings = monitor_settings(arm, overrides)
    if geometry is not None:
        _check_park_pose(arm, settings, geometry)
    return Monitor(settings, geometry)


def build_watch(arm: ArmDefinition, settings: DeploySettings) -> ModelWatch | None:
    """The model that watches the policy of the deployment that `settings` describe; None without one.

    Raises:
        ConfigError: the ensemble cannot be used, is another arm's, or cannot be followed at the loop's rate; the
            thresholds were taken with another one, or need one.
    """
    uncertainty = monitor_settings(arm, settings.safety).uncertainty
    expected = uncertainty.model
    if settings.ensemble is None:
        if expected is not None:
            raise ConfigError(f"safety of {arm.name}: its thresholds belong to the ensemble {expected[:12]}: give it")
        if uncertainty.required:
            raise ConfigError(f"safety of {arm.name}: requires a residual, which needs an ensemble: give one")
        return None
    watch = ModelWatch(OnnxEnsemble(settings.ensemble), arm.joint_names)
    lowest, highest = watch.rates
    if not lowest <= settings.loop.rate <= highest:
        raise ConfigError(
            f"{settings.ensemble}: its predictions can be held against what came of them at {lowest:g} to "
            f"{highest:.0f} Hz, the loop runs at {settings.loop.rate:g} Hz: change loop.rate, or train one with "
            "another period"
        )
    found = model_digest(settings.ensemble)
    if expected is not None and found != expected:
        raise ConfigError(
            f"{settings.ensemble}: its SHA-256 is {found[:12]}, the thresholds were taken with {expected[:12]}: give "
            "that ensemble, or calibrate the monitor with this one"
        )
    return watch


def _check_park_pose(arm: ArmDefinition, settings: MonitorSettings, geometry: ArmGeometry) -> None:
    """Refuse limits that the arm breaks where it is parked."""
    workspace = settings.workspace
    park = np.array([joint.park_position for joint in arm.joints])
    tool = geometry.tool_position(park).tolist()
    where = f"safety of {arm.name}: with the arm parked, the tool at ({tool[0]:.3f}, {tool[1]:.3f}, {tool[2]:.3f}) m"
    remedy = "change the park position or the limit"
    if not all(low <= x <= high for low, x, high in zip(workspace.box.low, tool, workspace.box.high, strict=True)):
        raise ConfigError(f"{where} is outside {workspace.box.low}..{workspace.box.high}: {remedy}")
    if not tool[2] >= workspace.floor:
        raise ConfigError(f"{where} is below the floor at {workspace.floor} m: {remedy}")
    for box in workspace.keep_outs:
        if all(low < x < high for low, x, high in zip(box.low, tool, box.high, strict=True)):
            raise ConfigError(f"{where} is inside the keep-out {box.name} {box.low}..{box.high}: {remedy}")
    nearest = geometry.clearance(park)
    if not nearest.distance >= workspace.hold_clearance:
        raise ConfigError(
            f"safety of {arm.name}: with the arm parked, {nearest.pair} are {nearest.distance:.4f} m apart, "
            f"hold_clearance is {workspace.hold_clearance} m: {remedy}"
        )
