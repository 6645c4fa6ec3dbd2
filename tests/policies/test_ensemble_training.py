"""Fitting the ensemble: loss by hand, bootstrap, early stopping, resuming bit by bit, and data that are wrong."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.ensemble import PUBLISHED, EnsembleSettings, ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_store import load_training, save_training
from robot_mbrl.policies.ensemble_training import EnsembleTrainer, EpochReport, gaussian_loss
from tests.policies.fitted_ensembles import SMALL, linear_rows, small_trainer


class Interrupted(Exception):
    """Stands for the process's end in the middle of a fit."""


def interrupt_after(epochs: int, trainer: EnsembleTrainer, path: Path) -> None:
    """Fit `trainer` to 400 rows, and save it in the midst of its refit to 600."""

    def progress(report: EpochReport) -> None:
        if report.epoch == epochs:
            save_training(path, trainer)
            raise Interrupted

    trainer.fit(*linear_rows(400))
    with contextlib.suppress(Interrupted):
        trainer.refit(*linear_rows(600), progress)


def test_loss_by_hand() -> None:
    """Errors 2 and 0.5 at log-variances 0 and ln 4: (4 + 0 + 0.25 / 4 + ln 4) / 2 = (4.0625 + 1.386294) / 2."""
    mean, target = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 1.5]]])
    loss = gaussian_loss(mean, torch.tensor([[[0.0, 1.3862944]]]), target)
    assert loss.tolist() == pytest.approx([2.724397], rel=1e-6)


def test_a_balanced_loss_by_hand() -> None:
    """The terms 4 and 0.0625 + ln 4 of `test_loss_by_hand`, weighted with the deviations 1 and 2: (4 + 2.897589) / 2.

    The weight w is a constant: by the mean 2 w (μ - y) exp(-l) / 2 is -2 and 0.25, by the log-variance
    w (1 - (μ - y)² exp(-l)) / 2 is -1.5 and 0.9375.
    """
    mean, target = torch.tensor([[[1.0, 2.0]]], requires_grad=True), torch.tensor([[[3.0, 1.5]]])
    log_variance = torch.tensor([[[0.0, 1.3862944]]], requires_grad=True)
    loss = gaussian_loss(mean, log_variance, target, beta=0.5)
    assert loss.tolist() == pytest.approx([3.448794], rel=1e-6)
    by_mean, by_variance = torch.autograd.grad(loss.sum(), (mean, log_variance))
    assert by_mean.flatten().tolist() == pytest.approx([-2.0, 0.25], rel=1e-6)
    assert by_variance.flatten().tolist() == pytest.approx([-1.5, 0.9375], rel=1e-6)


def test_one_step_descends_the_published_loss() -> None:
    """One batch of all rows: the step must be Adam's on the loss of the paper with its decay written out."""
    decay = (0.1, 0.2)
    settings = EnsembleSettings(
        members=2,
        elites=2,
        hidden=(4,),
        weight_decay=decay,
        batch_size=100,
        epochs=1,
        held_out=0.0,
        beta=0.0,
        least_rows=10,
    )
    x, y = linear_rows(20)
    trainer = small_trainer(settings)
    ensemble = small_trainer(settings).ensemble
    seen: list[torch.Tensor] = []
    trainer.fit(x, y, lambda _: seen.append(trainer.state_dict()["fit.order"]))
    ensemble.input_mean.copy_(trainer.ensemble.input_mean)
    ensemble.input_deviation.copy_(trainer.ensemble.input_deviation)
    z = (torch.from_numpy(x) - ensemble.input_mean) / ensemble.input_deviation
    scaled = (torch.from_numpy(y) - trainer.ensemble.output_mean) / trainer.ensemble.output_deviation
    optimizer = torch.optim.Adam(ensemble.parameters(), lr=settings.learning_rate)
    mean, log_variance = ensemble.scaled(z[seen[0]])
    error = (mean - scaled[seen[0]]).square() * torch.exp(-log_variance)
    loss = (error + log_variance).mean(dim=(1, 2)).sum()
    loss = loss + 0.01 * ensemble.max_log_variance.sum() - 0.01 * ensemble.min_log_variance.sum()
    for share, weight in zip(decay, ensemble.weights, strict=True):
        loss = loss + share * weight.square().sum() / 2.0
    torch.autograd.backward(loss)
    optimizer.step()
    for stepped, expected in zip(trainer.ensemble.parameters(), ensemble.parameters(), strict=True):
        torch.testing.assert_close(stepped, expected, atol=1e-6, rtol=1e-5)


