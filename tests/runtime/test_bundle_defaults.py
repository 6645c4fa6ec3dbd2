"""What a deployment takes from its bundle, and what it says itself."""

from pathlib import Path

import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.bundle import ENSEMBLE
from robot_mbrl.runtime.bundle_defaults import with_bundle
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from tests.policies.synthetic_bundles import ensemble_content, make_bundle, monitor_thresholds


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    content = ensemble_content()
    return make_bundle(
        tmp_path_factory.mktemp("bundles") / "bundle", ensemble=content, thresholds=monitor_thresholds(content)
    )


def test_a_deployment_that_says_nothing_takes_all(bundle: Path) -> None:
    settings = with_bundle(DeploySettings(robot=TwinSettings(), policy=f"bundle:{bundle}", session="mine"))
    assert settings.loop == LoopSettings(policy_rate=20.0)
    assert settings.ensemble == bundle / ENSEMBLE
    assert settings.safety == monitor_thresholds(ensemble_content()).model_dump(mode="json")
    assert settings.session == "mine"


def test_so_does_one_whose_bundle_stands_by(bundle: Path) -> None:
    settings = with_bundle(DeploySettings(robot=TwinSettings(), policy="sine", standby=f"bundle:{bundle}"))
    assert settings.loop.policy_rate == 20.0
    assert settings.ensemble == bundle / ENSEMBLE


def test_what_is_said_counts(bundle: Path) -> None:
    said = DeploySettings(
        robot=TwinSettings(),
        policy=f"bundle:{bundle}",
        loop=LoopSettings(rate=100.0, policy_rate=10.0),
        ensemble=Path("mine.onnx"),
        safety={"hold_limit": 2.0},
    )
    assert with_bundle(said) == said


def test_thresholds_that_are_said_count_for_the_bundles_ensemble(bundle: Path) -> None:
    mine = {"uncertainty": {"disagreement": {"stop": 3.0}}, "hold_limit": 2.0}
    settings = with_bundle(DeploySettings(robot=TwinSettings(), policy=f"bundle:{bundle}", safety=mine))
    assert settings.ensemble == bundle / ENSEMBLE
    assert settings.safety == mine


def test_other_safety_settings_stay(bundle: Path) -> None:
    settings = with_bundle(DeploySettings(robot=TwinSettings(), policy=f"bundle:{bundle}", safety={"hold_limit": 2.0}))
    assert settings.safety["hold_limit"] == 2.0
    assert "uncertainty" in settings.safety


@pytest.mark.parametrize("policy", [None, "sine"])
def test_without_a_bundle_nothing_changes(policy: str | None) -> None:
    said = DeploySettings(robot=TwinSettings(), policy=policy)
    assert with_bundle(said) == said


def test_a_policy_that_is_faster_than_the_loop(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "bundle", period=0.001)
    with pytest.raises(ConfigError, match=r"policy_rate 1000\.0 Hz is above the loop's rate 200\.0 Hz") as caught:
        with_bundle(DeploySettings(robot=TwinSettings(), policy=f"bundle:{made}"))
    assert "\n" not in str(caught.value)
