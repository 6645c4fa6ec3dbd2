"""What a planner knows of a task, and what it answers.

A `TaskModel` stands between the state of an environment and the ensemble that predicts its changes: the ensemble sees
`model_inputs` and learns `targets`, the planner gets `next_state`, `reward` and `violation` from its predictions. All
functions are of torch tensors with any leading axes, written `...`, and keep no state.

Shapes: d state variables, a action variables, i inputs and o outputs of the networks, h steps of a plan.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Float32Array = NDArray[np.float32]


class TaskModel(Protocol):
    """A task as a planner sees it. Quantities are in SI units, unless the task's actions are scaled to -1..1."""

    @property
    def states(self) -> int:
        """Number d of state variables."""
        ...

    @property
    def actions(self) -> int:
        """Number a of action variables."""
        ...

    @property
    def inputs(self) -> int:
        """Number i of inputs of the networks."""
        ...

    @property
    def outputs(self) -> int:
        """Number o of outputs of the networks."""
        ...

    @property
    def action_low(self) -> Tensor:
        """(a,) lowest action."""
        ...

    @property
    def action_high(self) -> Tensor:
        """(a,) highest action."""
        ...

    def model_inputs(self, state: Tensor, action: Tensor) -> Tensor:
        """What the networks see, (..., d) and (..., a) -> (..., i): sine and cosine of an angle, for example."""
        ...

    def next_state(self, state: Tensor, action: Tensor, output: Tensor) -> Tensor:
        """State after the action when the networks predict `output`, (..., d), (..., a) and (..., o) -> (..., d).

        The networks predict differences of the learned coordinates; what is known (goals, joint targets, the tool's
        place) is advanced exactly.
        """
        ...

    def targets(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """What the networks should have predicted, (..., d), (..., a) and (..., d) -> (..., o).

        The inverse of `next_state`: `next_state(s, a, targets(s, a, s')) = s'` wherever s' can follow s.
        """
        ...

    def reward(self, state: Tensor, action: Tensor, next_state: Tensor) -> Tensor:
        """Reward of a transition, as the environment counts it, (..., d), (..., a) and (..., d) -> (...).

        It may be NaN or infinite where the prediction makes no sense; a planner takes that for the worst outcome.
        """
        ...

    def violation(self, state: Tensor) -> Tensor:
        """Signed distances past limits, positive where one is violated, (..., d) -> (..., c); c may be 0."""
        ...


@runtime_checkable
class LinearInputTask(TaskModel, Protocol):
    """A task whose networks see a linear function of what they predict, and what follows from the actions alone.

        z_t = learned(s_t) (o,),   model_inputs(s_t, a_t) = z_t B + u_t (i,),   z_{t+1} = z_t + y_t

    Particles of such a task are carried on by z alone, for all steps in one go; states are made at the end, for all
    steps at once. Shapes: e nets, r particles a net, n candidates.
    """

    @property
    def input_matrix(self) -> Tensor:
        """(o, i) B."""
        ...

    def learned(self, state: Tensor) -> Tensor:
        """What the networks predict changes of, (..., d) -> (..., o)."""
        ...

    def known_inputs(self, start: Tensor, actions: Tensor) -> Tensor:
        """(h, n, i) u along `actions` (h, n, a) from `start` (d,)."""
        ...

    def states_along(self, start: Tensor, known: Tensor, learned: Tensor) -> Tensor:
        """States (h + 1, e, r, n, d) with the `learned` coordinates (h + 1, e, r, n, o).

        `known` (h, n, i) is what `known_inputs` gave.
        """
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """A planner's answer. The plan begins with the state that was given or, with pending actions, after them.

    Attributes:
        actions: (h, a); the first is to be executed when the plan begins.
        value: predicted sum of rewards over the h steps and of its guide's value where it has one, mean over
            the particles; -inf when no finite one was found.
        disagreement: (h,) of the members on each step, without unit; 1 means by a typical step, infinity that one
            predicted a number that is not finite. The same measure as `policies.onnx_ensemble`.
        states: (h + 1, d) predicted, mean over the particles; states[0] is where the plan begins.
        iterations: of the optimizer that went into it.
        finished: whether these are all iterations of the settings; False when the deadline cut them short.
    """

    actions: Float32Array
    value: float
    disagreement: Float32Array
    states: Float32Array
    iterations: int
    finished: bool


class Planner(Protocol):
    """Turns a state into a plan. It keeps the last plan, moved on in time, as the start of the next one."""

    def plan(
        self,
        state: Float32Array,
        deadline_ns: int | None = None,
        pending: Float32Array | None = None,
        elapsed: int = 1,
    ) -> Plan:
        """Plan from `state` on.

        Args:
            state: (d,), of the control step that goes on at present.
            deadline_ns: when the plan must be there, on the planner's clock [ns]; None gives it all its iterations.
            pending: (k, a) actions that will be executed between `state` and the plan's first one: those that were
                sent already. The state is predicted forward over them, which makes up for the time planning takes.
            elapsed: control steps since the last call, by which the last plan is moved on.

        Raises:
            ConfigError: a wrong shape, or a state that is not finite.
            DeadlineTooShort: no time for one iteration; the last plan stays as it was.
        """
        ...

    def reset(self) -> None:
        """Forget the last plan: an episode begins."""
        ...

    def refresh(self) -> None:
        """Take over the ensemble's present weights: to be called after each fit."""
        ...