def test_each_member_draws_its_rows_with_replacement_and_keeps_them() -> None:
    """A row is drawn by a member with probability 1 - (1 - 1/n)^n, 0.632 for large n; held-out rows are never drawn."""
    orders: list[torch.Tensor] = []
    trainer = small_trainer()
    x, y = linear_rows(1000)
    trainer.fit(x, y, lambda _: orders.append(trainer.state_dict()["fit.order"]))
    held_out = trainer.state_dict()["held_out"].nonzero().squeeze(1)
    drawn = [set(row.tolist()) for row in orders[0]]
    assert orders[0].shape == (3, 800)
    assert len(held_out) == 200
    assert not any(rows & set(held_out.tolist()) for rows in drawn)
    assert [len(rows) / 800 for rows in drawn] == pytest.approx([0.632] * 3, abs=0.04)
    assert drawn[0] != drawn[1]
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders[0].sort(dim=1).values, orders[1].sort(dim=1).values)


def test_mean_and_noise_of_a_linear_system_are_found() -> None:
    """Of y = (0.01 x_0 - 0.02 x_2, 3 x_1 + 5) with noise of deviation 0.002 and 0.3."""
    trainer = small_trainer(SMALL.model_copy(update={"epochs": 80, "held_out": 0.0, "elites": 3}))
    trainer.fit(*linear_rows(1000))
    x, _ = linear_rows(500, seed=1)
    prediction, noise = trainer.ensemble.predict(torch.from_numpy(x)), torch.tensor([0.002, 0.3])
    truth = np.stack((0.01 * x[:, 0] - 0.02 * x[:, 2], 3.0 * x[:, 1] + 5.0), axis=1)
    error = (prediction.mean - torch.from_numpy(truth)) / noise
    assert error.square().mean().sqrt().item() < 0.25
    torch.testing.assert_close(prediction.aleatoric.median(dim=0).values.sqrt(), noise, rtol=0.1, atol=0.0)
    assert (prediction.epistemic.mean(dim=0) < 0.1 * prediction.aleatoric.mean(dim=0)).all()


def test_disagreement_grows_away_from_the_data() -> None:
    trainer = small_trainer()
    trainer.fit(*linear_rows(500))
    near, far = (trainer.ensemble.predict(torch.full((1, 3), value)) for value in (0.0, 30.0))
    assert trainer.ensemble.disagreement(far).item() > 10.0 * trainer.ensemble.disagreement(near).item()


def test_a_refit_never_ends_worse_on_held_out_rows_than_it_began() -> None:
    trainer = small_trainer(SMALL.model_copy(update={"learning_rate": 0.5}))
    x, y = linear_rows(400)
    first = trainer.fit(x, y)
    again = trainer.refit(x, y)
    assert again.rows == first.rows
    assert np.mean(again.held_out_error) <= np.mean(first.held_out_error) * (1.0 + 1e-6)


def test_elites_are_the_members_with_the_least_held_out_error() -> None:
    trainer = small_trainer()
    report = trainer.fit(*linear_rows(300))
    ranked = sorted(range(3), key=lambda member: report.held_out_error[member])
    assert list(report.elites) == ranked[:2]
    assert trainer.ensemble.elites.tolist() == ranked[:2]


def test_fitting_ends_when_held_out_rows_gain_no_more() -> None:
    errors: list[float] = []
    trainer = small_trainer(SMALL.model_copy(update={"epochs": 500, "patience": 3}))
    report = trainer.fit(*linear_rows(300), lambda epoch: errors.append(float(np.mean(epoch.held_out_error))))
    assert report.early
    assert report.epochs == len(errors) < 500
    assert np.mean(report.held_out_error) == pytest.approx(errors[-4])
    assert min(errors[-3:]) >= 0.99 * errors[-4]


def test_held_out_rows_stay_held_out_in_refits() -> None:
    trainer = small_trainer()
    trainer.fit(*linear_rows(400))
    before = trainer.state_dict()["held_out"]
    trainer.refit(*linear_rows(600))
    after = trainer.state_dict()["held_out"]
    assert torch.equal(after[:400], before)
    assert (int(before.sum()), int(after.sum())) == (80, 120)


