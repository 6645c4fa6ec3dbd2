"""What a bundle brings along for its deployment: the policy's rate, and the monitor's ensemble and thresholds."""

from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from robot_mbrl.contracts.config import one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.bundle import Bundle, read_bundle
from robot_mbrl.runtime.settings import DeploySettings

PREFIX: Final = "bundle:"
"""How the name of a policy begins that is a bundle's, see `policies.registry`."""


def with_bundle(settings: DeploySettings) -> DeploySettings:
    """`settings`, with what the bundle of their policy brings along wherever they are silent.

    What stands in `settings` counts: the policy's rate, an ensemble, or thresholds. A bundle's thresholds go with its
    own ensemble only; `preflight` refuses one that is left without any. Where two policies are bundles, the first one's
    things are taken: one monitor judges both.

    Raises:
        ConfigError: the bundle cannot be read, or its rate is above the control loop's.
    """
    bundle = _bundle_of(settings)
    if bundle is None:
        return settings
    changes: dict[str, Any] = {}
    if "policy_rate" not in settings.loop.model_fields_set:
        changes["loop"] = {**settings.loop.model_dump(exclude_unset=True), "policy_rate": 1.0 / bundle.manifest.period}
    if settings.ensemble is None and bundle.ensemble is not None:
        changes["ensemble"] = bundle.ensemble
        if bundle.thresholds is not None and "uncertainty" not in settings.safety:
            changes["safety"] = {**settings.safety, **bundle.thresholds.model_dump(mode="json")}
    try:
        return DeploySettings.model_validate({**dict(settings), **changes})
    except ValidationError as error:
        raise ConfigError(one_line(error, str(bundle.folder))) from error


def _bundle_of(settings: DeploySettings) -> Bundle | None:
    for policy in (settings.policy, settings.standby):
        if policy is not None and policy.startswith(PREFIX):
            return read_bundle(Path(policy.removeprefix(PREFIX)))
    return None
