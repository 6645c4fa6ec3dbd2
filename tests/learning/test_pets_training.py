"""The learning loop: a killed run goes on to the same results, bit by bit; what does not fit is refused."""

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning import run_folder, task_models_suite
from robot_mbrl.learning.pets_settings import PetsTrainingSettings, changed_settings, resolve_settings
from robot_mbrl.learning.pets_training import train_pets
from robot_mbrl.learning.planning import PlannerActors
from robot_mbrl.learning.run_files import CURVE, SETTINGS
from robot_mbrl.learning.run_folder import TRANSITIONS, Progress, Result, RunFolder
from robot_mbrl.learning.tasks import make_learning_task, task_names
from robot_mbrl.learning.trained_run import load_run
from robot_mbrl.learning.transitions import read_transitions
from robot_mbrl.policies.ensemble import ProbabilisticEnsemble
from robot_mbrl.policies.fast_planner import FastPlannerSettings
from tests.learning.tiny_pets import tiny


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Progress]:
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, train_pets(tiny(), folder)


def test_random_then_planned_episodes_and_evaluations_when_due(whole: tuple[Path, Progress]) -> None:
    _, progress = whole
    assert [(result.phase, result.steps) for result in progress.results] == [
        ("random", 1000),
        ("training", 2000),
        *[("evaluation", 2000)] * 2,
        ("training", 3000),
        ("training", 4000),
        *[("evaluation", 4000)] * 2,
    ]
    assert (progress.episodes, progress.transitions, progress.steps) == (4, 200, 4000)


def train_until_killed(folder: Path, module: ModuleType, name: str, call: int, settings: PetsTrainingSettings) -> None:
    """Train in a child that a SIGKILL ends when the function `name` of `module` is called for the so-manieth time."""
    child = os.fork()
    if child == 0:
        try:
            real, calls = getattr(module, name), itertools.count(1)

            def until_killed(*arguments: object) -> object:
                if next(calls) == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments)

            setattr(module, name, until_killed)
            train_pets(settings, folder)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize(
    ("module", "name", "call"),
    [
        pytest.param(task_models_suite, "as_float32", 130, id="in the middle of an episode"),
        pytest.param(run_folder, "write_atomically", 6, id="when all but the progress is written"),
    ],
)
def test_a_killed_run_goes_on_to_the_same_results(
    whole: tuple[Path, Progress], tmp_path: Path, module: ModuleType, name: str, call: int
) -> None:
    folder = tmp_path / "run"
    train_until_killed(folder, module, name, call, tiny())
    assert 0 < RunFolder(folder).progress().episodes < 4
    uninterrupted, progress = whole
    assert train_pets(tiny(), folder) == progress
    assert (folder / CURVE).read_bytes() == (uninterrupted / CURVE).read_bytes()
    assert (folder / TRANSITIONS).read_bytes() == (uninterrupted / TRANSITIONS).read_bytes()
    expected, found = (load_file(RunFolder(path).ensemble()) for path in (uninterrupted, folder))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_complete_run_has_nothing_left_to_do(whole: tuple[Path, Progress]) -> None:
    folder, progress = whole
    told: list[Progress] = []
    assert train_pets(tiny(), folder, told.append) == progress
    assert told == [progress]


def test_the_folder_tells_all_that_was_done(whole: tuple[Path, Progress]) -> None:
    folder, progress = whole
    assert RunFolder(folder).settings() == tiny()
    assert len((folder / CURVE).read_text().splitlines()) == 1 + len(progress.results)
    transitions = read_transitions(folder / TRANSITIONS)
    training = [result.total_reward for result in progress.results if result.phase != "evaluation"]
    np.testing.assert_allclose(transitions.rewards.reshape(4, 50).sum(axis=1), training)
    assert len(list(folder.glob("ensemble-*"))) == 1
    assert any((folder / "tensorboard").iterdir())


def test_what_was_learned_can_be_loaded(whole: tuple[Path, Progress]) -> None:
    run = load_run(whole[0])
    actions = [run.actors.make(seed).act(np.zeros(6, np.float32)) for seed in (1, 2, 1)]
    np.testing.assert_array_equal(actions[0], actions[2])
    assert (actions[0] != actions[1]).any()
    assert run.steps == 4000


def test_other_settings_do_not_go_on_with_a_run(whole: tuple[Path, Progress]) -> None:
    folder, _ = whole
    with pytest.raises(ConfigError, match=r"other settings \(seed, fit_every\)"):
        train_pets(tiny(seed=1, fit_every=5), folder)


def test_a_folder_in_which_another_process_trains_is_refused(tmp_path: Path) -> None:
    with RunFolder(tmp_path).held(), pytest.raises(ConfigError, match="another process trains here"):
        train_pets(tiny(), tmp_path)


def test_a_full_memory_drops_the_oldest_and_fits_to_the_rest(tmp_path: Path) -> None:
    progress = train_pets(tiny(capacity=70), tmp_path)
    assert progress.transitions == 200
    assert len(read_transitions(tmp_path / TRANSITIONS)) == 200
    held_out = load_file(RunFolder(tmp_path).ensemble())["held_out"]
    assert len(held_out) == 70


def test_nets_that_are_fitted_on_in_an_episode_change_its_later_plans_alone(
    whole: tuple[Path, Progress], tmp_path: Path
) -> None:
    # 50 actions an episode: of those that are planned the first gets its nets at 50 actions, and others at 80.
    train_pets(tiny(refit_every=80, steps=2000), tmp_path / "run")
    refitted, waited = (read_transitions(folder / TRANSITIONS).actions for folder in (tmp_path / "run", whole[0]))
    np.testing.assert_array_equal(refitted[:80], waited[:80])
    assert (refitted[80:100] != waited[80:100]).any()


