"""What the demonstration learns of its arm: on one that is not like the twin, the fitted model is the better one."""

from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.demo import models
from robot_mbrl.demo.models import calibrate_doubt, fit_planner, split_runs
from robot_mbrl.demo.pace import FAST
from robot_mbrl.learning.flight_episodes import FlightEpisode, cut_episodes
from robot_mbrl.learning.task_models_arm import ArmModel
from robot_mbrl.learning.tasks import make_learning_task
from robot_mbrl.learning.trained_run import load_run
from tests.demo.silent_screen import SilentScreen
from tests.learning.lagging_arm import ARM, JOINTS, flight, write_model


def flights(count: int, seconds: float, first: int = 0) -> list[FlightEpisode]:
    found = [cut_episodes(flight(first + number, seconds), JOINTS, str(number)) for number in range(count)]
    return [episode for episodes in found for episode in episodes]


def test_the_end_of_each_run_is_held_out() -> None:
    model = make_learning_task("reach").model
    assert isinstance(model, ArmModel)
    known, unseen = split_runs(flights(1, 2.0), model)
    for before, after in zip(known, unseen, strict=True):
        assert np.array_equal(before.states[-1], after.states[0])
        assert len(after.actions) == pytest.approx(0.2 * (len(before.actions) + len(after.actions)), abs=0.5)


def test_a_model_that_was_fitted_to_the_arm_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "EPOCHS", 4)
    fit = fit_planner(flights(3, 4.0), tmp_path / "planner", 0, SilentScreen())
    assert fit.kept
    assert fit.after[-1] < fit.before[-1]
    assert len(fit.after) == len(fit.before) == len(fit.persistence) == models.HORIZON
    run = load_run(tmp_path / "planner")
    assert not np.allclose(run.ensemble.weights[0].detach(), load_run(models.START).ensemble.weights[0].detach())


def test_a_model_that_got_no_better_does_not_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_growth", lambda *_: np.ones(models.HORIZON))
    monkeypatch.setattr(models, "EPOCHS", 1)
    fit = fit_planner(flights(1, 4.0), tmp_path / "planner", 0, SilentScreen())
    assert not fit.kept
    run = load_run(tmp_path / "planner")
    assert np.allclose(run.ensemble.weights[0].detach(), load_run(models.START).ensemble.weights[0].detach())


def test_the_thresholds_are_the_nominal_legs_highest_scores(tmp_path: Path) -> None:
    """With 19 legs and a tenth for two scores, the rank is ⌈20 · 0.95⌉ = 19: the highest."""
    model = write_model(tmp_path / "monitor.onnx")
    legs = flights(19, 0.5)
    pace = FAST.model_copy(update={"alpha": 0.1})
    found = calibrate_doubt(model, tmp_path / "thresholds.yaml", ARM.joint_names, legs, pace, SilentScreen())
    scores = [leg.score("residual", found.settings.persistence) for leg in found.calibrated]
    assert found.thresholds.residual is not None
    assert found.thresholds.residual.stop == max(scores)
    assert "0.1 of legs" in (tmp_path / "thresholds.yaml").read_text(encoding="utf-8")
