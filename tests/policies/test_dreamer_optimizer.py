"""The optimizer against NumPy, and against its equations worked out for one number."""

import numpy as np
import pytest
import torch

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.dreamer_optimizer import LaProp
from robot_mbrl.policies.dreamer_settings import DreamerSettings
from tests.policies import dreamer_numpy as reference

STEADY = DreamerSettings(learning_rate=0.01, warmup=0)


def parameter(*values: float) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.tensor(values))


def test_the_first_update_moves_every_weight_by_the_learning_rate() -> None:
    weights = parameter(1.0, -2.0)
    LaProp([weights], STEADY).step([torch.tensor([1e-6, -3.0])])
    torch.testing.assert_close(weights.data, torch.tensor([0.99, -1.99]))


def test_the_learning_rate_rises_from_zero_over_the_warm_up() -> None:
    weights = parameter(1.0)
    optimizer = LaProp([weights], DreamerSettings(learning_rate=0.01, warmup=4))
    rates = []
    for _ in range(6):
        rates.append(optimizer.learning_rate)
        before = weights.item()
        optimizer.step([torch.full((1,), 0.1)])
        assert before - weights.item() == pytest.approx(rates[-1], abs=1e-6)
    assert rates == pytest.approx([0.0, 0.0025, 0.005, 0.0075, 0.01, 0.01])


def test_it_agrees_with_numpy_whether_gradients_are_clipped_or_not() -> None:
    random = np.random.default_rng(0)
    starts = [random.normal(size=(4, 3)), random.normal(size=5), np.zeros(2)]
    parameters = [torch.nn.Parameter(torch.tensor(start, dtype=torch.float32)) for start in starts]
    references = [reference.LaProp(start) for start in starts]
    optimizer = LaProp(parameters, STEADY)
    for scale in (0.01, 10.0, 0.1, 0.0, 3.0):
        gradients = [scale * random.normal(size=start.shape) for start in starts]
        norm = optimizer.step([torch.tensor(gradient, dtype=torch.float32) for gradient in gradients])
        assert norm.item() == pytest.approx(np.sqrt(sum((gradient**2).sum() for gradient in gradients)), rel=1e-5)
        for known, gradient in zip(references, gradients, strict=True):
            known.step(gradient, STEADY.learning_rate)
    for found, known in zip(parameters, references, strict=True):
        np.testing.assert_allclose(found.detach().numpy(), known.parameter, rtol=1e-4, atol=1e-6)


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    weights, others = parameter(1.0), parameter(2.0)
    optimizer = LaProp([weights, others], STEADY)
    assert not torch.isfinite(optimizer.step([torch.tensor([torch.nan]), torch.ones(1)]))
    assert (weights.item(), others.item(), optimizer.updates) == (1.0, 2.0, 0)
    assert all(value.count_nonzero() == 0 for value in optimizer.state_dict().values())


def test_its_state_is_taken_over_exactly() -> None:
    first, second = parameter(1.0, 2.0), parameter(1.0, 2.0)
    running, resumed = LaProp([first], STEADY), LaProp([second], STEADY)
    running.step([torch.tensor([0.5, -0.1])])
    second.data.copy_(first.data)
    resumed.load_state_dict(running.state_dict())
    for optimizer in (running, resumed):
        optimizer.step([torch.tensor([-0.2, 0.3])])
    assert torch.equal(first, second)
    with pytest.raises(ConfigError, match="this model has 1 weights"):
        LaProp([parameter(1.0)], STEADY).load_state_dict(running.state_dict())
