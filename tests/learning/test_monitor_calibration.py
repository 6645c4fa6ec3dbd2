"""Thresholds out of nominal flights: the model, the scores that the watch gives, and the promise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.testing import assert_allclose

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import Grades, UncertaintySettings
from robot_mbrl.learning.flight_episodes import FlightEpisode, cut_episodes, episode_windows
from robot_mbrl.learning.monitor_calibration import (
    CalibrationSettings,
    ScoredEpisode,
    calibrate_thresholds,
    score_episode,
    score_episodes,
)
from robot_mbrl.learning.monitor_model import (
    MonitorModelSettings,
    train_monitor_model,
    training_windows,
)
from robot_mbrl.policies import ensemble_export
from robot_mbrl.policies.ensemble import EnsembleSettings
from robot_mbrl.policies.ensemble_export import EnsembleWeights
from robot_mbrl.policies.ensemble_file import EnsembleDescription, model_digest
from robot_mbrl.policies.model_watch import ModelWatch
from robot_mbrl.policies.onnx_ensemble import OnnxEnsemble
from tests.learning.lagging_arm import ARM, JOINTS, LAG, NOISE, flight

SETTINGS = MonitorModelSettings(
    least_seconds=10.0,
    ensemble=EnsembleSettings(
        members=3,
        elites=3,
        hidden=(48, 48),
        weight_decay=(1e-5, 1e-5, 1e-5),
        initial_deviation=0.5,
        batch_size=128,
        beta=0.0,
        epochs=25,
        patience=25,
    ),
)
TRAINED = 30


def episode(seed: int, lag: float = LAG) -> FlightEpisode:
    (found,) = cut_episodes(flight(seed, lag=lag), JOINTS, f"flight {seed}")
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("monitor") / "ensemble.onnx"
    torch.set_num_threads(1)
    train_monitor_model(path, ARM.joint_names, [episode(seed) for seed in range(TRAINED)], SETTINGS)
    return path


@pytest.fixture(scope="module")
def watch(model: Path) -> ModelWatch:
    return ModelWatch(OnnxEnsemble(model), ARM.joint_names)


def test_the_model_learns_the_arm(model: Path) -> None:
    ensemble = OnnxEnsemble(model)
    assert ensemble.description.joint_names == ARM.joint_names
    assert ensemble.description.period == 0.05
    # Half of the median of what it predicts for angles, whose noise of two measurements is about 1.1 NOISE.
    assert 0.3 * NOISE < ensemble.description.noise[0] < 3.0 * NOISE
    cut = episode_windows(episode(1000), 0.05)
    steps = [ensemble.step(state, action) for state, action in zip(cut.state, cut.action, strict=True)]
    error = cut.next_state - [step.mean for step in steps]
    error, deviation = error[:, :JOINTS], np.sqrt([step.variance[:JOINTS] for step in steps])
    change = (cut.next_state - cut.state)[:, :JOINTS]
    assert np.sqrt(np.mean(error**2)) < 0.15 * np.sqrt(np.mean(change**2))
    assert 0.5 < np.sqrt(np.mean((error / deviation) ** 2)) < 2.0


@pytest.mark.parametrize("part", ["mean", "variance", "spread"])
def test_a_file_that_answers_otherwise_is_not_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Each part off for a tenth of a typical change, or of a variance, and the others as they were."""
    write = ensemble_export.ensemble_model

    def corrupted(weights: EnsembleWeights, description: EnsembleDescription) -> onnx.ModelProto:
        biases = [bias.copy() for bias in weights.biases]
        d = len(description.scale)
        if part == "mean":
            biases[-1][:, 0] += 0.1
        elif part == "variance":
            biases[-1][:, d] += 0.1
        else:
            biases[-1][:, 0] += (0.1, -0.1)
        return write(replace(weights, biases=biases), description)

    nets = SETTINGS.ensemble.model_copy(
        update={"members": 2, "elites": 2, "hidden": (8,), "weight_decay": (0.0, 0.0), "epochs": 2}
    )
    settings = SETTINGS.model_copy(update={"least_seconds": 1.0, "ensemble": nets})
    train_monitor_model(tmp_path / "whole.onnx", ARM.joint_names, [episode(0)], settings)
    monkeypatch.setattr(ensemble_export, "ensemble_model", corrupted)
    with pytest.raises(ConfigError, match=r"answers differ from the ensemble's by .*, at most 0\.001 is rounding"):
        train_monitor_model(tmp_path / "other.onnx", ARM.joint_names, [episode(0)], settings)
    assert [path.name for path in tmp_path.iterdir()] == ["whole.onnx"]


