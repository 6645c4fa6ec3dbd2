"""Each equation of DreamerV3 against numbers worked out by hand, and against the same equation in plain NumPy."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from robot_mbrl.policies import dreamer_losses as losses
from tests.policies import dreamer_numpy as reference

BINS = torch.tensor([0.0, 2.0, -2.0])


def logits_of(*probabilities: float) -> Tensor:
    return torch.log(torch.tensor(probabilities))


def test_symlog_and_symexp_are_inverse() -> None:
    x = torch.tensor([-100.0, -1.0, 0.0, 0.5, math.e - 1.0])
    assert losses.symlog(x)[-1].item() == pytest.approx(1.0)
    torch.testing.assert_close(losses.symexp(losses.symlog(x)), x)


def test_bins_are_symexp_of_a_line_and_exactly_symmetric() -> None:
    bins = losses.symexp_bins(255)
    np.testing.assert_allclose(bins.sort().values.numpy(), reference.bins(255), rtol=1e-5)
    assert bins[0] == 0.0
    assert torch.equal(bins[1:128], -bins[128:])
    assert (bins[1:128].diff() > 0.0).all()


def test_the_two_hot_loss_shares_the_weight_between_the_neighbours() -> None:
    zero, positive, negative = 0.2, 0.5, 0.3
    logits = logits_of(zero, positive, negative)
    above = losses.two_hot_loss(logits, torch.tensor(0.5), BINS)
    assert above.item() == pytest.approx(-(0.75 * math.log(zero) + 0.25 * math.log(positive)), rel=1e-6)
    below = losses.two_hot_loss(logits, torch.tensor(-0.5), BINS)
    assert below.item() == pytest.approx(-(0.75 * math.log(zero) + 0.25 * math.log(negative)), rel=1e-6)


@pytest.mark.parametrize(("target", "bin_index"), [(-2.0, 2), (-9.0, 2), (0.0, 0), (2.0, 1), (1e9, 1)])
def test_a_target_on_or_beyond_a_bin_takes_that_bin_alone(target: float, bin_index: int) -> None:
    logits = logits_of(0.2, 0.3, 0.5)
    loss = losses.two_hot_loss(logits, torch.tensor(target), BINS)
    assert loss.item() == pytest.approx(-logits[bin_index].item(), rel=1e-6)


def test_the_two_hot_mean_of_symmetric_probabilities_is_exactly_zero() -> None:
    half = torch.rand(50, 127, generator=torch.Generator().manual_seed(0))
    logits = torch.cat([torch.ones(50, 1), half, half], -1)
    assert losses.two_hot_mean(logits, losses.symexp_bins(255)).abs().max() == 0.0


def test_two_hot_agrees_with_numpy() -> None:
    random = np.random.default_rng(0)
    values = reference.bins(255)
    targets = np.concatenate([random.normal(0.0, 3.0, 40), random.normal(0.0, 1e4, 40), [0.0, 1e12, -1e12]])
    logits = random.normal(size=(len(targets), 255))
    wanted = [reference.cross_entropy(reference.two_hot(t, values), x) for t, x in zip(targets, logits, strict=True)]
    by_magnitude = torch.tensor(np.argsort(np.abs(values) + 1e12 * (values < 0.0)))
    ordered, bins = torch.tensor(logits)[:, by_magnitude], torch.tensor(values)[by_magnitude]
    found = losses.two_hot_loss(ordered, torch.tensor(targets), bins)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5)
    means = losses.two_hot_mean(ordered, bins)
    np.testing.assert_allclose(means.numpy(), (reference.softmax(logits) * values).sum(-1), rtol=1e-4)


def test_the_uniform_share_is_mixed_into_probabilities() -> None:
    mixed = losses.mixed_probabilities(torch.tensor([200.0, 0.0, 0.0, 0.0]), 0.01)
    torch.testing.assert_close(mixed, torch.tensor([0.9925, 0.0025, 0.0025, 0.0025]))


def test_free_nats_bound_each_steps_sum_and_not_each_latent_or_the_mean() -> None:
    far, near = logits_of(0.9, 0.1), logits_of(0.5, 0.5)
    one = 0.9 * math.log(1.8) + 0.1 * math.log(0.2)
    posterior = torch.stack([torch.stack([far, far, far]), torch.stack([near, near, near])])[None]
    prior = near.expand(1, 2, 3, 2)
    found = losses.kl_losses(posterior, prior, free_nats=1.0)
    assert one < 1.0 < 3.0 * one
    torch.testing.assert_close(found.dynamics, torch.tensor([[3.0 * one, 1.0]]))
    torch.testing.assert_close(found.representation, found.dynamics)
    torch.testing.assert_close(found.divergence, torch.tensor([[3.0 * one, 0.0]]))


def test_the_dynamics_loss_moves_only_the_prior_and_the_representation_loss_only_the_posterior() -> None:
    posterior = logits_of(0.99, 0.01).expand(1, 1, 4, 2).clone().requires_grad_()
    prior = logits_of(0.5, 0.5).expand(1, 1, 4, 2).clone().requires_grad_()
    found = losses.kl_losses(posterior, prior, free_nats=1.0)
    for loss, moved, kept in ((found.dynamics, prior, posterior), (found.representation, posterior, prior)):
        gradient = torch.autograd.grad(loss.sum(), (moved, kept), allow_unused=True)
        assert gradient[0].abs().sum() > 0.0
        assert gradient[1] is None


def test_kl_agrees_with_numpy() -> None:
    random = np.random.default_rng(1)
    posterior, prior = random.normal(0.0, 0.5, (2, 40, 6, 4))
    wanted = [reference.kl_with_free_nats(p, q, 0.01, 1.0) for p, q in zip(posterior, prior, strict=True)]
    assert min(wanted) == 1.0 < max(wanted)
    logs = [losses.mixed_probabilities(torch.tensor(x)[None], 0.01).log() for x in (posterior, prior)]
    np.testing.assert_allclose(losses.kl_losses(logs[0], logs[1], 1.0).dynamics[0].numpy(), wanted, rtol=1e-5)


def test_the_continue_target_has_the_discount_in_it() -> None:
    target = losses.continue_target(torch.tensor([0.0, 1.0]), 1.0 - 1.0 / 333.0)
    torch.testing.assert_close(target, torch.tensor([332.0 / 333.0, 0.0]))


def test_lambda_returns_by_hand() -> None:
    rewards, continues, values = torch.tensor([[9.0, 1.0, 2.0]]), torch.tensor([[9.0, 0.5, 0.8]]), torch.ones(1, 3) * 10
    rewards, continues, values = rewards.T, continues.T, values.T
    last = 2.0 + 0.8 * 10.0
    first = 1.0 + 0.5 * (0.1 * 10.0 + 0.9 * last)
    torch.testing.assert_close(losses.lambda_returns(rewards, continues, values, 0.9), torch.tensor([[first], [last]]))


def test_lambda_returns_agree_with_numpy_with_a_trace_of_each_step() -> None:
    random = np.random.default_rng(2)
    rewards, continues, values = random.normal(size=(3, 5, 12))
    traces = 0.95 * random.integers(0, 2, (5, 12))
    wanted = [reference.lambda_returns(*row) for row in zip(rewards, continues, values, traces, strict=True)]
    found = losses.lambda_returns(*(torch.tensor(x.T) for x in (rewards, continues, values, traces)))
    np.testing.assert_allclose(found.numpy().T, wanted, rtol=1e-10)


def test_imagination_weights_are_the_chance_of_getting_there() -> None:
    continues = torch.tensor([0.9, 0.5, 1.0])
    torch.testing.assert_close(losses.imagination_weights(continues), torch.tensor([0.9, 0.45, 0.45]))
    discounted = losses.imagination_weights(continues, 0.8)
    torch.testing.assert_close(discounted, torch.tensor([0.9, 0.9 * 0.5 * 0.8, 0.9 * 0.5 * 0.8**2]))


def test_the_return_scale_is_the_percentile_range_but_at_least_one() -> None:
    percentiles = losses.return_percentiles(torch.arange(101.0).flip(0).view(1, 101))
    torch.testing.assert_close(percentiles, torch.tensor([5.0, 95.0]))
    assert losses.return_scale(percentiles).item() == 90.0
    assert losses.return_scale(0.001 * percentiles).item() == 1.0


def test_return_percentiles_agree_with_numpy() -> None:
    returns = np.random.default_rng(3).normal(size=(15, 64))
    found = losses.return_percentiles(torch.tensor(returns))
    np.testing.assert_allclose(found.numpy(), np.percentile(returns, [5.0, 95.0]), rtol=1e-12)


def test_the_actor_loss_is_reinforce_with_entropy_whose_advantage_has_no_gradient() -> None:
    log_probability = torch.tensor([-1.0, -2.0], requires_grad=True)
    advantage = torch.tensor([3.0, -4.0], requires_grad=True)
    entropy, weights = torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.25])
    loss = losses.actor_loss(log_probability, entropy, advantage, weights, 0.1)
    torch.testing.assert_close(loss, torch.tensor([-(-3.0 + 0.05), -0.25 * (8.0 + 0.05)]))
    gradient = torch.autograd.grad(loss.sum(), (log_probability, advantage), allow_unused=True)
    torch.testing.assert_close(gradient[0], torch.tensor([-3.0, 1.0]))
    assert gradient[1] is None


def test_the_pathwise_actor_loss_follows_the_returns_and_not_their_weights() -> None:
    returns = torch.tensor([3.0, -4.0], requires_grad=True)
    weights = torch.tensor([1.0, 0.25], requires_grad=True)
    loss = losses.pathwise_actor_loss(returns, torch.tensor([0.5, 0.5]), weights, 0.1)
    torch.testing.assert_close(loss, torch.tensor([-3.05, 0.25 * 3.95]))
    gradient = torch.autograd.grad(loss.sum(), (returns, weights), allow_unused=True)
    torch.testing.assert_close(gradient[0], torch.tensor([-1.0, -0.25]))
    assert gradient[1] is None


def test_the_critic_learns_the_return_and_is_pulled_to_the_slow_critic() -> None:
    logits = logits_of(0.3, 0.5, 0.2)[None]
    returns, slow, weight = torch.tensor([2.0]), torch.tensor([-2.0]), torch.tensor([0.5])
    loss = losses.critic_loss(logits, returns, slow, weight, BINS, slow_scale=2.0)
    assert loss.item() == pytest.approx(0.5 * (-math.log(0.5) - 2.0 * math.log(0.2)), rel=1e-6)


def test_the_remaining_densities_by_hand() -> None:
    prediction, target = torch.tensor([0.0, 1.0]), torch.tensor([math.e - 1.0, 0.0])
    assert losses.symlog_square_loss(prediction, target).item() == pytest.approx(2.0)
    cross = -(0.25 * math.log(0.5) + 0.75 * math.log(0.5))
    assert losses.binary_loss(torch.tensor(0.0), torch.tensor(0.25)).item() == pytest.approx(cross)
    deviation = torch.tensor([1.0, 2.0])
    found = losses.normal_log_probability(torch.tensor([0.0, 1.0]), deviation, torch.tensor([0.3, 0.0]))
    assert found.item() == pytest.approx(-0.5 * 0.3**2 - 0.5 * 0.5**2 - math.log(2.0) - math.log(2.0 * math.pi))
    entropy = losses.normal_entropy(deviation).item()
    assert entropy == pytest.approx(math.log(2.0) + math.log(2.0 * math.pi * math.e))
