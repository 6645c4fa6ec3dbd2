"""The model beside the policy: it must be this arm's, and the one that the thresholds were taken with."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.policies.ensemble_export import EnsembleWeights, write_ensemble
from robot_mbrl.policies.ensemble_file import EnsembleDescription
from robot_mbrl.runtime.monitor_setup import build_watch
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings

ARM = load_arm("so101_follower")
OTHER = "0" * 64


def ensemble(path: Path, joints: tuple[str, ...] = ARM.joint_names, period: float = 0.05) -> Path:
    """A linear ensemble of two members that predicts no change."""
    n = len(joints)
    weights = EnsembleWeights(np.zeros(3 * n), np.ones(3 * n), [np.zeros((2, 3 * n, 4 * n))], [np.zeros((2, 4 * n))])
    write_ensemble(path, weights, EnsembleDescription(joint_names=joints, period=period, scale=2 * n * (0.1,)))
    return path


def settings(path: Path | None, model: str | None) -> DeploySettings:
    uncertainty = {"disagreement": {"stop": 1.0}, "residual": {"stop": 3.0}, "model": model}
    return DeploySettings(robot=TwinSettings(), ensemble=path, safety={"uncertainty": uncertainty})


def test_thresholds_of_the_ensemble_are_accepted(tmp_path: Path) -> None:
    path = ensemble(tmp_path / "ensemble.onnx")
    assert build_watch(ARM, settings(path, hashlib.sha256(path.read_bytes()).hexdigest())) is not None
    assert build_watch(ARM, settings(path, None)) is not None
    assert build_watch(ARM, settings(None, None)) is None


def test_thresholds_of_another_ensemble_are_refused(tmp_path: Path) -> None:
    path = ensemble(tmp_path / "ensemble.onnx")
    with pytest.raises(
        ConfigError, match=r"ensemble\.onnx: its SHA-256 is \w{12}, the thresholds were taken with 0{12}"
    ):
        build_watch(ARM, settings(path, OTHER))
    with pytest.raises(ConfigError, match=r"its thresholds belong to the ensemble 0{12}: give it"):
        build_watch(ARM, settings(None, OTHER))


def test_an_ensemble_of_another_arm_is_refused(tmp_path: Path) -> None:
    path = ensemble(tmp_path / "ensemble.onnx", ARM.joint_names[::-1])
    with pytest.raises(ConfigError, match=r"ensemble of gripper, .*: this arm has shoulder_pan"):
        build_watch(ARM, settings(path, None))


def looped(path: Path | None, rate: float, *, required: bool = False) -> DeploySettings:
    """A loop at `rate` [Hz] under an ensemble."""
    told = settings(path, None)
    safety = {"uncertainty": {**told.safety["uncertainty"], "required": required}}
    return told.model_copy(update={"loop": LoopSettings(rate=rate, policy_rate=10.0), "safety": safety})


@pytest.mark.parametrize(("period", "rate"), [(0.05, 30.0), (0.05, 39.9), (1.0, 1000.0)])
def test_a_loop_in_which_there_would_never_be_a_residual_is_refused(tmp_path: Path, period: float, rate: float) -> None:
    path = ensemble(tmp_path / "ensemble.onnx", period=period)
    with pytest.raises(
        ConfigError, match=rf"at \d+ to \d+ Hz, the loop runs at {rate:g} Hz: change loop.rate"
    ) as error:
        build_watch(ARM, looped(path, rate))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("period", "rate"), [(0.05, 40.0), (0.05, 2000.0), (1.0, 10.0), (1.0, 500.0)])
def test_at_a_rate_that_is_accepted_there_is_a_residual(tmp_path: Path, period: float, rate: float) -> None:
    watch = build_watch(ARM, looped(ensemble(tmp_path / "ensemble.onnx", period=period), rate, required=True))
    assert watch is not None
    still = np.zeros(len(ARM.joint_names))
    doubts = [watch.update(to_ns(tick / rate), still, still, still, still) for tick in range(round(period * rate) + 4)]
    assert np.isfinite(doubts[-1]).all()


def test_a_residual_that_is_required_needs_an_ensemble() -> None:
    with pytest.raises(ConfigError, match="requires a residual, which needs an ensemble: give one"):
        build_watch(ARM, looped(None, 200.0, required=True))
