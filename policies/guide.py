"""`Guide`: what was learned of a task besides its dynamics. Plans depart from its policy and end with its value.

A plan of h steps knows nothing of what comes after them. Where a task takes longer, the sum of its rewards is continued
by the value of its last state, as in POLO (Lowrey et al. 2019, arXiv:1811.01848, equation 3):

    V(s) = mean_k v_k(x(s)) - c sqrt( variance_k v_k(x(s)) )

over the members k, with the task's inputs x. They agree where data were; elsewhere a planner would soon find the states
of which they promise too much, hence the deviations that are taken off, where POLO, which shall explore, is optimistic.
The h rewards before it count whole: so few steps are discounted by little. And where nothing near promises more than to
stay, the search is for what to add to the policy, as POPLIN-A does that plans again in each step (Wang and Ba 2020,
arXiv:1906.08649, section 3.2):

    a_t = mean_k π_k(x(s_t)) + δ_t,   s_{t+1} as the dynamics' mean expects it after a_t

The policy answers what δ did before. A candidate that hits the object a little to the left is followed by the policy's
correction; added to what the policy would have done without it, it would push the object off.

A search finds where a model promises most, and that is also where it errs most. The policy was taught, it needs no
model: where the members of the dynamics disagree about what it does, it acts alone.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.packed_ensemble import Kernel, PackedEnsemble


class Guide:
    """The guide of one task, by the weights that its ensembles had when they were last taken over.

    Attributes:
        trust: most disagreement of the dynamics' members, mean along what the policy does, at which something else is
            looked for.
    """

    def __init__(
        self,
        inputs: Callable[[Tensor], Tensor],
        value: ProbabilisticEnsemble,
        policy: ProbabilisticEnsemble,
        caution: float,
        trust: float = math.inf,
    ) -> None:
        """Take over the present weights.

        Args:
            inputs: x, of states (..., d).
            value: predicts returns.
            policy: predicts actions.
            caution: c, deviations between the value's members.
            trust: the attribute.

        Raises:
            ConfigError: what shall be the value predicts something else.
        """
        if value.outputs != 1:
            raise ConfigError(f"a value of {value.outputs} outputs: it has one, give an ensemble fitted to returns")
        self._inputs, self._value, self._policy, self._caution = inputs, value, policy, caution
        self.trust = trust
        self.refresh()

    def refresh(self, kernel: Kernel | Literal["auto"] = "auto") -> None:
        """Take over the present weights, evaluated by `kernel` from now on."""
        self._values, self._actions = PackedEnsemble(self._value, kernel), PackedEnsemble(self._policy, kernel)

    @torch.no_grad()
    def value(self, state: Tensor) -> Tensor:
        """V of states (..., d) -> (...)."""
        values = self._told(self._values, state).squeeze(-1)
        return values.mean(dim=0) - self._caution * values.std(dim=0, correction=0)

    @torch.no_grad()
    def action(self, state: Tensor) -> Tensor:
        """The policy's actions in states (..., d) -> (..., a)."""
        return self._told(self._actions, state).mean(dim=0)

    def _told(self, nets: PackedEnsemble, state: Tensor) -> Tensor:
        """What each member of `nets` expects, (e, ..., outputs)."""
        inputs = self._inputs(state)
        rows = inputs.reshape(-1, inputs.shape[-1])
        mean, _ = nets(rows.expand(nets.members, *rows.shape))
        return mean.view(nets.members, *inputs.shape[:-1], -1)