def test_too_little_motion_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"4\.0 s of motion in 2 episodes: 10 s are needed"):
        training_windows([episode(0), episode(1)], SETTINGS)


def test_a_joint_that_never_moves_is_refused(tmp_path: Path) -> None:
    frames = flight(0, seconds=12.0)
    for field in ("position", "velocity", "goal_position", "requested_position"):
        frames[field][:, 2] = 0.25
    with pytest.raises(ConfigError, match=r"position of elbow_flex' is 0\.25 in all"):
        train_monitor_model(
            tmp_path / "e.onnx", ARM.joint_names, list(cut_episodes(frames, JOINTS, "flight")), SETTINGS
        )
    assert not list(tmp_path.iterdir())


def test_an_episode_is_scored_as_the_watch_saw_it_in_flight(watch: ModelWatch) -> None:
    seen = episode(5)
    scored = score_episode(seen, watch)
    assert np.isfinite(scored.disagreement).all()
    assert np.isnan(scored.residual[:10]).all()
    assert np.isfinite(scored.residual[10:]).all()
    again = score_episode(seen, watch)
    assert_allclose(again.residual, scored.residual, rtol=0.0, atol=0.0)
    # A nominal residual is one predicted deviation, or less where the least noise of a measurement counts.
    assert 0.4 < np.nanmedian(scored.residual) < 1.5


def test_the_promise_is_kept_and_a_slower_arm_is_stopped(watch: ModelWatch) -> None:
    settings = CalibrationSettings(alpha=0.1, persistence=0.05)
    thresholds = calibrate_thresholds(
        score_episodes([episode(seed) for seed in range(100, 139)], watch), settings, "0" * 64
    )
    assert thresholds.required
    assert thresholds.model == "0" * 64
    nominal = score_episodes([episode(seed) for seed in range(200, 230)], watch)
    stopped = sum(scored.stop_ns(thresholds) is not None for scored in nominal)
    # 3 of 30 are promised on average. Where all of the 10 % are used up, the count is beta-binomial with parameters 4
    # and 36: one calibration in 270 sees 11 or more.
    assert stopped < 11
    slower = score_episodes([episode(seed, lag=2.0 * LAG) for seed in range(300, 310)], watch)
    assert all(scored.stop_ns(thresholds) is not None for scored in slower)


def test_thresholds_are_quantiles_of_the_episodes_scores() -> None:
    stamps = np.arange(20, dtype=np.int64) * 10_000_000
    nominal = [ScoredEpisode(str(k), "", stamps, np.full(20, 0.01 * k), np.full(20, float(k))) for k in range(1, 20)]
    found = calibrate_thresholds(nominal, CalibrationSettings(alpha=0.2, persistence=0.05))
    # Half of 20 % each: ceil(20 · 0.9) = 18.
    assert found.disagreement == Grades(stop=0.01 * 18, persistence=0.05)
    assert found.residual == Grades(stop=18.0, persistence=0.05)
    stops = [scored.stop_ns(found) for scored in nominal]
    assert stops == [None] * 18 + [50_000_000]


@pytest.mark.parametrize("nothing", [0.0, np.nan])
def test_a_score_that_never_rises_is_no_threshold(nothing: float) -> None:
    stamps = np.arange(20, dtype=np.int64) * 10_000_000
    scored = [ScoredEpisode("", "", stamps, np.ones(20), np.full(20, nothing))] * 199
    with pytest.raises(ConfigError, match=r"^the residual of 199 nominal episodes never stays above 0 for 0\.15 s"):
        calibrate_thresholds(scored, CalibrationSettings())


def test_too_few_episodes_say_how_many_are_missing() -> None:
    stamps = np.arange(20, dtype=np.int64) * 10_000_000
    scored = [ScoredEpisode("", "", stamps, np.ones(20), np.ones(20))] * 150
    with pytest.raises(ConfigError, match=r"150 nominal episodes: .* 0.01 an episode needs 199, 49 more are missing"):
        calibrate_thresholds(scored, CalibrationSettings())


def test_thresholds_name_the_file_of_their_model(model: Path) -> None:
    assert UncertaintySettings(model=model_digest(model)).model == model_digest(model)
