"""`robot-mbrl eval model`: figures of a run's model, and one line for what cannot be analysed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from robot_mbrl.learning.episodes import RandomActor, run_episode
from robot_mbrl.learning.pets_settings import PetsTrainingSettings
from robot_mbrl.learning.pets_training import fitting_data
from robot_mbrl.learning.run_folder import TRANSITIONS, Progress, RunFolder
from robot_mbrl.learning.task_identity import TaskIdentity, begin_identity, identity_of
from robot_mbrl.learning.tasks import make_learning_task
from robot_mbrl.learning.transitions import TransitionFile, Transitions
from robot_mbrl.policies.ensemble import EnsembleSettings, ProbabilisticEnsemble
from robot_mbrl.policies.ensemble_training import EnsembleTrainer
from tests.cli.program import assert_one_line, run_here

SETTINGS = PetsTrainingSettings(
    task="gymnasium:Pendulum-v1",
    steps=200,
    evaluate_every=200,
    ensemble=EnsembleSettings(
        members=2, elites=2, hidden=(16,), weight_decay=(0.0, 0.0), epochs=20, learning_rate=0.01
    ),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one random episode and one fit."""
    folder, task = RunFolder(tmp_path_factory.mktemp("runs") / "run"), make_learning_task(SETTINGS.task)
    folder.begin(SETTINGS, identity_of(task))
    kept = Transitions(task.model.states, task.model.actions, 1000)
    actor = RandomActor(task, 1.0, np.random.default_rng(0))
    run_episode(task, actor, 0, lambda step: kept.add(step.state, step.action, step.next_state, step.reward))
    with TransitionFile(folder.path / TRANSITIONS, task.model.states, task.model.actions) as file:
        file.append(kept, 0)
    generator = torch.Generator().manual_seed(0)
    ensemble = ProbabilisticEnsemble(task.model.inputs, task.model.outputs, SETTINGS.ensemble, generator)
    trainer = EnsembleTrainer(ensemble, SETTINGS.ensemble, generator)
    trainer.fit(*fitting_data(task, kept))
    folder.commit(Progress(steps=200, episodes=1, transitions=len(kept)), trainer)
    return folder.path


def test_new_episodes_and_a_picture(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "model.png"
    arguments = ("--random", "--episodes", "2", "--plot", str(picture), "--json")
    outcome = run_here(capsys, "eval", "model", str(run), *arguments)
    assert outcome.code == 0, outcome
    figures = json.loads(outcome.out)
    assert [(row["steps"], row["starts"]) for row in figures["horizons"]] == [
        (steps, 2 * (201 - steps)) for steps in (1, 5, 10, 20, 50)
    ]
    assert figures["horizons"][0]["ensemble"] < figures["horizons"][0]["persistence"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_recorded_transitions_in_tables(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run_here(capsys, "eval", "model", str(run), "--transitions", str(run / TRANSITIONS))
    assert outcome.code == 0, outcome
    assert [line.split()[:2] for line in outcome.out.splitlines() if line.split()[:1] == ["50"]] == [["50", "151"]]
    assert "rank correlation" in outcome.out
    assert "output 1" in outcome.out


def test_what_cannot_be_analysed_is_refused_in_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_one_line(run_here(capsys, "eval", "model", str(tmp_path)), 3, "give the folder of a training run")
    other = tmp_path / "other" / TRANSITIONS
    other.parent.mkdir()
    TransitionFile(other, 3, 1).close()
    begin_identity(other.parent, TaskIdentity(task="gymnasium:Other-v1", repeat=1))
    outcome = run_here(capsys, "eval", "model", str(run), "--transitions", str(other))
    assert_one_line(outcome, 3, "gymnasium:Other-v1", "gymnasium:Pendulum-v1")
    lost = tmp_path / "lost.bin"
    TransitionFile(lost, 3, 1).close()
    outcome = run_here(capsys, "eval", "model", str(run), "--transitions", str(lost))
    assert_one_line(outcome, 3, "task.json", "which arm")