def test_the_end_of_an_episode_is_fitted_once(whole: tuple[Path, Progress], tmp_path: Path) -> None:
    # Every 50th action is an episode's last.
    assert train_pets(tiny(refit_every=50), tmp_path) == whole[1]


def test_a_run_that_is_killed_between_two_fits_of_an_episode_goes_on_to_the_same_results(tmp_path: Path) -> None:
    settings = tiny(refit_every=20, steps=3000)
    progress = train_pets(settings, tmp_path / "whole")
    train_until_killed(tmp_path / "killed", task_models_suite, "as_float32", 130, settings)
    assert train_pets(settings, tmp_path / "killed") == progress
    expected, found = (load_file(RunFolder(tmp_path / name).ensemble()) for name in ("whole", "killed"))
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_the_nets_are_fitted_on_in_an_episode_whose_memory_is_full(tmp_path: Path) -> None:
    train_pets(tiny(refit_every=20, capacity=70, steps=3000), tmp_path)
    assert len(load_file(RunFolder(tmp_path).ensemble())["held_out"]) == 70


def test_the_published_planner_trains_as_well(tmp_path: Path) -> None:
    published = {"horizon": 3, "population": 6, "elites": 2, "iterations": 2, "particles": 2}
    progress = train_pets(tiny(planner="pets", pets=published, steps=2000), tmp_path)
    assert [result.phase for result in progress.results] == ["random", "training", "evaluation", "evaluation"]
    assert all(result.disagreement is not None for result in progress.results[1:])


def test_another_seed_is_another_run(whole: tuple[Path, Progress], tmp_path: Path) -> None:
    other = train_pets(tiny(seed=1, steps=2000), tmp_path / "run")
    assert [result.disagreement for result in other.results] != [
        result.disagreement for result in whole[1].results[: len(other.results)]
    ]


@pytest.mark.parametrize("damage", ["", "{}x", '{"steps": -1}'])
def test_damaged_progress_is_one_line(whole: tuple[Path, Progress], tmp_path: Path, damage: str) -> None:
    (tmp_path / SETTINGS).write_bytes((whole[0] / SETTINGS).read_bytes())
    (tmp_path / "progress.json").write_text(damage)
    with pytest.raises(ConfigError, match=r"progress\.json") as caught:
        load_run(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_run_without_an_ensemble_is_refused(whole: tuple[Path, Progress], tmp_path: Path) -> None:
    (tmp_path / SETTINGS).write_bytes((whole[0] / SETTINGS).read_bytes())
    with pytest.raises(ConfigError, match="no ensemble yet"):
        load_run(tmp_path)
    with pytest.raises(ConfigError, match=r"has no settings\.yaml"):
        load_run(tmp_path / "nothing")


def test_an_episode_of_infinite_disagreement_is_kept_and_read_again(tmp_path: Path) -> None:
    result = Result(phase="training", episode=0, steps=100, total_reward=1.0, disagreement=np.inf)
    folder = RunFolder(tmp_path)
    folder.commit(Progress(steps=100, episodes=1, results=(result,)), None)
    assert folder.progress().results == (result,)
    assert (tmp_path / CURVE).read_text(encoding="utf-8").endswith(",inf\n")


def test_a_run_goes_on_with_its_own_settings_whatever_today_s_presets_are() -> None:
    begun = resolve_settings(None, {"task": "reach"}).model_copy(update={"fast": FastPlannerSettings(horizon=9)})
    assert changed_settings(begun, {"steps": 5000, "seed": None}) == begun.model_copy(update={"steps": 5000})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"planner": "pets", "pets": {"particles": 3}}, "3"),
        ({"actions_per_plan": 9}, "give a longer horizon"),
        ({"shown_episodes": 1}, "has no scripted controller"),
    ],
)
def test_settings_that_do_not_fit_the_task_claim_no_folder(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train_pets(tiny(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_settings_come_from_the_task_then_the_file_then_the_options(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("task: reach\nsteps: 500\nfast: {horizon: 7}\n", encoding="utf-8")
    settings = resolve_settings(file, {"seed": 4, "steps": 600, "task": None})
    assert (settings.task, settings.seed, settings.steps, settings.fast.horizon) == ("reach", 4, 600, 7)
    preset = resolve_settings(None, {"task": "reach"})
    assert settings.evaluate_every == preset.evaluate_every
    assert settings.fast.optimizer == preset.fast.optimizer


@pytest.mark.parametrize("name", task_names())
def test_every_task_has_settings_and_plans_that_suit_it(name: str) -> None:
    settings = resolve_settings(None, {"task": name})
    assert settings.task == name
    task = make_learning_task(name, settings.arm, settings.repeat)
    ensemble = ProbabilisticEnsemble(task.model.inputs, task.model.outputs, settings.ensemble, torch.Generator())
    actors = PlannerActors(settings.planner_settings, task.model, ensemble, settings.actions_per_plan)
    observation, _ = task.environment.reset(seed=0)
    action = actors.make(0).act(task.model.state(observation))
    assert task.environment.action_space.contains(action.astype(task.environment.action_space.dtype))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("steps: 5", "no task"),
        ("task: reach\nhorizn: 5", "unknown key horizn"),
        ("task: reach\nfast: {horizn: 5}", r"unknown key fast\.horizn"),
        ("task: reach\nsteps: 0", "steps = 0"),
        ("- reach", "list"),
        ("a: [", "not valid YAML"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path: Path, text: str, parts: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=parts) as caught:
        resolve_settings(file, {})
    assert "\n" not in str(caught.value)
