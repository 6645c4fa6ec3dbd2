"""The probabilistic ensemble's equations against numbers worked out by hand."""

import math

import pytest
import torch
from pydantic import ValidationError

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.ensemble import (
    PUBLISHED,
    EnsembleSettings,
    ProbabilisticEnsemble,
    bound_log_variance,
    mixture,
)
from tests.policies.fitted_ensembles import SMALL


def one_layer(members: int = 1) -> ProbabilisticEnsemble:
    """One input, one output, no hidden layer."""
    settings = EnsembleSettings(members=members, elites=members, hidden=(), weight_decay=(0.0,))
    return ProbabilisticEnsemble(1, 1, settings, torch.Generator().manual_seed(0))


def test_log_variance_bounds_by_hand() -> None:
    """ln(1 + e^0.5) = 0.974077, 0.5 - 0.974077 = -0.474077; ln(1 + e^9.525923) = 9.525996, less 10: -0.474004."""
    bounded = bound_log_variance(torch.tensor([0.0]), torch.tensor([0.5]), torch.tensor([-10.0]))
    torch.testing.assert_close(bounded, torch.tensor([-0.474004]), atol=2e-6, rtol=0.0)


@pytest.mark.parametrize(("free", "bounded"), [(-1e4, -10.0), (1e4, 0.5 + math.log1p(math.exp(-10.5)))])
def test_far_log_variances_end_at_the_bounds(free: float, bounded: float) -> None:
    result = bound_log_variance(torch.tensor([free]), torch.tensor([0.5]), torch.tensor([-10.0]))
    assert result.item() == pytest.approx(bounded, rel=1e-6)


def test_bounds_start_as_published_one_pair_for_all_members() -> None:
    ensemble = ProbabilisticEnsemble(3, 2, SMALL, torch.Generator().manual_seed(0))
    assert ensemble.max_log_variance.tolist() == [0.5, 0.5]
    assert ensemble.min_log_variance.tolist() == [-10.0, -10.0]


def test_a_perceptron_by_hand() -> None:
    """Two layers of one unit, both scalers.

    z = (5 - 1) / 2 = 2; hidden silu(0.5 · 2 + 1) = 2 / (1 + e^-2) = 1.761594; mean 3 · 1.761594 - 1 = 4.284782, in
    the data's units 10 + 4 · 4.284782 = 27.139129. The log-variance 0 is bounded to -0.474004, plus 2 ln 4.
    """
    settings = EnsembleSettings(members=1, elites=1, hidden=(1,), weight_decay=(0.0, 0.0))
    ensemble = ProbabilisticEnsemble(1, 1, settings, torch.Generator().manual_seed(0))
    with torch.no_grad():
        ensemble.weights[0].fill_(0.5)
        ensemble.biases[0].fill_(1.0)
        ensemble.weights[1].copy_(torch.tensor([[[3.0, 0.0]]]))
        ensemble.biases[1].copy_(torch.tensor([[[-1.0, 0.0]]]))
        ensemble.input_mean.fill_(1.0)
        ensemble.input_deviation.fill_(2.0)
        ensemble.output_mean.fill_(10.0)
        ensemble.output_deviation.fill_(4.0)
        mean, log_variance = ensemble(torch.tensor([[[5.0]]]))
    assert mean.item() == pytest.approx(27.139129, rel=1e-6)
    assert log_variance.item() == pytest.approx(-0.474004 + 2.772589, abs=3e-6)


def test_each_member_answers_its_own_block() -> None:
    ensemble = one_layer(members=2)
    with torch.no_grad():
        ensemble.weights[0][:, 0, 0] = torch.tensor([1.0, -2.0])
        mean, _ = ensemble(torch.tensor([[[1.0], [2.0], [3.0]], [[10.0], [20.0], [30.0]]]))
    assert mean.squeeze(-1).tolist() == [[1.0, 2.0, 3.0], [-20.0, -40.0, -60.0]]


