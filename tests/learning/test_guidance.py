"""Returns by hand, across episodes that lie one behind the other in the memory; and lessons for whoever acts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.episodes import TEACH, seed_for
from robot_mbrl.learning.guidance import (
    GuideSettings,
    discounted_returns,
    make_guide,
    new_guide,
    policy_data,
    value_data,
)
from robot_mbrl.learning.pets_settings import PetsTrainingSettings
from robot_mbrl.learning.pets_training import train_pets
from robot_mbrl.learning.run_files import CURVE
from robot_mbrl.learning.run_folder import TRANSITIONS, Progress, RunFolder
from robot_mbrl.learning.tasks import make_learning_task
from robot_mbrl.learning.teacher import Teacher
from robot_mbrl.learning.trained_run import load_run
from robot_mbrl.learning.transitions import Lessons, Transitions, read_transitions
from tests.learning.tiny_pets import TINY, tiny


def two_episodes() -> Transitions:
    """Rewards 1, 2, 4 and then, in another episode, 8, 16."""
    found = Transitions(1, 1, 10)
    for state, after, reward in ((0, 1, 1), (1, 2, 2), (2, 3, 4), (10, 11, 8), (11, 12, 16)):
        before, action, then = (np.array([number], np.float32) for number in (state, 0, after))
        found.add(before, action, then, float(reward))
    return found


def test_a_return_goes_on_with_the_last_reward_and_ends_with_its_episode() -> None:
    """With a discount of 0.5 the last reward is worth twice itself: 8 and 32, then 2 + 4 = 6 and 1 + 3 = 4."""
    np.testing.assert_allclose(discounted_returns(two_episodes(), 0.5), [4.0, 6.0, 8.0, 24.0, 32.0])


def test_without_a_future_a_return_is_the_reward() -> None:
    np.testing.assert_allclose(discounted_returns(two_episodes(), 0.0), [1.0, 2.0, 4.0, 8.0, 16.0])


@pytest.mark.parametrize("name", ["push", "reach", "gymnasium:Pendulum-v1"])
def test_a_new_guide_takes_what_the_task_shows_it(name: str) -> None:
    model = make_learning_task(name).model
    random = np.random.default_rng(0)
    transitions = Transitions(model.states, model.actions, 20, lessons=2)
    for _ in range(20):
        sizes = (model.states, model.actions, model.states)
        state, action, after = (random.normal(size=n).astype(np.float32) for n in sizes)
        transitions.add(state, action, after, 0.5, Lessons(np.stack((state, after)), np.stack((-action, action))))
    trainers = new_guide(model, GuideSettings(), (torch.Generator(), torch.Generator()))
    inputs, returns = value_data(model, transitions, GuideSettings(recent=1.0))
    taught, lessons = policy_data(model, transitions)
    assert (inputs.shape, returns.shape) == ((20, trainers.value.ensemble.inputs), (20, 1))
    newest = value_data(model, transitions, GuideSettings(recent=0.33))
    np.testing.assert_array_equal(newest[0], inputs[-7:])
    np.testing.assert_array_equal(newest[1], returns[-7:])
    assert (taught.shape, lessons.shape) == ((40, trainers.policy.ensemble.inputs), (40, model.actions))
    assert (trainers.value.ensemble.outputs, trainers.policy.ensemble.outputs) == (1, model.actions)
    np.testing.assert_allclose(taught[::2], inputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(lessons[::2], -transitions.actions)


def guided() -> PetsTrainingSettings:
    """A guided run of three episodes, of which one is planned."""
    nets = TINY["ensemble"]
    changes = {"task": "push", "repeat": 1, "steps": 600, "evaluate_every": 600, "evaluation_episodes": 1}
    return tiny(
        **changes,
        actions_per_plan=3,
        random_episodes=1,
        shown_episodes=1,
        guide={"value": nets, "policy": nets, "imagined": 1},
    )


def assert_taught(folder: Path, episodes: int) -> None:
    """Check that each of the run's episodes of 200 steps has the lessons of a teacher of its own, two a state."""
    transitions, task = read_transitions(folder / TRANSITIONS), make_learning_task("push")
    asked, acted = (np.split(part, episodes) for part in transitions.lessons)
    for number, states in enumerate(np.split(transitions.states, episodes)):
        teacher = Teacher(task, 1, seed_for(guided().seed, TEACH, number))
        lessons = [teacher.lessons(state) for state in states]
        np.testing.assert_array_equal(asked[number], np.concatenate([lesson.states for lesson in lessons]))
        np.testing.assert_array_equal(acted[number], np.concatenate([lesson.actions for lesson in lessons]))


def test_a_guided_run_goes_on_to_the_same_guide(tmp_path: Path) -> None:
    whole = train_pets(guided(), tmp_path / "whole")
    assert [result.phase for result in whole.results] == ["random", "shown", "training", "evaluation"]

    def cut(progress: Progress) -> None:
        if progress.steps == 400:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train_pets(guided(), tmp_path / "cut", cut)
    assert RunFolder(tmp_path / "cut").progress().steps == 400
    assert train_pets(guided(), tmp_path / "cut") == whole
    assert (tmp_path / "cut" / CURVE).read_bytes() == (tmp_path / "whole" / CURVE).read_bytes()
    for name in (whole.ensemble, whole.value, whole.policy):
        assert name is not None
        expected, found = (load_file(tmp_path / run / name) for run in ("whole", "cut"))
        assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert_taught(tmp_path / "cut", episodes=3)
    run = load_run(tmp_path / "cut")
    assert run.guide is not None
    assert run.guide.action(torch.zeros(1, run.task.model.states)).shape == (1, 6)


def test_a_guide_that_was_lost_is_not_done_without() -> None:
    model = make_learning_task("push").model
    assert make_guide(model, None, None) is None
    with pytest.raises(ConfigError, match="start anew"):
        make_guide(model, None, GuideSettings())


def test_a_guide_needs_a_planner_that_follows() -> None:
    settings = {"task": "push", "steps": 100, "evaluate_every": 100, "guide": {}}
    assert PetsTrainingSettings.model_validate(settings).guide == GuideSettings()
    with pytest.raises(ValidationError, match="a guide for planner pets"):
        PetsTrainingSettings.model_validate({**settings, "planner": "pets"})


def test_a_guide_needs_a_teacher(tmp_path: Path) -> None:
    settings = guided().model_copy(update={"task": "gymnasium:Pendulum-v1", "shown_episodes": 0})
    with pytest.raises(ConfigError, match="has no scripted controller"):
        train_pets(settings, tmp_path)
