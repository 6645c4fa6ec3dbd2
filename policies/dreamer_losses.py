"""The equations of DreamerV3 (Hafner et al. 2023, revised 2025), each a function of tensors.

Letters: t steps, b sequences (time first, as in the recurrent pass), n rows of any leading shape, k bins. All in
float32.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

BIN_RANGE = 20.0
"""The outermost bins of a two-hot head stand for ± symexp of this."""


def symlog(x: Tensor) -> Tensor:
    """sign(x) ln(1 + |x|): squeezes large values of either sign (eq. 9)."""
    return torch.sign(x) * torch.log1p(torch.abs(x))


def symexp(x: Tensor) -> Tensor:
    """sign(x) (exp |x| - 1), the inverse of `symlog`."""
    return torch.sign(x) * torch.expm1(torch.abs(x))


def symexp_bins(count: int) -> Tensor:
    """(count,) the values of symexp(linspace(-20, 20, count)), `count` odd: zero, the positive ones, the negatives.

    Both halves rise in magnitude, so that bins of opposite sign are paired without turning one of them around.
    """
    half = symexp(torch.linspace(0.0, BIN_RANGE, count // 2 + 1))
    return torch.cat([half, -half[1:]])


def two_hot_mean(logits: Tensor, bins: Tensor) -> Tensor:
    """Expected value (n,) of softmax(logits (n, k)) over `bins` (k,), ordered as by `symexp_bins`.

    Bins of opposite sign are added in pairs: with symmetric probabilities the sum is exactly zero, which summing one
    after the other misses by the rounding of ± 5e8.
    """
    middle = bins.shape[0] // 2
    weighted = functional.softmax(logits.float(), -1) * bins
    return (weighted[..., 1 : middle + 1] + weighted[..., middle + 1 :]).sum(-1)


def two_hot_loss(logits: Tensor, target: Tensor, bins: Tensor) -> Tensor:
    """Cross-entropy (n,) of softmax(logits (n, k)) with the two-hot encoding of `target` (n,) (eq. 10).

    The encoding puts all weight on the two bins around the target, so that their mean is the target; a target
    beyond the outermost bin counts as that bin. Targets get no gradient. `bins` (k,) as by `symexp_bins`.
    """
    middle = bins.shape[0] // 2
    rising = bins[: middle + 1]
    magnitude = target.detach().abs().clamp(max=rising[-1]).contiguous()
    above = torch.searchsorted(rising, magnitude).clamp(1, middle)
    low, high = rising[above - 1], rising[above]
    share = ((magnitude - low) / (high - low)).unsqueeze(-1)
    pair = torch.stack([above - 1, above], -1)
    negative = (target < 0.0).unsqueeze(-1) & (pair > 0)
    logits = logits.float()
    chosen = logits.gather(-1, torch.where(negative, pair + middle, pair))
    expected = chosen[..., :1] * (1.0 - share) + chosen[..., 1:] * share
    return torch.logsumexp(logits, -1) - expected.squeeze(-1)


def mixed_probabilities(logits: Tensor, unimix: float) -> Tensor:
    """(1 - u) softmax(logits) + u / classes, over the last dimension (u: `unimix`)."""
    return (1.0 - unimix) * functional.softmax(logits.float(), -1) + unimix / logits.shape[-1]


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q) (n,) of independent categorical variables, summed over them; both (n, latents, classes) logarithms."""
    return (log_p.exp() * (log_p - log_q)).sum((-2, -1))


class KlLosses(NamedTuple):
    """Of each step, (t, b): what teaches the prior, what teaches the posterior, and their common plain value."""

    dynamics: Tensor
    representation: Tensor
    divergence: Tensor


def kl_losses(posterior: Tensor, prior: Tensor, free_nats: float) -> KlLosses:
    """KL balancing with free nats (eq. 5), from log probabilities (t, b, latents, classes).

    dynamics max(1, KL(sg(posterior) ‖ prior)), representation max(1, KL(posterior ‖ sg(prior))). The bound holds for
    each step's sum over latents, before any averaging.
    """
    dynamics = kl_divergence(posterior.detach(), prior)
    representation = kl_divergence(posterior, prior.detach())
    return KlLosses(dynamics.clamp(min=free_nats), representation.clamp(min=free_nats), dynamics.detach())