def test_initial_weights_are_a_normal_cut_at_two_deviations() -> None:
    """As published, 1 / (2 sqrt(400)) = 0.025; cutting at two leaves 0.8796 of it (normal distribution, cut at ±2)."""
    settings = EnsembleSettings(
        **PUBLISHED["cartpole"].model_dump() | {"hidden": (400, 400), "weight_decay": (0, 0, 0)}
    )
    weight = ProbabilisticEnsemble(3, 2, settings, torch.Generator().manual_seed(1)).weights[1]
    assert weight.abs().max().item() <= 0.05
    assert weight.std().item() == pytest.approx(0.8796 * 0.025, rel=0.01)


def test_members_start_apart_and_seeds_repeat() -> None:
    first, again = (ProbabilisticEnsemble(3, 2, SMALL, torch.Generator().manual_seed(5)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.weights[0][0], first.weights[0][1])


def test_aleatoric_and_epistemic_parts_by_hand() -> None:
    """Means 1, 2, 6: 3 with squares 4, 1, 9 about it, 14 / 3; variances 0.5, 1, 1.5: 1; law of total variance."""
    means = torch.tensor([1.0, 2.0, 6.0]).reshape(3, 1, 1)
    parts = mixture(means, torch.tensor([0.5, 1.0, 1.5]).reshape(3, 1, 1))
    assert parts.mean.item() == pytest.approx(3.0)
    assert parts.aleatoric.item() == pytest.approx(1.0)
    assert parts.epistemic.item() == pytest.approx(14.0 / 3.0)
    assert parts.variance.item() == pytest.approx(1.0 + 14.0 / 3.0)


def test_members_that_agree_leave_only_noise() -> None:
    parts = mixture(torch.full((5, 2, 1), 7.0), torch.full((5, 2, 1), 0.25))
    assert parts.epistemic.tolist() == [[0.0], [0.0]]
    assert parts.aleatoric.tolist() == [[0.25], [0.25]]


def test_only_elites_predict_and_disagreement_counts_typical_changes() -> None:
    """Members answer 1, 100 and 3; of the elites 0 and 2 the mean is 2 and the spread 1, in typical changes of 4."""
    settings = EnsembleSettings(members=3, elites=2, hidden=(), weight_decay=(0.0,))
    ensemble = ProbabilisticEnsemble(1, 1, settings, torch.Generator().manual_seed(0))
    with torch.no_grad():
        ensemble.weights[0].zero_()
        ensemble.biases[0][:, 0, 0] = torch.tensor([1.0, 100.0, 3.0])
        ensemble.elites.copy_(torch.tensor([2, 0]))
        ensemble.target_deviation.fill_(4.0)
    prediction = ensemble.predict(torch.tensor([[0.0]]))
    assert prediction.mean.item() == pytest.approx(2.0)
    assert prediction.epistemic.item() == pytest.approx(1.0)
    assert ensemble.disagreement(prediction).tolist() == pytest.approx([0.25])


def test_published_settings_are_those_of_the_paper() -> None:
    cartpole, reacher = PUBLISHED["cartpole"], PUBLISHED["reacher"]
    assert (cartpole.hidden, cartpole.weight_decay) == ((500,) * 3, (1e-4, 2.5e-4, 2.5e-4, 5e-4))
    assert (reacher.hidden, reacher.weight_decay) == ((200,) * 4, (2.5e-4, 5e-4, 5e-4, 5e-4, 7.5e-4))
    for settings, rate in ((cartpole, 1e-3), (reacher, 7.5e-4)):
        assert (settings.members, settings.batch_size, settings.epochs) == (5, 32, 5)
        assert (settings.learning_rate, settings.bound_weight, settings.held_out) == (rate, 0.01, 0.0)
        assert (settings.beta, settings.initial_deviation, settings.scale_outputs) == (0.0, 0.5, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": (8,)},
        {"elites": 6},
        {"elites": 4, "held_out": 0.0},
        {"nets": 5},
        {"learning_rate": math.nan},
    ],
)
def test_settings_that_do_not_agree_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        EnsembleSettings.model_validate(changes)


def test_names_that_do_not_fit_are_refused() -> None:
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ConfigError, match="input names q, q: give 3 that differ"):
        ProbabilisticEnsemble(3, 2, SMALL, generator, input_names=("q", "q"))
    with pytest.raises(ConfigError, match="0 outputs"):
        ProbabilisticEnsemble(3, 0, SMALL, generator)
