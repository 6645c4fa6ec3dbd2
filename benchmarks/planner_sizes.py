"""What plans are timed on: mbrl-lib's own sizes, sizes around an SO-101's, and a task that costs next to nothing."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from robot_mbrl.policies.ensemble import EnsembleSettings


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a plan's cost depends on.

    Attributes:
        states: d.
        actions: a.
        population: candidates of an iteration.
        horizon: steps.
        particles: of each candidate, over all nets.
        iterations: of the optimizer.
        elites: of the optimizer.
        members: nets.
        layers: hidden layers of a net.
        width: of a hidden layer.
    """

    states: int
    actions: int
    population: int
    horizon: int
    particles: int = 20
    iterations: int = 5
    elites: int = 40
    members: int = 5
    layers: int = 4
    width: int = 200

    @property
    def evaluations(self) -> int:
        """Model evaluations of a plan, with a population that does not decay."""
        return self.population * self.particles * self.horizon * self.iterations

    @property
    def operations(self) -> int:
        """Multiplications and additions of a model evaluation: of the products alone."""
        widths = (self.states + self.actions, *(self.width,) * self.layers, 2 * self.states)
        return 2 * sum(a * b for a, b in pairwise(widths))

    @property
    def ensemble(self) -> EnsembleSettings:
        """Settings of the nets."""
        return EnsembleSettings(
            members=self.members,
            elites=self.members,
            hidden=(self.width,) * self.layers,
            weight_decay=(0.0,) * (self.layers + 1),
        )


MBRL_SIZES = {
    "cartpole": Sizes(states=4, actions=1, population=500, horizon=15, elites=50),
    "7-DoF arm": Sizes(states=17, actions=7, population=400, horizon=25),
}
"""mbrl-lib's own, from its published configurations."""

SWEEP_BASE = Sizes(states=21, actions=6, population=64, horizon=20, particles=5, iterations=3, elites=10)
SWEEPS: dict[str, tuple[int, ...]] = {
    "population": (32, 64, 128, 256, 512),
    "horizon": (10, 20, 30, 40),
    "members": (3, 5, 7),
    "states": (6, 12, 21, 42),
}

BLOCKS = (16, 32, 64, 128, 256, 512, 1600)
"""Rows that each net is evaluated on at a time."""


class FlatTask:
    """d states that are all learned, a actions in -1..1, reward minus the squares, as the peer's.

    A `policies.task_model.LinearInputTask`: the networks see (s, a) = s (1, 0) + (0, a).
    """

    def __init__(self, sizes: Sizes) -> None:
        self.states = self.outputs = sizes.states
        self.actions, self.inputs = sizes.actions, sizes.states + sizes.actions
        self.action_low, self.action_high = -torch.ones(sizes.actions), torch.ones(sizes.actions)
        self.input_matrix = torch.eye(sizes.states, self.inputs)

    def model_inputs(self, state: Tensor, action: Tensor) -> Tensor:
        """State and action, (..., d) and (..., a) -> (..., d + a)."""
        return torch.cat((state, action), dim=-1)

    def next_state(self, state: Tensor, action: Tensor, output: Tensor) -> Tensor:
        """`state + output`."""
        del action
        return state + output

    def targets(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """`next_state - state`."""
        del action
        return next_state - state

    def reward(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """`-(|next_state|² + 0.1 |action|²)`."""
        del state
        return -(next_state.square().sum(dim=-1) + 0.1 * action.square().sum(dim=-1))

    def violation(self, state: Tensor) -> Tensor:
        """None."""
        return state[..., :0]

    def learned(self, state: Tensor) -> Tensor:
        """All of the state."""
        return state

    def known_inputs(self, start: Tensor, actions: Tensor) -> Tensor:
        """(0, action), (h, n, a) -> (h, n, d + a)."""
        del start
        return torch.cat((actions.new_zeros(*actions.shape[:-1], self.states), actions), dim=-1)

    def states_along(self, start: Tensor, known: Tensor, learned: Tensor) -> Tensor:
        """`learned` (h + 1, e, r, n, d) itself."""
        del start, known
        return learned
