"""Flights of an arm as episodes of its tasks, so that what was learned on the twin can be fitted to the arm.

In the task, joint targets jump at each step and then stay for a period T. On an arm the goals go in a straight line
from one action to the next, within a period; over [t - T/2, t + T/2] they move as far as a jump at t would, and are in
the middle as far away as before and after it. So a step of the flight at the time t is

    s = (q(t), v(t), g(t - T/2)),    a = (g(t + T/2) - g(t - T/2)) / c,    s' = (q(t + T), v(t + T), g(t + T/2))

with angles q, estimated velocities v, goals g that the servos held, and the action scale c; the tool follows from q.
`policies.planner_policy` plans with the same reckoning. Times between two ticks are interpolated.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.learning.flight_episodes import FlightEpisode
from robot_mbrl.learning.model_analysis import Episode
from robot_mbrl.learning.task_models_arm import ArmModel
from robot_mbrl.learning.transitions import Transitions
from robot_mbrl.policies.task_model import Float32Array
from robot_mbrl.sim.tasks.task import CONTROL_PERIOD


def task_episodes(flight: FlightEpisode, model: ArmModel, phase: float = 0.0) -> Iterator[Episode]:
    """The stretches of `flight` in which actions were executed, as episodes of the task of `model`, its goal at 0.

    Args:
        flight: of the task's arm.
        model: of the task.
        phase: when the first step is, in periods after the earliest time that it can be; 0..1. Other phases of the
            same flight are other steps.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flight.following, [False]]).astype(int))).tolist()
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        period_ns = to_ns(CONTROL_PERIOD)
        first_ns = int(flight.stamps_ns[begin]) + period_ns // 2 + round(phase * period_ns)
        steps = (int(flight.stamps_ns[end - 1]) - first_ns) // period_ns
        if steps >= 1:
            stamps_ns = first_ns + np.arange(steps + 1, dtype=np.int64) * period_ns
            yield _episode(flight, slice(begin, end), stamps_ns, model)


def _episode(flight: FlightEpisode, rows: slice, stamps_ns: NDArray[np.int64], model: ArmModel) -> Episode:
    """The states at `stamps_ns` (k + 1,) [ns], and the actions between them."""
    half_ns = to_ns(CONTROL_PERIOD) // 2
    known_ns = flight.stamps_ns[rows]
    position = _at(stamps_ns, known_ns, flight.position[rows])
    velocity = _at(stamps_ns, known_ns, flight.velocity[rows])
    before = _at(stamps_ns - half_ns, known_ns, flight.held[rows])
    with torch.no_grad():
        tool = model.kinematics.place(torch.as_tensor(position, dtype=torch.float32)).numpy()
    states = np.hstack([position, velocity, before, tool, np.zeros_like(tool)]).astype(np.float32)
    actions = np.clip(np.diff(before, axis=0) / model.task.action_scale, -1.0, 1.0).astype(np.float32)
    return Episode(states, actions)


def _at(wanted_ns: NDArray[np.int64], known_ns: NDArray[np.int64], values: FloatArray) -> FloatArray:
    """`values` (k, n) at `known_ns` (k,) [ns], interpolated to `wanted_ns` (m,) -> (m, n)."""
    start_ns = known_ns[0]
    wanted, known = (wanted_ns - start_ns).astype(np.float64), (known_ns - start_ns).astype(np.float64)
    return np.stack([np.interp(wanted, known, column) for column in values.T], axis=1)


def as_transitions(episodes: Sequence[Episode], model: ArmModel) -> Transitions:
    """All steps of `episodes`, in order; rewards are left at 0."""
    found = Transitions(model.states, model.actions, max(1, sum(len(episode.actions) for episode in episodes)))
    for episode in episodes:
        for index, action in enumerate(episode.actions):
            found.add(episode.states[index], action, episode.states[index + 1], 0.0)
    return found


def fitting_rows(episodes: Sequence[Episode], model: ArmModel) -> tuple[Float32Array, Float32Array]:
    """What the networks see and should predict in all steps of `episodes`, (N, i) and (N, o)."""
    state, after = (
        torch.from_numpy(np.concatenate([episode.states[part] for episode in episodes]))
        for part in (slice(None, -1), slice(1, None))
    )
    action = torch.from_numpy(np.concatenate([episode.actions for episode in episodes]))
    with torch.no_grad():
        inputs, targets = model.model_inputs(state, action), model.targets(state, action, after)
    return np.ascontiguousarray(inputs.numpy()), np.ascontiguousarray(targets.numpy())
