"""The ensemble beside the policy: how much the learned models differ about what comes next, and how wrong they were."""

from typing import Final, NamedTuple

import numpy as np

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.policies.dynamics_window import WindowHistory, rates
from robot_mbrl.policies.onnx_ensemble import EnsembleStep, OnnxEnsemble

FORGOTTEN_PERIODS: Final = 2.0
"""After a pause of so many periods nothing that was known before counts any more."""
ANSWER_TIME: Final = 0.005
"""Within which the members answer a question [s]: in one tick of a loop of 200 Hz, in five of one of 1 kHz."""
ONWARD_SPEED: Final = 0.5
"""Of the fastest joint when an arm that is held sets out again [rad/s]: the loop's approach to a first action."""


class Doubt(NamedTuple):
    """What the models say; NaN before they said anything."""

    disagreement: float
    residual: float


class ModelWatch:
    """Asks the ensemble one question after the other, in turn about the period to come and about the one that passed.

    A question is answered within `ANSWER_TIME`, in a slow loop in the tick in which it is asked: each tick so many
    members are asked as it took of that time. The first question after a pause is answered at once.

    The period to come begins with the state that was just measured, and its action is what this tick asks for, moved
    on as far as the goals have moved in the last period: how much the members differ about it is the disagreement.
    While the policy is held, the way on towards its wish is added, as far as the arm would come in a period: the doubt
    is then about what going on would be.

    The past period is a `dynamics_window`, and the residual holds its prediction against the state that came of it. As
    the periods overlap, both scores are fresh with every other question, and not only once a period. A residual is
    forgotten where measurements are so far apart that nothing was compared for `FORGOTTEN_PERIODS`.
    """

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
        self.rates = rates(ensemble.description.period)
        """Lowest and highest rate of updates [Hz] at which there is a residual."""
        self._ensemble = ensemble
        self._history = WindowHistory(n, ensemble.description.period)
        self._forgotten_ns = FORGOTTEN_PERIODS * to_ns(ensemble.description.period)
        self._reach = ONWARD_SPEED * ensemble.description.period
        self._joints = n
        self.reset()

    def reset(self) -> None:
        """Forget what was measured."""
        self._history.clear()
        self._looks_back = False
        self._asked: FloatArray | None = None
        self._compared_ns = 0
        self._doubt = Doubt(np.nan, np.nan)

    def update(
        self,
        stamp_ns: int,
        position: FloatArray,
        velocity: FloatArray,
        held: FloatArray,
        requested: FloatArray,
        wish: FloatArray | None = None,
    ) -> Doubt:
        """Doubt at `stamp_ns` [ns], all arrays (n,).

        Args:
            stamp_ns: when the state was measured; one that is not newer than the last one changes nothing.
            position: measured [rad].
            velocity: estimated [rad/s].
            held: goals that the servos held when the state was measured [rad].
            requested: goals that this tick asks for [rad].
            wish: the action of a policy that is held [rad]; None while it is followed.
        """
        before_ns = self._history.newest_ns
        if before_ns is not None and stamp_ns <= before_ns:
            return self._doubt
        if before_ns is not None and stamp_ns - before_ns > self._forgotten_ns:
            self.reset()
        self._history.append(stamp_ns, position, velocity, held)
        if self._asked is None:
            self._asked = np.concatenate((position, velocity))
            self._ask(self._asked, held, requested, wish)
        share = 1.0 if before_ns is None else (stamp_ns - before_ns) / to_ns(ANSWER_TIME)
        answer = self._ensemble.go_on(max(1, int(share * self._ensemble.members + 0.5)))
        if answer is not None:
            self._take(answer, self._asked)
            self._asked = None
            if self._looks_back:
                self._compared_ns = stamp_ns
        if stamp_ns - self._compared_ns > self._forgotten_ns:
            self._doubt = self._doubt._replace(residual=np.nan)
        return self._doubt

    def _ask(self, state: FloatArray, held: FloatArray, requested: FloatArray, wish: FloatArray | None) -> None:
        """Put the next question to the ensemble: back, every other time that the flight reaches back far enough."""
        beginning = self._history.beginning()
        self._looks_back = beginning is not None and not self._looks_back
        if self._looks_back and beginning is not None:
            self._ensemble.begin(beginning[: 2 * self._joints], held)
        else:
            self._ensemble.begin(state, self._onward(beginning, held, requested, wish))

    def _take(self, answer: EnsembleStep, asked: FloatArray) -> None:
        """Score an answer by the state `asked` (2n,) that was measured when its question was put."""
        if self._looks_back:
            residual = self._ensemble.residual(answer.mean, asked, answer.variance)
            self._doubt = self._doubt._replace(residual=residual)
        else:
            self._doubt = self._doubt._replace(disagreement=answer.disagreement)

    def _onward(
        self, beginning: FloatArray | None, held: FloatArray, requested: FloatArray, wish: FloatArray | None
    ) -> FloatArray:
        """The action (n,) of the period to come [rad]."""
        moved = 0.0 if beginning is None else held - beginning[2 * self._joints :]
        action = requested + moved
        if wish is not None:
            # The wish itself may be far away by now, and no model has seen an arm at rest that is to be there at once.
            away = wish - action
            action = action + away * min(1.0, self._reach / max(float(np.abs(away).max()), self._reach))
        return action
