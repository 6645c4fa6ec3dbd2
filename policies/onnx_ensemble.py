"""`OnnxEnsemble`: what an ensemble of learned dynamics models predicts, and how much its members differ.

With μ_k and σ²_k the mean and variance that member k of m gives for one state variable, s its scale and r its noise
(the description's), μ = Σ μ_k / m and e² = Σ (μ_k - μ)² / m the spread of the means, over d state variables:

    variance      σ² = Σ σ²_k / m + e² + r²                 (of the mixture, as it is measured)
    disagreement  sqrt( Σ_d (e / s)² / d )                  (1: the members differ by a typical step)
    residual      sqrt( Σ_d (observed - μ)² / σ² / d )      (1: off by one predicted standard deviation)

Members can agree and be wrong, so the residual of the step before goes with the disagreement.

Each member has a session of its own, so that a question can be put to one member after the other, tick by tick: five
members of four layers of 200 read 2.6 MB of weights, which a tick of 1 ms has no time for beside all else.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.ensemble_file import EnsembleDescription, read_ensemble
from robot_mbrl.policies.onnx_session import Float32Array, bind, open_session

WARM_UP_RUNS = 20

_LEAST_DEVIATION = 1e-3
"""No prediction is taken for better than this share of the scale, so that the residual stays finite."""


class EnsembleStep(NamedTuple):
    """A prediction of one step; d state variables.

    Attributes:
        mean: (d,) next state; NaN when a member's is not finite.
        variance: (d,) of the mixture and the measurement, the square of the state's units.
        disagreement: of the members, without unit; infinity when a member's mean is not finite.
    """

    mean: FloatArray
    variance: FloatArray
    disagreement: float


class OnnxEnsemble:
    """Evaluates one ensemble file on one thread, in buffers that it keeps. Not for several threads at once.

    `step` answers a question at once, `begin` and `go_on` answer it in parts.

    Attributes:
        description: what its numbers mean: joints, period, scale.
        members: m.
        states: d.
        actions: a.
    """

    def __init__(self, path: Path) -> None:
        """Load and check the file at `path`, and run it until it is warm.

        Raises:
            ConfigError: `read_ensemble` refuses the file, or it does not run, or gives answers that are not finite.
        """
        file = read_ensemble(path)
        self.description: EnsembleDescription = file.description
        self.members, self.states, self.actions = file.members, file.states, file.actions
        scale = np.array(file.description.scale)
        self._least_variance = np.square(_LEAST_DEVIATION * scale)
        self._noise = np.square(file.description.noise or np.zeros(self.states))
        self._shares = 1.0 / np.square(scale) / self.states / self.members
        self._state, self._action = _row(self.states), _row(self.actions)
        self._answers = np.zeros((2, self.members, self.states), np.float32)
        self._means, self._variances = np.zeros(self._answers.shape)
        self._ones = np.ones(self.members)
        self._answered = 0
        try:
            self._sessions = [open_session(file.of_member(member)) for member in range(self.members)]
            self._bindings = [
                bind(
                    session,
                    {"state": self._state, "action": self._action},
                    {"means": means[None], "variances": variances[None]},
                )
                for session, means, variances in zip(self._sessions, *self._answers, strict=True)
            ]
            for _ in range(WARM_UP_RUNS):
                step = self.step(np.zeros(self.states), np.zeros(self.actions))
        except Exception as error:  # onnxruntime's errors have no other common base
            reason = " ".join(str(error).split())
            raise ConfigError(f"{path}: onnxruntime cannot run it ({reason}): export it again") from error
        if not (math.isfinite(step.disagreement) and np.isfinite(step.variance).all()):
            raise ConfigError(f"{path}: answers to zeros with numbers that are not finite: train it again")

    def step(self, state: FloatArray, action: FloatArray) -> EnsembleStep:
        """Predict the state (d,) that follows `state` (d,) under `action` (a,), one period later; SI units.

        Raises:
            ConfigError: `state` or `action` has another length.
        """
        self.begin(state, action)
        self._ask(self.members)
        return self._together()

    def begin(self, state: FloatArray, action: FloatArray) -> None:
        """Take the question that `step` takes; one that was not answered to its end is forgotten.

        Raises:
            ConfigError: `state` or `action` has another length.
        """
        self._require("state", state, self.states)
        self._require("action", action, self.actions)
        self._state[0], self._action[0] = state, action
        self._answered = 0

    def go_on(self, members: int) -> EnsembleStep | None:
        """Put the question to the next `members`; the prediction once all have answered."""
        self._ask(members)
        return self._together() if self._answered == self.members else None

    def _ask(self, members: int) -> None:
        end = min(self._answered + members, self.members)
        for member in range(self._answered, end):
            self._sessions[member].run_with_iobinding(self._bindings[member])
        self._answered = end

    def _together(self) -> EnsembleStep:
        """What the members' answers come to."""
        means, variances, ones = self._means, self._variances, self._ones
        means[:], variances[:] = self._answers
        # Products with ones are sums over the members, in half the time that `sum` takes for so few numbers.
        mean = np.dot(ones, means)
        mean /= self.members
        if not math.isfinite(sum(mean.tolist())):
            unknown = np.full(self.states, np.nan)
            return EnsembleStep(unknown, unknown.copy(), math.inf)
        means -= mean
        means *= means
        spread = np.dot(ones, means)
        variance = spread + np.dot(ones, variances)
        variance /= self.members
        variance += self._noise
        return EnsembleStep(mean, variance, math.sqrt(np.dot(spread, self._shares)))

    def residual(self, predicted: FloatArray, observed: FloatArray, variance: FloatArray) -> float:
        """How far `observed` (d,) is from `predicted` (d,), in predicted standard deviations; infinity if unknown."""
        error = observed - predicted
        square = float(np.dot(error, error / np.maximum(variance, self._least_variance))) / self.states
        return math.sqrt(square) if math.isfinite(square) else math.inf

    @staticmethod
    def _require(name: str, values: FloatArray, length: int) -> None:
        if values.shape != (length,):
            raise ConfigError(f"ensemble {name} of shape {values.shape}: give {length} numbers")


def _row(length: int) -> Float32Array:
    return np.zeros((1, length), np.float32)
