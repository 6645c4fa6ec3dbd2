"""The recurrent pass over replayed sequences, with its gradient arranged for speed.

Backpropagation through time needs, step by step, only the gradient with respect to the *state*. The gradients with
respect to the weights are the sum over all steps, so they are computed for all t * b rows in one go once the
gradient with respect to every state is known: large matrix products in place of t small ones. Nothing but the states
is kept from the forward pass; each step is computed again for its gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robot_mbrl.policies.dreamer_model import LatentState, RecurrentModel

Step = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""(deter, stoch, keep, drive, evidence, noise) of one step to its deter, stoch, probabilities."""

Pullback = Callable[..., tuple[Tensor, Tensor]]
"""A step's inputs and the gradients of its three results to the gradients of its deter and stoch."""


@dataclass(frozen=True, slots=True)
class ScanSteps:
    """What is done at each step, and once for all of them; each may be compiled.

    Attributes:
        forward: one step of b rows, without gradients.
        pullback: the gradient of one step of b rows with respect to its state.
        batched: all t * b rows' steps at once, with gradients.
        parameters: that `batched` depends on.
    """

    forward: Step
    pullback: Pullback
    batched: Step
    parameters: tuple[Tensor, ...]


def scan_steps(dynamics: RecurrentModel, transform: Callable[[Any], Any] = lambda function: function) -> ScanSteps:
    """The steps of `dynamics`, each passed through `transform` (a compiler)."""

    def step(
        deter: Tensor, stoch: Tensor, keep: Tensor, drive: Tensor, evidence: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        state, probabilities = dynamics.observe(LatentState(deter, stoch), keep, drive, evidence, noise)
        return state.deter, state.stoch, probabilities

    def pullback(
        deter: Tensor,
        stoch: Tensor,
        keep: Tensor,
        drive: Tensor,
        evidence: Tensor,
        noise: Tensor,
        *gradients: Tensor,
    ) -> tuple[Tensor, Tensor]:
        pull = torch.func.vjp(lambda h, z: step(h, z, keep, drive, evidence, noise), deter, stoch)[1]
        deter_gradient, stoch_gradient = pull(gradients)
        return deter_gradient, stoch_gradient

    used = (dynamics.deter_in, dynamics.stoch_in, dynamics.core, dynamics.core_activation, dynamics.gates)
    seen = (dynamics.posterior_in, dynamics.posterior_activation, dynamics.posterior_out)
    parameters = tuple(parameter for module in (*used, *seen) for parameter in module.parameters())
    return ScanSteps(transform(step), transform(pullback), transform(step), parameters)


def scan(
    steps: ScanSteps, start: LatentState, keep: Tensor, drive: Tensor, evidence: Tensor, noise: Tensor
) -> tuple[LatentState, Tensor]:
    """Observe sequences of t steps, time first.

    Args:
        steps: of the recurrent model.
        start: (b, ...) state before the first step; gets no gradient.
        keep: (t, b, 1), 0 where an episode begins.
        drive: (t, b, deter).
        evidence: (t, b, hidden).
        noise: (t, b, latents).

    Returns:
        States (t, b, ...) and the posterior's probabilities (t, b, latents, classes).
    """
    apply: Callable[..., tuple[Tensor, Tensor, Tensor]] = _Scan.apply
    inputs = (start.deter, start.stoch, keep, drive, evidence, noise)
    deter, stoch, probabilities = apply(steps, *inputs, *steps.parameters)
    return LatentState(deter, stoch), probabilities


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        steps: ScanSteps,
        deter: Tensor,
        stoch: Tensor,
        keep: Tensor,
        drive: Tensor,
        evidence: Tensor,
        noise: Tensor,
        *_parameters: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        deters, stochs, posteriors = [deter], [stoch], []
        for inputs in zip(keep, drive, evidence, noise, strict=True):
            deter, stoch, probabilities = steps.forward(deter, stoch, *inputs)
            deters.append(deter)
            stochs.append(stoch)
            posteriors.append(probabilities)
        before = torch.stack(deters[:-1]), torch.stack(stochs[:-1])
        ctx.steps = steps
        ctx.save_for_backward(*before, keep, drive, evidence, noise)
        return torch.stack(deters[1:]), torch.stack(stochs[1:]), torch.stack(posteriors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        steps: ScanSteps = ctx.steps
        inputs: tuple[Tensor, ...] = ctx.saved_tensors
        deter, stoch = torch.zeros_like(gradients[0][0]), torch.zeros_like(gradients[1][0])
        deters, stochs = [], []
        for before, *direct in reversed(list(zip(zip(*inputs, strict=True), *gradients, strict=True))):
            deter, stoch = deter + direct[0], stoch + direct[1]
            deters.append(deter)
            stochs.append(stoch)
            deter, stoch = steps.pullback(*before, deter, stoch, direct[2])
        totals = torch.stack(deters[::-1]), torch.stack(stochs[::-1]), gradients[2]
        flat = [value.flatten(0, 1) for value in inputs]
        with torch.enable_grad():
            flat[3], flat[4] = flat[3].detach().requires_grad_(), flat[4].detach().requires_grad_()
            results = steps.batched(*flat)
            pulled = torch.autograd.grad(
                results,
                (flat[3], flat[4], *steps.parameters),
                [value.flatten(0, 1) for value in totals],
            )
        drive, evidence = (value.view_as(given) for value, given in zip(pulled[:2], inputs[3:5], strict=True))
        return None, None, None, None, drive, evidence, None, *pulled[2:]