def test_scalers_follow_the_data() -> None:
    trainer = small_trainer(
        PUBLISHED["reacher"].model_copy(update=SMALL.model_dump(include={"hidden", "weight_decay"}))
    )
    x, y = linear_rows(200)
    trainer.fit(x, y)
    trainer.refit(np.concatenate((x, 3.0 * x + 8.0)), np.concatenate((y, y)))
    both = np.concatenate((x, 3.0 * x + 8.0))
    np.testing.assert_allclose(trainer.ensemble.input_mean, both.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(trainer.ensemble.input_deviation, both.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(trainer.ensemble.target_deviation, y.std(axis=0), rtol=1e-5)
    assert trainer.ensemble.output_mean.tolist() == [0.0, 0.0]
    assert trainer.ensemble.output_deviation.tolist() == [1.0, 1.0]


def test_an_interrupted_fit_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    x, y = linear_rows(600)
    whole = small_trainer()
    whole.fit(*linear_rows(400))
    report = whole.refit(x, y)
    path = tmp_path / "training.safetensors"
    interrupt_after(2, small_trainer(), path)
    assert load_training(path).unfinished
    resumed = load_training(path)
    assert resumed.resume(x, y) == report
    assert not resumed.unfinished
    for trainer in (whole, resumed):
        trainer.refit(*linear_rows(700))
    theirs, ours = whole.state_dict(), resumed.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)


def test_an_interrupted_fit_does_not_go_on_with_other_data(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    interrupt_after(1, small_trainer(), path)
    x, y = linear_rows(600)
    with pytest.raises(ConfigError, match="interrupted with other data"):
        load_training(path).resume(x, y + np.float32(1e-3))
    with pytest.raises(ConfigError, match="no interrupted fit"):
        small_trainer().resume(x, y)


def spoilt(kind: str) -> tuple[NDArray[Any], NDArray[Any]]:
    x: NDArray[Any]
    y: NDArray[Any]
    x, y = linear_rows(100)
    match kind:
        case "few":
            return x[:40], y[:40]
        case "nan":
            x[17, 1] = np.nan
        case "infinite":
            y[3, 0] = np.inf
        case "constant":
            x[:, 2] = 0.1
        case "rounding":
            y[:, 1] = 1000.0 + np.float32(1e-4) * (np.arange(100) % 2)
        case "wide":
            x = np.hstack((x, x))
        case "unequal":
            y = y[:-1]
        case "double":
            y = y.astype(np.float64)
    return x, y


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("few", "data of 40 rows: give 50 or more"),
        ("nan", "input 'input 1' has 1 values that are not finite, the first in row 17"),
        ("infinite", "output 'output 0' has 1 values that are not finite, the first in row 3"),
        ("constant", "input 'input 2' is 0.1 in all 80 rows"),
        ("rounding", "output 'output 1' is 1000 in all 80 rows"),
        ("wide", r"inputs of shape \(100, 6\).*give float32 of shape \(rows, 3\)"),
        ("unequal", "100 inputs and 99 targets"),
        ("double", "type float64"),
    ],
)
def test_data_that_cannot_be_fitted_are_refused_in_one_line(kind: str, message: str) -> None:
    trainer = small_trainer()
    before = trainer.state_dict()
    with pytest.raises(ConfigError, match=message) as refusal:
        trainer.fit(*spoilt(kind))
    assert "\n" not in str(refusal.value)
    after = trainer.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("ensemble."))
    assert not trainer.unfinished


def test_a_refit_with_fewer_rows_is_refused() -> None:
    trainer = small_trainer()
    trainer.fit(*linear_rows(100))
    with pytest.raises(ConfigError, match="data of 99 rows: give 100 or more"):
        trainer.refit(*linear_rows(99))


def test_a_fit_that_diverges_is_refused() -> None:
    trainer = small_trainer(SMALL.model_copy(update={"learning_rate": 1e30}))
    with pytest.raises(ConfigError, match=r"diverged in epoch 1 .* learning_rate = 1e\+30: lower it"):
        trainer.fit(*linear_rows(200))


def test_a_trainer_of_another_size_is_refused() -> None:
    ensemble = ProbabilisticEnsemble(3, 2, SMALL, torch.Generator().manual_seed(0))
    with pytest.raises(ConfigError, match="give its own"):
        EnsembleTrainer(ensemble, EnsembleSettings(), torch.Generator())
