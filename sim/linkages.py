"""The linkages that there are, by the name that an arm's definition gives."""

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import ArmDefinition
from robot_mbrl.sim.koch import KOCH
from robot_mbrl.sim.links import Linkage
from robot_mbrl.sim.so101 import SO101

LINKAGES = {linkage.name: linkage for linkage in (SO101, KOCH)}


def linkage_of(arm: ArmDefinition) -> Linkage:
    """The linkage that `arm.model` names.

    Raises:
        ConfigError: there is none, or it has another number of joints.
    """
    linkage = LINKAGES.get(arm.model)
    if linkage is None:
        raise ConfigError(f"{arm.name}: unknown model {arm.model!r}: give one of {', '.join(sorted(LINKAGES))}")
    if len(linkage.links) != len(arm.joints):
        raise ConfigError(
            f"{arm.name}: {len(arm.joints)} joints, but model {arm.model} has {len(linkage.links)}: list as many joints"
        )
    return linkage
