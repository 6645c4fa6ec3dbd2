"""Flights as steps of a task: states at their times, goals half a period around them, actions from goal to goal."""

from functools import cache

import numpy as np
from numpy.testing import assert_allclose

from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.types import FloatArray
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.learning.flight_episodes import FlightEpisode, cut_episodes
from robot_mbrl.learning.flight_transitions import fitting_rows, task_episodes
from robot_mbrl.learning.model_analysis import Episode
from robot_mbrl.learning.task_models_arm import ArmModel
from robot_mbrl.learning.tasks import make_learning_task
from robot_mbrl.policies.task_model import Float32Array
from robot_mbrl.sim.geometry import MujocoGeometry
from robot_mbrl.sim.tasks.task import CONTROL_PERIOD
from tests.learning.lagging_arm import ARM, JOINTS, RATE, flight

SPEED = np.array([0.4, -0.3, 0.2, -0.1, 0.05, 0.3])
"""Of the joints of an arm whose goals move evenly [rad/s]."""
LATE = 0.03
"""What those joints lag behind their goals [s]."""
PERIOD_NS = round(1e9 * CONTROL_PERIOD)


@cache
def model() -> ArmModel:
    found = make_learning_task("reach").model
    assert isinstance(found, ArmModel)
    return found


def even_motion(seconds: float) -> FrameArray:
    """An arm whose goals move at `SPEED`, followed `LATE` behind."""
    frames = flight(seed=0, seconds=seconds)
    time = (frames["stamp_ns"] - frames["stamp_ns"][0])[:, None] * 1e-9
    frames["goal_position"][:, :JOINTS] = SPEED * time
    frames["position"][:, :JOINTS] = SPEED * (time - LATE)
    frames["velocity"][:, :JOINTS] = SPEED
    return frames


def episodes(frames: FrameArray, phase: float = 0.0) -> list[Episode]:
    return [found for flown in flights(frames) for found in task_episodes(flown, model(), phase)]


def flights(frames: FrameArray) -> list[FlightEpisode]:
    return list(cut_episodes(frames, JOINTS, "test"))


def part(states: FloatArray | Float32Array, name: str) -> FloatArray:
    return states[:, model().task.layout.slices[name]].astype(np.float64)


def test_states_are_the_arms_and_actions_the_steps_of_its_goals() -> None:
    (found,) = episodes(even_motion(1.0))
    states = found.states.astype(np.float64)
    time = CONTROL_PERIOD * (0.5 + np.arange(len(states)))[:, None]
    assert_allclose(part(states, "joints"), SPEED * (time - LATE), atol=1e-6)
    assert_allclose(part(states, "velocities"), np.tile(SPEED, (len(states), 1)), atol=1e-6)
    # The goal that was held half a period before the state, on its way to the one of half a period after.
    assert_allclose(part(states, "targets"), SPEED * (time - CONTROL_PERIOD / 2.0), atol=1e-6)
    assert_allclose(
        found.actions, np.tile(SPEED / [j.velocity_limit for j in ARM.joints], (len(found.actions), 1)), atol=1e-5
    )


def test_the_task_leads_from_each_states_targets_to_the_nexts() -> None:
    frames = flight(seed=1, seconds=2.0)
    frames["goal_position"][:, :JOINTS] *= 0.2  # within the limits of all joints
    (found,) = episodes(frames)
    targets = part(found.states.astype(np.float64), "targets")
    assert np.abs(found.actions).max() < 1.0
    assert_allclose(model().task.next_targets(targets[:-1], found.actions.astype(np.float64)), targets[1:], atol=1e-6)


def test_the_tool_is_where_the_joints_put_it() -> None:
    (found,) = episodes(flight(seed=2, seconds=1.0))
    geometry = MujocoGeometry(ARM)
    places = [geometry.tool_position(angles) for angles in part(found.states.astype(np.float64), "joints")]
    assert_allclose(part(found.states, "tool"), np.array(places), atol=1e-5)


def test_a_hold_parts_two_episodes() -> None:
    frames = even_motion(2.0)
    frames["state"][round(0.9 * RATE) : round(1.2 * RATE)] = ControlState.HOLDING
    first, second = episodes(frames)
    # From the first tick to the last of each; half a period is gone before there is a goal from before a state.
    assert len(first.actions) == int((0.895 - 0.025) / CONTROL_PERIOD)
    assert len(second.actions) == int((0.795 - 0.025) / CONTROL_PERIOD)


def test_another_phase_gives_the_steps_between() -> None:
    frames = even_motion(1.0)
    (at_once,), (later,) = episodes(frames), episodes(frames, phase=0.5)
    shift = part(later.states[:1], "joints") - part(at_once.states[:1], "joints")
    assert_allclose(shift[0], SPEED * CONTROL_PERIOD / 2.0, atol=1e-6)


def test_what_is_fitted_is_the_change_of_angles_and_velocities() -> None:
    inputs, targets = fitting_rows(episodes(even_motion(1.0)), model())
    assert inputs.shape[1] == model().inputs
    assert_allclose(targets[:, :JOINTS], np.tile(SPEED * CONTROL_PERIOD, (len(targets), 1)), atol=1e-6)
    assert_allclose(targets[:, JOINTS:], 0.0, atol=1e-6)


def test_a_run_shorter_than_a_step_gives_nothing() -> None:
    assert episodes(even_motion(CONTROL_PERIOD)) == []
