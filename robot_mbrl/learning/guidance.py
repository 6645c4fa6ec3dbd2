"""What a guide is told: a value from the run's own returns, a policy from a teacher's lessons (`policies.guide`).

The return of a state is what the run itself got from there on, discounted:

    G_t = r_t + g G_{t+1},   G_T = r_T / (1 - g),   g the discount

An episode of these tasks is cut off, not over: its last reward counts as if it went on for ever. Random and shown
episodes, and planned ones of long ago, got less from the same states than the run would now: the value is of the newer.

A lesson is what the teacher, the arm's hand-written controller, would do in a state, whoever acts there. A policy that
was fitted to the teacher's own episodes alone would not know what to do where only its own mistakes lead: DAgger (Ross
et al. 2011, arXiv:1011.0686, algorithm 3.1). The teacher is asked about other goals, too, which takes no step of the
arm: each state is as good as several, as in hindsight experience replay (Andrychowicz et al. 2017, arXiv:1707.01495).
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field

from robot_mbrl.contracts.config import Settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.task_models import ObservedTaskModel
from robot_mbrl.learning.transitions import Transitions
from robot_mbrl.policies.ensemble import EnsembleSettings, ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_data import FloatRows
from robot_mbrl.policies.ensemble_training import EnsembleTrainer
from robot_mbrl.policies.guide import Guide
from robot_mbrl.policies.task_model import Float32Array


def _nets(width: int, weight_decay: float, learning_rate: float, epochs: int) -> EnsembleSettings:
    """Few episodes hold many rows that are nearly the same: without decay the nets know them by heart."""
    return EnsembleSettings(
        hidden=(width, width, width),
        weight_decay=(weight_decay,) * 4,
        learning_rate=learning_rate,
        batch_size=128,
        epochs=epochs,
        refit_epochs=1,
        beta=1.0,
    )


class GuideSettings(Settings):
    """How a guide is learned and used.

    Attributes:
        discount: of the next step.
        recent: share of the transitions that the value is fitted to, the newest.
        caution: deviations between the value's nets that are taken off what they promise.
        trust: disagreement of the dynamics' nets, mean along what the policy would do, above which it acts alone. In
            `push` it is about 0.1 on the way to the object and while it is pushed, and about 0.02 after that.
        imagined: other goals that the teacher is asked about in each state.
        value: the value's nets and how they are fitted.
        policy: the policy's nets and how they are fitted.
    """

    discount: float = Field(default=0.97, ge=0.0, lt=1.0)
    recent: float = Field(default=0.5, gt=0.0, le=1.0)
    caution: float = Field(default=1.0, ge=0.0)
    trust: float = Field(default=0.04, ge=0.0)
    imagined: int = Field(default=6, ge=0)
    value: EnsembleSettings = _nets(128, 0.03, 1e-3, 15)
    policy: EnsembleSettings = _nets(256, 1e-4, 3e-3, 8)


class GuideTrainers(NamedTuple):
    """What fits the two ensembles of a guide."""

    value: EnsembleTrainer
    policy: EnsembleTrainer


def new_guide(
    model: ObservedTaskModel, settings: GuideSettings, generators: tuple[torch.Generator, torch.Generator]
) -> GuideTrainers:
    """Trainers that have seen no data; weights and fits of each draw from a generator of its own."""
    inputs = model.guide_inputs(torch.zeros(model.states)).shape[-1]

    def trainer(outputs: int, nets: EnsembleSettings, generator: torch.Generator) -> EnsembleTrainer:
        return EnsembleTrainer(ProbabilisticEnsemble(inputs, outputs, nets, generator), nets, generator)

    for_value, for_policy = generators
    return GuideTrainers(trainer(1, settings.value, for_value), trainer(model.actions, settings.policy, for_policy))


def make_guide(
    model: ObservedTaskModel, trainers: GuideTrainers | None, settings: GuideSettings | None
) -> Guide | None:
    """The guide that `trainers` fit; None where the settings have none.

    Raises:
        ConfigError: the settings have one, and there are no trainers.
    """
    if settings is None:
        return None
    if trainers is None:
        raise ConfigError("the run has a guide in its settings and none in its progress: start anew")
    return Guide(
        model.guide_inputs, trainers.value.ensemble, trainers.policy.ensemble, settings.caution, settings.trust
    )


def value_data(
    model: ObservedTaskModel, transitions: Transitions, settings: GuideSettings
) -> tuple[FloatRows, FloatRows]:
    """What the value's nets see and should predict, (k, x) and (k, 1) of the k newest transitions."""
    newest = slice(-math.ceil(settings.recent * len(transitions)), None)
    returns = discounted_returns(transitions, settings.discount)
    return _seen(model, transitions.states[newest]), returns[newest, None]


def policy_data(model: ObservedTaskModel, transitions: Transitions) -> tuple[FloatRows, FloatRows]:
    """What the policy's nets see and should predict, (l, x) and (l, a) of l lessons."""
    states, actions = transitions.lessons
    return _seen(model, states), actions


def discounted_returns(transitions: Transitions, discount: float) -> Float32Array:
    """(N,) G of each transition; an episode ends where the next state is not the state that follows in the memory."""
    rewards = transitions.rewards.astype(np.float64)
    ends = np.append((transitions.next_states[:-1] != transitions.states[1:]).any(axis=1), True)
    returns = np.empty(len(rewards))
    following = 0.0
    for index in reversed(range(len(rewards))):
        following = rewards[index] / (1.0 - discount) if ends[index] else rewards[index] + discount * following
        returns[index] = following
    return returns.astype(np.float32)


def _seen(model: ObservedTaskModel, states: Float32Array) -> FloatRows:
    return np.ascontiguousarray(model.guide_inputs(torch.from_numpy(states)).numpy())
