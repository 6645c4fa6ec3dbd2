"""Linear tasks with quadratic costs and ensembles of linear members: what is best can be worked out by hand."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.ensemble import EnsembleSettings, ProbabilisticEnsemble

CERTAIN = 1e-7
"""Deviation of a member that is as good as certain."""

DOUBLE_INTEGRATOR = np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1]])
"""Changes of (position, velocity) for inputs (position, velocity, force): x += 0.1 v, v += 0.1 u."""


class QuadraticTask:
    """State s (d,), action u (a,) in `-limit..limit`, s' = s + y; reward `-(|s'|² + effort |u|²)`.

    The first state variable above `wall` is a violation.
    """

    def __init__(self, states: int, actions: int, effort: float = 0.1, limit: float = 3.0, wall: float = 1e9) -> None:
        self.states, self.actions, self.inputs, self.outputs = states, actions, states + actions, states
        self.action_low, self.action_high = torch.full((actions,), -limit), torch.full((actions,), limit)
        self.effort, self.wall = effort, wall

    def model_inputs(self, state: Tensor, action: Tensor) -> Tensor:
        return torch.cat((state, action), dim=-1)

    def next_state(self, state: Tensor, action: Tensor, output: Tensor) -> Tensor:
        del action
        return state + output

    def targets(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        del action
        return next_state - state

    def reward(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        del state
        return -(next_state.square().sum(dim=-1) + self.effort * action.square().sum(dim=-1))

    def violation(self, state: Tensor) -> Tensor:
        return state[..., :1] - self.wall


class ForbiddenPush(QuadraticTask):
    """The reward is the action, but NaN for a positive one: 0 is best, and only by taking NaN for the worst."""

    def reward(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        del state, next_state
        push = action.sum(dim=-1)
        return torch.where(push > 0.0, torch.nan, push)


class AnywhereButPast(QuadraticTask):
    """Rewards not being past 1, which is a number for a state that is none, too."""

    def reward(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        del state, action
        return torch.logical_not(next_state[..., 0] > 1.0).to(torch.float32)


class Hopeless(QuadraticTask):
    """All rewards are NaN."""

    def reward(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        return super().reward(state, action, next_state) * torch.nan


def linear_members(
    matrices: Sequence[FloatArray], offsets: Sequence[FloatArray] | None = None, deviation: float = CERTAIN
) -> ProbabilisticEnsemble:
    """Members `y = x M_k + b_k` with noise of `deviation`, matrices (i, o), offsets (o,)."""
    members, (inputs, outputs) = len(matrices), matrices[0].shape
    settings = EnsembleSettings(members=members, elites=members, hidden=(), weight_decay=(0.0,))
    ensemble = ProbabilisticEnsemble(inputs, outputs, settings, torch.Generator().manual_seed(0))
    log_variance = 2.0 * float(np.log(deviation))
    with torch.no_grad():
        ensemble.weights[0].zero_()
        for member in range(members):
            ensemble.weights[0][member, :, :outputs] = torch.from_numpy(matrices[member])
            if offsets is not None:
                ensemble.biases[0][member, 0, :outputs] = torch.from_numpy(offsets[member])
        ensemble.biases[0][:, :, outputs:] = log_variance
        ensemble.max_log_variance.fill_(log_variance + 30.0)
        ensemble.min_log_variance.fill_(log_variance - 30.0)
    return ensemble


def drifting_members(*drifts: float, deviation: float = CERTAIN) -> ProbabilisticEnsemble:
    """Members for one state and one action that move the state by `drifts`, whatever the action."""
    return linear_members([np.zeros((2, 1))] * len(drifts), [np.array([drift]) for drift in drifts], deviation)


def best_cost(matrix: FloatArray, state: FloatArray, horizon: int, effort: float) -> tuple[float, FloatArray]:
    """Least `Σ |s'|² + effort |u|²` over `horizon` steps of `s' = s + (s, u) M`, and the first action (Riccati)."""
    d = len(state)
    a, b = np.eye(d) + matrix[:d].T, matrix[d:].T
    cost_to_go: FloatArray = np.zeros((d, d))
    gain: FloatArray = np.zeros((b.shape[1], d))
    for _ in range(horizon):
        p = np.eye(d) + cost_to_go
        gain = np.asarray(np.linalg.solve(effort * np.eye(b.shape[1]) + b.T @ p @ b, b.T @ p @ a), np.float64)
        cost_to_go = np.asarray(a.T @ p @ (a - b @ gain), dtype=np.float64)
    return float(state @ cost_to_go @ state), -gain @ state
