"""What every planner does before and after its optimizer: check the state, run over pending actions, judge the plan.

Shapes: d state variables, a action variables, k pending actions, h steps.
"""

import numpy as np
import torch
from torch import Tensor

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.task_model import Float32Array, TaskModel


def require_match(task: TaskModel, ensemble: ProbabilisticEnsemble) -> None:
    """Check that the ensemble was made for the task.

    Raises:
        ConfigError: another number of inputs or outputs.
    """
    if (ensemble.inputs, ensemble.outputs) != (task.inputs, task.outputs):
        raise ConfigError(
            f"ensemble of {ensemble.inputs} inputs and {ensemble.outputs} outputs: the task has {task.inputs} and "
            f"{task.outputs}, so give the ensemble that was trained for it"
        )


def beginning(
    task: TaskModel, ensemble: ProbabilisticEnsemble, state: Float32Array, pending: Float32Array | None
) -> Tensor:
    """Where a plan begins, (d,): `state`, taken forward over the `pending` actions by the ensemble's mean.

    Raises:
        ConfigError: a wrong shape, or a number that is not finite.
    """
    _require(f"state of {task.states}", state, (task.states,))
    start = torch.as_tensor(state, dtype=torch.float32)
    if pending is None:
        return start
    _require(f"pending actions (k, {task.actions})", pending, (len(pending), task.actions))
    for action in torch.as_tensor(pending, dtype=torch.float32):
        mean = ensemble.predict(task.model_inputs(start, action)[None]).mean[0]
        start = task.next_state(start, action, mean)
    if not start.isfinite().all():
        raise ConfigError("the state after the pending actions is not finite: train the ensemble again")
    return start


def disagreement_along(
    task: TaskModel, ensemble: ProbabilisticEnsemble, states: Tensor, actions: Tensor
) -> Float32Array:
    """Disagreement (h,) of the elites on each step from `states` (h + 1, d) by `actions` (h, a); NaN is infinity."""
    prediction = ensemble.predict(task.model_inputs(states[:-1], actions))
    told: Float32Array = ensemble.disagreement(prediction).nan_to_num(nan=torch.inf).numpy()
    return told


def _require(name: str, values: Float32Array, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ConfigError(f"{name} numbers has shape {values.shape}: it must be {shape}")
    if not np.isfinite(values).all():
        raise ConfigError(f"{name} numbers is not finite ({values.tolist()}): plan from measured numbers")
