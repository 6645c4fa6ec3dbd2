"""What a deployment takes from its bundle, and what it says itself."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import Grades, MonitorThresholds, UncertaintySettings
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.policies.bundle import ENSEMBLE
from robot_mbrl.runtime.bundle_defaults import with_bundle
from robot_mbrl.runtime.monitor_setup import monitor_settings
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings
from tests.policies.synthetic_bundles import ensemble_content, make_bundle, monitor_thresholds

ARM = load_arm("so101_follower")
CONTENT = ensemble_content()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def watched(folder: Path, content: bytes = CONTENT, **uncertainty: Any) -> Path:
    """A bundle with the ensemble `content` and such thresholds for it."""
    own = UncertaintySettings(model=hashlib.sha256(content).hexdigest(), **uncertainty)
    return make_bundle(folder, ensemble=content, thresholds=MonitorThresholds(uncertainty=own))


def judged(settings: DeploySettings, **uncertainty: Any) -> UncertaintySettings:
    """What a monitor of `settings` judges doubt by, on an arm that has such settings of its own."""
    own = UncertaintySettings.model_validate(uncertainty)
    arm = ARM.model_copy(update={"safety": ARM.safety.model_copy(update={"uncertainty": own})})
    return monitor_settings(arm, settings.safety).uncertainty


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
    found = monitor_settings(ARM, settings.safety)
    assert found.uncertainty == monitor_thresholds(ensemble_content()).uncertainty
    assert found.sources["uncertainty"] == "invented"
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


def test_a_bundle_takes_no_threshold_of_the_arms_away(tmp_path: Path) -> None:
    """Not by its silence, nor by the defaults that a file of thresholds spells out."""
    made = watched(tmp_path / "bundle", residual=Grades(stop=1e9))
    settings = with_bundle(DeploySettings(robot=TwinSettings(), policy=f"bundle:{made}"))
    own = {"required": True, "first_residual": 0.5, "disagreement": {"stop": 1.5}, "residual": {"stop": 9.0}}
    assert judged(settings, **own) == UncertaintySettings(
        required=True,
        first_residual=0.5,
        model=DIGEST,
        disagreement=Grades(stop=1.5),
        residual=Grades(stop=1e9),
    )


def test_a_bundle_can_require_its_thresholds(tmp_path: Path) -> None:
    own: dict[str, Any] = {"disagreement": Grades(stop=1.0), "residual": Grades(stop=2.0), "first_residual": 3.0}
    made = watched(tmp_path / "bundle", required=True, **own)
    settings = with_bundle(DeploySettings(robot=TwinSettings(), policy=f"bundle:{made}"))
    assert judged(settings) == UncertaintySettings(required=True, model=DIGEST, **own)


def test_grades_that_contradict_the_arms_are_refused(tmp_path: Path) -> None:
    made = watched(tmp_path / "bundle", residual=Grades(slow=1e9))
    settings = with_bundle(DeploySettings(robot=TwinSettings(), policy=f"bundle:{made}"))
    with pytest.raises(ConfigError, match=r"slow = 1000000000\.0 must be below stop = 9\.0"):
        judged(settings, residual={"stop": 9.0})


@pytest.mark.parametrize("first", ["sine", "bundle"])
def test_doubt_is_judged_as_either_bundle_has_it(tmp_path: Path, bundle: Path, first: str) -> None:
    policy = f"bundle:{make_bundle(tmp_path / 'silent', period=0.1)}" if first == "bundle" else first
    settings = with_bundle(DeploySettings(robot=TwinSettings(), policy=policy, standby=f"bundle:{bundle}"))
    assert settings.ensemble == bundle / ENSEMBLE
    assert judged(settings) == monitor_thresholds(CONTENT).uncertainty
    assert settings.loop.policy_rate == (10.0 if first == "bundle" else 20.0)


def test_the_thresholds_of_one_do_for_two_with_the_same_ensemble(tmp_path: Path, bundle: Path) -> None:
    other = make_bundle(tmp_path / "other", ensemble=CONTENT)
    settings = with_bundle(DeploySettings(robot=TwinSettings(), policy=f"bundle:{other}", standby=f"bundle:{bundle}"))
    assert judged(settings) == monitor_thresholds(CONTENT).uncertainty


def test_two_ways_to_judge_doubt_are_refused(tmp_path: Path, bundle: Path) -> None:
    another = watched(tmp_path / "ensemble", ensemble_content(period=0.1), residual=Grades(stop=9.0))
    stricter = watched(tmp_path / "thresholds", residual=Grades(stop=1.0))
    for other, what in ((another, "ensembles"), (stricter, "thresholds")):
        said = DeploySettings(robot=TwinSettings(), policy=f"bundle:{bundle}", standby=f"bundle:{other}")
        with pytest.raises(ConfigError, match=f"bring different {what} along, .*: give --ensemble and") as caught:
            with_bundle(said)
        assert str(bundle) in str(caught.value)
        assert str(other) in str(caught.value)
        assert "\n" not in str(caught.value)
        mine = Path("mine.onnx")
        assert with_bundle(said.model_copy(update={"ensemble": mine})).ensemble == mine


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
