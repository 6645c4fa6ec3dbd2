"""MPPI: weights, mean and deviation by hand."""

import math

import pytest
import torch

from robot_mbrl.policies.mppi import Mppi, MppiSettings


def mppi(**settings: object) -> Mppi:
    limits = torch.tensor([-2.0]), torch.tensor([2.0])
    return Mppi(MppiSettings.model_validate(settings), 1, *limits, torch.Generator().manual_seed(0))


def actions(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None]


def test_the_mean_is_weighted_by_the_exponential_of_the_costs() -> None:
    """Costs that differ by λ ln 3 weigh 3 to 1: the mean of 1 and -1 is 0.5."""
    optimizer = mppi(temperature=2.0)
    optimizer.begin(1)
    optimizer.update(actions(1.0, -1.0), torch.tensor([7.0, 7.0 + 2.0 * math.log(3.0)]))
    assert optimizer.mean.item() == pytest.approx(0.5)


def test_the_deviation_is_weighted_too() -> None:
    """Around 0.5: sqrt(3/4 * 0.25 + 1/4 * 2.25) = 0.866."""
    optimizer = mppi(temperature=2.0, population=50_000)
    optimizer.begin(1)
    optimizer.update(actions(1.0, -1.0), torch.tensor([0.0, 2.0 * math.log(3.0)]))
    below = 0.5 - optimizer.propose(1)[1:]
    assert below[below > 0.0].square().mean().sqrt().item() == pytest.approx(0.866, rel=0.02)


def test_the_deviation_has_a_floor() -> None:
    optimizer = mppi(least_deviation=0.1, population=20_000)
    optimizer.begin(1)
    optimizer.update(actions(1.0), torch.tensor([0.0]))
    assert optimizer.propose(1).std().item() == pytest.approx(0.1 * 2.0, rel=0.03)


def test_what_costs_infinity_has_no_weight() -> None:
    optimizer = mppi()
    optimizer.begin(1)
    optimizer.update(actions(1.0, 2.0), torch.tensor([5.0, torch.inf]))
    assert optimizer.mean.item() == pytest.approx(1.0)
    optimizer.update(actions(-1.0, -2.0), torch.tensor([torch.inf, torch.inf]))
    assert optimizer.mean.item() == pytest.approx(1.0)


def test_the_mean_is_the_first_candidate() -> None:
    optimizer = mppi()
    optimizer.begin(1)
    optimizer.update(actions(1.25), torch.tensor([0.0]))
    assert optimizer.propose(1)[0].item() == pytest.approx(1.25)


def test_reset_forgets_the_mean() -> None:
    optimizer = mppi()
    optimizer.begin(1)
    optimizer.update(actions(1.25), torch.tensor([0.0]))
    optimizer.reset()
    optimizer.begin(1)
    assert optimizer.mean.item() == 0.0
