"""The ensemble beside the policy: how much the learned models differ about what comes next, and how wrong they were."""

from typing import NamedTuple

import numpy as np

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.onnx_ensemble import EnsembleStep, OnnxEnsemble


class Doubt(NamedTuple):
    """What the models say; NaN before they said anything."""

    disagreement: float
    residual: float


class ModelWatch:
    """Asks the ensemble once each of its periods; positions and velocities are the state, goals are the action."""

    def __init__(self, ensemble: OnnxEnsemble, joint_names: tuple[str, ...]) -> None:
        """Watch an arm with `joint_names`.

        Raises:
            ConfigError: the ensemble is another arm's, or its state is not positions and velocities.
        """
        n = len(joint_names)
        theirs = ensemble.description.joint_names
        if theirs != joint_names or (ensemble.states, ensemble.actions) != (2 * n, n):
            raise ConfigError(
                f"ensemble of {', '.join(theirs)} with {ensemble.states} states, {ensemble.actions} actions: this arm "
                f"has {', '.join(joint_names)} and needs {2 * n} and {n}: give one that was trained on it"
            )
        self._ensemble = ensemble
        self._period_ns = to_ns(ensemble.description.period)
        self._state = np.zeros(2 * n)
        self._joints = n
        self.reset()

    def reset(self) -> None:
        """Forget the last prediction."""
        self._predicted: EnsembleStep | None = None
        self._asked_ns = -1
        self._doubt = Doubt(np.nan, np.nan)

    def update(self, stamp_ns: int, position: FloatArray, velocity: FloatArray, goal: FloatArray) -> Doubt:
        """Doubt at `stamp_ns` [ns], with positions [rad], velocities [rad/s] and goals [rad], each (n,).

        A prediction is compared with the first state that is measured one period later or after; when that is more
        than half a period too late, there is nothing to compare, and the residual stays what it was.
        """
        elapsed = stamp_ns - self._asked_ns
        if self._predicted is not None and elapsed < self._period_ns:
            return self._doubt
        self._state[: self._joints], self._state[self._joints :] = position, velocity
        residual = self._doubt.residual
        if self._predicted is not None and elapsed < 1.5 * self._period_ns:
            residual = self._ensemble.residual(self._predicted.mean, self._state, self._predicted.variance)
        self._predicted = self._ensemble.step(self._state, goal)
        self._asked_ns = stamp_ns
        self._doubt = Doubt(self._predicted.disagreement, residual)
        return self._doubt
