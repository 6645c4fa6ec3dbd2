"""The supply of one particular arm, where it is another than its definition says."""

from robot_mbrl.contracts.config import RobotSettings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms.definition import ArmDefinition, JointDefinition, load_arm


def refusing_joint(arm: ArmDefinition, voltage: float) -> JointDefinition | None:
    """The first joint of `arm` whose servo does not accept a supply of `voltage` [V]; None where all accept it."""
    for joint in arm.joints:
        low, high = joint.voltage_limits
        if not low <= voltage <= high:
            return joint
    return None


def with_supply(arm: ArmDefinition, voltage: float) -> ArmDefinition:
    """`arm` with all its servos on one supply of `voltage` [V]; its speeds and torques stay those of the definition.

    Raises:
        ConfigError: a servo does not accept that supply.
    """
    refusing = refusing_joint(arm, voltage)
    if refusing is not None:
        low, high = refusing.voltage_limits
        raise ConfigError(
            f"supply_voltage {voltage:g} V: {refusing.name} of {arm.name} accepts {low:g} to {high:g} V: give the "
            "voltage of its supply, or as the arm a definition for servos of that voltage (docs/hardware.md)"
        )
    joints = tuple(joint.model_copy(update={"supply_voltage": voltage}) for joint in arm.joints)
    return arm.model_copy(update={"joints": joints})


def load_robot(settings: RobotSettings) -> ArmDefinition:
    """The definition of the arm that `settings` name, on the supply that they name.

    Raises:
        ConfigError: there is no such definition, it is wrong, or its servos do not accept that supply.
    """
    arm = load_arm(settings.arm)
    return arm if settings.supply_voltage is None else with_supply(arm, settings.supply_voltage)
