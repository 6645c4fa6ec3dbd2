"""What a bundle brings along for its deployment: the policy's rate, and the monitor's ensemble and thresholds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from robot_mbrl.contracts.config import one_line
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.bundle import ENSEMBLE, Bundle, read_bundle
from robot_mbrl.runtime.settings import DeploySettings

PREFIX: Final = "bundle:"
"""How the name of a policy begins that is a bundle's, see `policies.registry`."""


def with_bundle(settings: DeploySettings) -> DeploySettings:
    """`settings`, with what the bundles of their policies bring along wherever they are silent.

    What stands in `settings` counts: the policy's rate, an ensemble, or thresholds. A bundle's thresholds go with its
    own ensemble only; `preflight` refuses one that is left without any. One monitor judges both policies: the rate is
    the first bundle's, doubt is judged as any of them has it.

    Raises:
        ConfigError: a bundle cannot be read, its rate is above the control loop's, or two bundles would have doubt
            judged in different ways.
    """
    bundles = _bundles_of(settings)
    if not bundles:
        return settings
    first, changes = bundles[0], dict[str, Any]()
    if "policy_rate" not in settings.loop.model_fields_set:
        changes["loop"] = {**settings.loop.model_dump(exclude_unset=True), "policy_rate": 1.0 / first.manifest.period}
    if settings.ensemble is None:
        changes |= _doubt_of(bundles, settings)
    try:
        return DeploySettings.model_validate({**dict(settings), **changes})
    except ValidationError as error:
        raise ConfigError(one_line(error, str(first.folder))) from error


def _bundles_of(settings: DeploySettings) -> list[Bundle]:
    named = [policy for policy in (settings.policy, settings.standby) if policy is not None]
    return [read_bundle(Path(policy.removeprefix(PREFIX))) for policy in named if policy.startswith(PREFIX)]


def _doubt_of(bundles: Sequence[Bundle], settings: DeploySettings) -> dict[str, Any]:
    """What changes in `settings` by the ensemble and the thresholds of `bundles`."""
    watching = [bundle for bundle in bundles if bundle.ensemble is not None]
    if not watching:
        return {}
    _check_alike("ensembles", watching, [bundle.manifest.files[ENSEMBLE] for bundle in watching])
    changes: dict[str, Any] = {"ensemble": watching[0].ensemble}
    judging = [(bundle, bundle.thresholds) for bundle in watching if bundle.thresholds is not None]
    if judging and "uncertainty" not in settings.safety:
        given = [thresholds.over({}) for _, thresholds in judging]
        _check_alike("thresholds", [bundle for bundle, _ in judging], [found["uncertainty"] for found in given])
        changes["safety"] = judging[0][1].over(settings.safety)
    return changes


def _check_alike(what: str, bundles: Sequence[Bundle], found: Sequence[object]) -> None:
    if any(other != found[0] for other in found):
        raise ConfigError(
            f"{' and '.join(str(bundle.folder) for bundle in bundles)} bring different {what} along, and one monitor "
            "judges both: give --ensemble and --thresholds, or export both with the same"
        )
