"""How well an ensemble predicts: error and its growth over open-loop steps, beside baselines, and what doubt tells.

From a start s_0 the recorded actions are replayed through a model, each elite m by itself on its mean. The error after
k steps is what the networks would have had to predict to get from the predicted state to the true one, in typical
changes τ of one step (the deviation of the ensemble's targets), o outputs:

    e_k^m = targets(ŝ_k^m, s_k) / τ,      e_k = mean_m e_k^m
    error  |e_k| = sqrt( Σ_o e_k² / o ),  disagreement  sqrt( Σ_o variance_m(e_k^m) / o )

Baselines: persistence (ŝ_k = s_0), and a linear model y = (x, 1) B of the networks' inputs, fitted by least squares to
the data that the ensemble was fitted to. At k = 1 the disagreement is the planner's and the monitor's.

Shapes: b starts, k steps, d state variables, a actions, i inputs, o outputs, m elites.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.transitions import Transitions
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.task_model import Float32Array, TaskModel

HORIZONS: Final = (1, 5, 10, 20, 50)
"""Steps that are reported."""

Predictor = Callable[[Tensor], Tensor]
"""Outputs (..., b, o) for inputs (..., b, i)."""


class Episode(NamedTuple):
    """States (t + 1, d) and the actions (t, a) between them."""

    states: Float32Array
    actions: Float32Array


class Windows(NamedTuple):
    """Pieces of episodes.

    Attributes:
        states: (b, k + 1, d); what lies past an episode's end repeats its last state.
        actions: (b, k, a); likewise.
        lengths: (b,) steps before the episode's end, 1 to k.
    """

    states: Tensor
    actions: Tensor
    lengths: Tensor


@dataclass(frozen=True, slots=True)
class Growth:
    """A predictor's error after 1 to k steps, in typical changes of one step.

    Attributes:
        rms: (k,) root mean square over the starts; infinity where a prediction is not finite.
        median: (k,).
    """

    rms: FloatArray
    median: FloatArray


@dataclass(frozen=True, slots=True)
class ModelReport:
    """What is known of a model.

    Attributes:
        cases: (k,) starts that have as many steps before their episode's end; at least one each.
        ensemble, persistence, linear: growth of the error of each.
        disagreement: (k,) root mean square over the starts.
        rank_correlation: (k,) Spearman's, of disagreement and error; NaN where all of either are equal.
        output_names: (o,).
        output_error: (o,) root mean square of the ensemble's one-step error, in each output's unit.
        output_change: (o,) typical change τ of one step, in each output's unit.
        one_step: (cases[0], 2) disagreement and error of each start after one step.
    """

    cases: FloatArray
    ensemble: Growth
    persistence: Growth
    linear: Growth
    disagreement: FloatArray
    rank_correlation: FloatArray
    output_names: tuple[str, ...]
    output_error: FloatArray
    output_change: FloatArray
    one_step: FloatArray

    @property
    def horizons(self) -> tuple[int, ...]:
        """Those of `HORIZONS` that the episodes are long enough for."""
        return tuple(k for k in HORIZONS if k <= len(self.cases))


def split_episodes(transitions: Transitions) -> list[Episode]:
    """Episodes of recorded transitions: one ends where the next transition does not start in its last state."""
    states, actions, next_states = transitions.states, transitions.actions, transitions.next_states
    breaks = np.flatnonzero((states[1:] != next_states[:-1]).any(axis=1)) + 1
    bounds = [0, *breaks.tolist(), len(states)]
    return [
        Episode(np.concatenate((states[start:end], next_states[end - 1 : end])), actions[start:end])
        for start, end in itertools.pairwise(bounds)
        if end > start
    ]


def cut_windows(episodes: Sequence[Episode], horizon: int, starts: int, random: np.random.Generator) -> Windows:
    """Windows of `horizon` steps from every state that has a next one, at most `starts` of them, drawn at random.

    Raises:
        ConfigError: there is no episode with a step, or a number that is not finite.
    """
    places = [(index, start) for index, episode in enumerate(episodes) for start in range(len(episode.actions))]
    if not places:
        raise ConfigError(f"model analysis of {len(episodes)} episodes without a step: give one with a step or more")
    chosen = np.sort(random.permutation(len(places))[:starts])
    states, actions, lengths = [], [], []
    for place in chosen:
        index, start = places[place]
        episode = episodes[index]
        last = len(episode.actions)
        states.append(episode.states[np.minimum(np.arange(start, start + horizon + 1), last)])
        actions.append(episode.actions[np.minimum(np.arange(start, start + horizon), last - 1)])
        lengths.append(min(horizon, last - start))
    windows = Windows(torch.from_numpy(np.stack(states)), torch.from_numpy(np.stack(actions)), torch.tensor(lengths))
    if not (windows.states.isfinite().all() and windows.actions.isfinite().all()):
        raise ConfigError("model analysis of episodes with numbers that are not finite: leave such episodes out")
    return windows


def fit_linear(inputs: Float32Array, targets: Float32Array) -> Predictor:
    """The affine map from `inputs` (n, i) to `targets` (n, o) with the least squares error."""
    extended = np.column_stack((inputs, np.ones(len(inputs), np.float32))).astype(np.float64)
    solution = np.linalg.lstsq(extended, targets.astype(np.float64))[0]
    matrix, offset = torch.from_numpy(solution[:-1]).float(), torch.from_numpy(solution[-1]).float()
    return lambda x: x @ matrix + offset


@torch.no_grad()
def open_loop_errors(model: TaskModel, predict: Predictor, windows: Windows, members: int) -> Tensor:
    """(m, b, k, o) what would have had to be added to the learned coordinates that `predict` leads to, in their units.

    `predict` gets inputs (m, b, i) of m = `members` rollouts side by side.
    """
    state = windows.states[:, 0].expand(members, *windows.states[:, 0].shape)
    errors = []
    for step in range(windows.actions.shape[1]):
        action = windows.actions[:, step].expand(members, *windows.actions[:, step].shape)
        state = model.next_state(state, action, predict(model.model_inputs(state, action)))
        errors.append(model.targets(state, action, windows.states[:, step + 1].expand_as(state)))
    return torch.stack(errors, dim=2)


@torch.no_grad()
def persistence_errors(model: TaskModel, windows: Windows) -> Tensor:
    """(1, b, k, o) as `open_loop_errors`, of predicting that nothing changes."""
    steps = windows.actions.shape[1]
    first = windows.states[:, :1].expand(-1, steps, -1)
    return model.targets(first, windows.actions, windows.states[:, 1:])[None]


def analyse_model(
    model: TaskModel, ensemble: ProbabilisticEnsemble, fitted: Transitions, windows: Windows
) -> ModelReport:
    """Compare `ensemble` with what happened in `windows`, and with a linear model of what it was `fitted` to.

    Raises:
        ConfigError: ensemble, transitions or windows are another task's.
    """
    _check_sizes(model, ensemble, fitted, windows)
    elites, scale = ensemble.elites, ensemble.target_deviation
    rollouts = open_loop_errors(model, lambda x: ensemble(x)[0], windows, ensemble.members)[elites]
    linear = open_loop_errors(model, fit_linear(*_fitting_data(model, fitted)), windows, 1)
    valid = torch.arange(windows.actions.shape[1]) < windows.lengths[:, None]
    valid = valid[:, : int(windows.lengths.max())]
    error, spread = _error(rollouts, scale), _spread(rollouts, scale)
    steps = range(valid.shape[1])
    return ModelReport(
        cases=valid.sum(dim=0).double().numpy(),
        ensemble=_growth(error, valid),
        persistence=_growth(_error(persistence_errors(model, windows), scale), valid),
        linear=_growth(_error(linear, scale), valid),
        disagreement=_growth(spread, valid).rms,
        rank_correlation=np.array(
            [rank_correlation(spread[valid[:, k], k].numpy(), error[valid[:, k], k].numpy()) for k in steps]
        ),
        output_names=ensemble.output_names,
        output_error=rollouts[:, :, 0].mean(dim=0).square().mean(dim=0).sqrt().double().numpy(),
        output_change=scale.double().numpy(),
        one_step=torch.stack((spread[:, 0], error[:, 0]), dim=1).double().numpy(),
    )


def rank_correlation(first: FloatArray, second: FloatArray) -> float:
    """Spearman's: the correlation of ranks, equal numbers sharing their mean rank; NaN when all are equal."""
    a, b = (_ranks(values) - (len(values) - 1) / 2.0 for values in (first, second))
    norm = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float(a @ b) / norm if norm > 0.0 else float("nan")


