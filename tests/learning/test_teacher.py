"""The hand-written controller's lessons: what it does itself, and what it would do for other goals."""

import itertools

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.episodes import ScriptedActors, Transition, run_episode
from robot_mbrl.learning.task_models_arm import ArmModel
from robot_mbrl.learning.tasks import LearningTask, make_learning_task
from robot_mbrl.learning.teacher import Teacher
from robot_mbrl.sim.tasks.push import PushTask


def shown(task: LearningTask, seed: int, steps: int) -> list[Transition]:
    """The controller's first `steps` of an episode."""
    kept: list[Transition] = []
    run_episode(task, ScriptedActors(task).make(seed), 0, kept.append)
    return kept[:steps]


def arm_model(task: LearningTask) -> ArmModel:
    assert isinstance(task.model, ArmModel)
    return task.model


@pytest.mark.parametrize("name", ["push", "reach"])
def test_the_first_lesson_is_what_the_controller_does(name: str) -> None:
    task = make_learning_task(name)
    teacher = Teacher(task, 2, seed=3)
    for transition in shown(task, seed=3, steps=30):
        states, actions = teacher.lessons(transition.state)
        np.testing.assert_array_equal(states[0], transition.state)
        np.testing.assert_array_equal(actions[0], transition.action)


def test_only_the_goal_is_imagined_and_stays_for_a_while() -> None:
    task = make_learning_task("push")
    teacher, layout = Teacher(task, 2, seed=0), arm_model(task).task.layout
    states = [transition.state for transition in shown(task, seed=0, steps=21)]
    goals = []
    for state in states:
        asked, actions = teacher.lessons(state)
        assert actions.shape == (3, task.model.actions)
        goals.append(asked[1:, layout.slices["goal"]].copy())
        asked[:, layout.slices["goal"]] = state[layout.slices["goal"]]
        np.testing.assert_array_equal(asked, np.tile(state, (3, 1)))
    for changed, (before, after) in enumerate(itertools.pairwise(goals), start=1):
        assert np.array_equal(before, after) == (changed % 10 != 0)


def test_half_the_imagined_pushes_go_where_the_tool_points() -> None:
    """Tool 5 cm behind the object: of goals all around it a fifth would be within two `AIM`s of its line."""
    task = make_learning_task("push")
    layout, random = arm_model(task).task.layout, np.random.default_rng(0)
    state = np.zeros(task.model.states, np.float32)
    state[layout.slices["object"]], state[layout.slices["tool"]] = (0.2, 0.1, 0.0125), (0.2, 0.05, 0.0125)
    ways = np.array([arm_model(task).imagined_goal(state, random) for _ in range(500)]) - (0.2, 0.1, 0.0125)
    assert np.abs(ways[:, 2]).max() < 1e-6
    assert np.hypot(*ways[:, :2].T).max() <= PushTask.TRAVEL[1] + 1e-6
    aimed = np.abs(np.arctan2(ways[:, 0], ways[:, 1])) < 0.7
    assert 0.5 < aimed.mean() < 0.7


def test_an_imagined_place_is_one_that_the_tool_can_reach() -> None:
    task = make_learning_task("reach")
    state = np.zeros(task.model.states, np.float32)
    goals = [arm_model(task).imagined_goal(state, np.random.default_rng(seed)) for seed in range(50)]
    assert np.std(goals, axis=0).min() > 0.05
    assert np.linalg.norm(goals, axis=1).max() < 0.6


def test_a_task_without_a_controller_has_no_teacher() -> None:
    with pytest.raises(ConfigError, match="has no scripted controller"):
        Teacher(make_learning_task("gymnasium:Pendulum-v1"), 2, seed=0)