def continue_target(is_terminal: Tensor, discount: float) -> Tensor:
    """What the continue head learns: (1 - terminal) discount, so that imagination needs no discount besides."""
    return (1.0 - is_terminal.float()) * discount


def lambda_returns(rewards: Tensor, continues: Tensor, bootstrap: Tensor, trace: Tensor | float) -> Tensor:
    """λ-returns (t - 1, b) of steps 0 to t - 2, from (t, b) each (eq. 6).

        R_i = r_{i+1} + c_{i+1} ((1 - λ_{i+1}) v_{i+1} + λ_{i+1} R_{i+1}),  R_{t-1} = v_{t-1}

    Rewards and continues are those of arriving in a state; those of step 0 are not used. `continues` has the discount
    in it. `trace` is λ, or one of each step (t, b): zero where the sequence breaks off after that step.
    """
    traces = torch.as_tensor(trace, dtype=rewards.dtype, device=rewards.device).expand_as(rewards)
    settled = rewards + continues * (1.0 - traces) * bootstrap
    carried = continues * traces
    future, returns = bootstrap[-1], []
    for step in range(rewards.shape[0] - 1, 0, -1):
        future = settled[step] + carried[step] * future
        returns.append(future)
    return torch.stack(returns[::-1])


def imagination_weights(continues: Tensor, discount: float = 1.0) -> Tensor:
    """How likely imagination gets to each step (t, b) without ending: cumprod(discount c) / discount.

    `discount` is 1 when the continues have it in them already.
    """
    return torch.cumprod(discount * continues, 0) / discount


def return_percentiles(returns: Tensor) -> Tensor:
    """(2,): the 5th and 95th percentile of all returns."""
    levels = torch.tensor([0.05, 0.95], dtype=returns.dtype, device=returns.device)
    return torch.quantile(returns.flatten(), levels)


def return_scale(percentiles: Tensor) -> Tensor:
    """max(1, P95 - P5) (): what advantages are divided by; small returns are not blown up (eq. 11)."""
    return (percentiles[1] - percentiles[0]).clamp(min=1.0)


def actor_loss(
    log_probability: Tensor, entropy: Tensor, advantage: Tensor, weights: Tensor, entropy_scale: float
) -> Tensor:
    """REINFORCE with entropy (n,): -w (ln π(a) sg(A) + η H[π]) (eq. 11), for continuous actions as for discrete."""
    return -weights.detach() * (log_probability * advantage.detach() + entropy_scale * entropy)


def pathwise_actor_loss(returns: Tensor, entropy: Tensor, weights: Tensor, entropy_scale: float) -> Tensor:
    """Minus the scaled returns and the entropy (n,), -w (R + η H[π]), whose gradient is that of R by the actions.

    DreamerV2, eq. 6 without its share of REINFORCE (Hafner 2021): the world model tells what each action changes.
    """
    return -weights.detach() * (returns + entropy_scale * entropy)


def critic_loss(
    logits: Tensor, returns: Tensor, slow_value: Tensor, weights: Tensor, bins: Tensor, slow_scale: float
) -> Tensor:
    """Two-hot loss to the return, and s times that to the slow critic's value, a mere regulariser; weighted (n,)."""
    to_return = two_hot_loss(logits, returns, bins)
    to_slow = two_hot_loss(logits, slow_value, bins)
    return weights.detach() * (to_return + slow_scale * to_slow)


def binary_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy (n,) of sigmoid(logits) with a target in 0..1."""
    return functional.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")


def symlog_square_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """|prediction - symlog(target)|² summed over the last dimension (n,) (eq. 7)."""
    return torch.square(prediction.float() - symlog(target)).sum(-1)


def normal_log_probability(mean: Tensor, deviation: Tensor, value: Tensor) -> Tensor:
    """Logarithm of N(value | mean, deviation²), summed over the last dimension (n,)."""
    standard = (value - mean) / deviation
    return (-0.5 * torch.square(standard) - torch.log(deviation) - 0.5 * math.log(2.0 * math.pi)).sum(-1)


def normal_entropy(deviation: Tensor) -> Tensor:
    """Of a normal distribution, summed over the last dimension (n,)."""
    return (torch.log(deviation) + 0.5 * math.log(2.0 * math.pi * math.e)).sum(-1)