def _ranks(values: FloatArray) -> FloatArray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts) - 1.0
    ranks: FloatArray = (last - (counts - 1.0) / 2.0)[inverse]
    return ranks


def _fitting_data(model: TaskModel, fitted: Transitions) -> tuple[Float32Array, Float32Array]:
    state, action, after = (torch.from_numpy(x) for x in (fitted.states, fitted.actions, fitted.next_states))
    return model.model_inputs(state, action).numpy(), model.targets(state, action, after).numpy()


def _error(errors: Tensor, scale: Tensor) -> Tensor:
    """(b, k) size of the mean rollout's error (m, b, k, o), in typical changes."""
    return _finite((errors.mean(dim=0) / scale).square().mean(dim=-1).sqrt())


def _spread(errors: Tensor, scale: Tensor) -> Tensor:
    """(b, k) disagreement of rollouts (m, b, k, o), in typical changes."""
    return _finite((errors / scale).var(dim=0, correction=0).mean(dim=-1).sqrt())


def _finite(values: Tensor) -> Tensor:
    """A number that is not finite is as far off as can be."""
    return values.nan_to_num(nan=torch.inf, posinf=torch.inf)


def _growth(errors: Tensor, valid: Tensor) -> Growth:
    columns = [errors[valid[:, k], k].double() for k in range(valid.shape[1])]
    return Growth(
        rms=np.array([float(column.square().mean().sqrt()) for column in columns]),
        median=np.array([float(column.median()) for column in columns]),
    )


def _check_sizes(model: TaskModel, ensemble: ProbabilisticEnsemble, fitted: Transitions, windows: Windows) -> None:
    wanted = (model.inputs, model.outputs)
    if (ensemble.inputs, ensemble.outputs) != wanted:
        raise ConfigError(
            f"ensemble of {ensemble.inputs} inputs and {ensemble.outputs} outputs for a task with {wanted[0]} and "
            f"{wanted[1]}: give the one that was fitted to this task"
        )
    for name, states, actions in (
        ("fitted transitions", fitted.states.shape[1], fitted.actions.shape[1]),
        ("episodes", windows.states.shape[2], windows.actions.shape[2]),
    ):
        if (states, actions) != (model.states, model.actions):
            raise ConfigError(
                f"{name} of {states} states and {actions} actions for a task with {model.states} and {model.actions}: "
                "give this task's"
            )
