"""Training: the replay ratio, evaluations apart from training, and the same curve after a SIGKILL."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.dreamer_learner import DreamerLearner
from robot_mbrl.learning.dreamer_run import DreamerFolder, DreamerRunSettings, Progress
from robot_mbrl.learning.dreamer_training import Training, make_crew, open_training
from robot_mbrl.learning.run_files import CURVE
from tests.learning.dreamer_runs import SMALL, write_run
from tests.learning.sequence_doubles import TINY, Leaning, tiny_crew


def train(path: Path, settings: DreamerRunSettings = TINY) -> Progress:
    folder = DreamerFolder(path)
    folder.begin(settings)
    training = Training(folder, settings, tiny_crew(settings))
    try:
        return training.run()
    finally:
        training.close()


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("straight")
    train(path)
    return path


def test_the_replay_ratio_is_held(straight: Path) -> None:
    progress = DreamerFolder(straight).progress()
    assert progress.actions >= TINY.steps
    learned = progress.updates * TINY.batch * TINY.length
    collected = progress.rows - TINY.prefill
    assert collected * TINY.replay_ratio - learned == pytest.approx(0.0, abs=TINY.batch * TINY.length)


def test_evaluations_come_in_time_and_on_the_same_episodes(straight: Path) -> None:
    evaluations = DreamerFolder(straight).progress().evaluations
    assert [row.actions // TINY.evaluate_every for row in evaluations] == [1, 2, 3, 4]
    assert len({row.distance for row in evaluations}) == 1, "each episode's number is its distance"
    assert len({row.mean_return for row in evaluations}) == 4
    assert all(row.training_episodes > 0 and row.training_return is not None for row in evaluations)
    pictures = sorted(path.name for path in (straight / "predictions").iterdir())
    assert len(pictures) == 4
    assert pictures[0] == f"{evaluations[0].actions:012d}.png"
    assert list((straight / "tensorboard").iterdir())


def test_the_best_learner_is_kept(straight: Path) -> None:
    evaluations = DreamerFolder(straight).progress().evaluations
    best = max(range(4), key=lambda index: evaluations[index].mean_return)
    learner = Leaning()
    learner.load(straight / "best.safetensors")
    assert learner.updates == evaluations[best].updates


def test_a_run_that_is_given_more_steps_ends_like_one_that_had_them(straight: Path, tmp_path: Path) -> None:
    for steps in (137, 310, 600):
        train(tmp_path, TINY.model_copy(update={"steps": steps}))
    assert (tmp_path / CURVE).read_text() == (straight / CURVE).read_text()


def test_a_killed_run_resumes_to_the_same_curve(straight: Path, tmp_path: Path) -> None:
    moments = np.random.default_rng(1)
    reached = []
    for _ in range(5):
        run = os.fork()
        if run == 0:
            try:
                train(tmp_path)
            finally:
                os._exit(0)
        while DreamerFolder(tmp_path).checkpoint() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, 0.4))
        os.kill(run, signal.SIGKILL)
        os.waitpid(run, 0)
        reached.append(DreamerFolder(tmp_path).progress().actions)
    assert reached[0] < TINY.steps, "it was killed on its way"
    train(tmp_path)
    assert (tmp_path / CURVE).read_text() == (straight / CURVE).read_text()


def test_a_folder_that_another_process_trains_in_is_refused(tmp_path: Path) -> None:
    folder = DreamerFolder(tmp_path)
    folder.begin(TINY)
    training = Training(folder, TINY, tiny_crew())
    with pytest.raises(ConfigError, match="another process has this replay open"):
        Training(folder, TINY, tiny_crew())
    training.close()


TINY_DREAMER = DreamerRunSettings(
    task="reach",
    steps=120,
    environments=2,
    prefill=20,
    replay_ratio=1.0,
    batch=2,
    length=6,
    capacity=2000,
    evaluate_every=60,
    evaluation_episodes=1,
    checkpoint_every=40,
    dreamer={"deter": 16, "hidden": 8, "latents": 4, "classes": 4, "blocks": 2, "units": 8, "imagination": 3},
)


def test_a_dreamer_on_the_twin_resumes_to_the_same_curve(tmp_path: Path) -> None:
    for path, steps in ((tmp_path / "a", (120,)), (tmp_path / "b", (50, 120))):
        for wanted in steps:
            training = open_training(path, TINY_DREAMER.model_copy(update={"steps": wanted}))
            training.run()
            training.close()
    assert (tmp_path / "a" / CURVE).read_text() == (tmp_path / "b" / CURVE).read_text()
    assert len(DreamerFolder(tmp_path / "a").progress().evaluations) == 2


def test_a_run_begins_with_the_networks_of_another_and_nothing_else_of_it(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", seed=3)
    settings = TINY_DREAMER.model_copy(update={"dreamer": SMALL, "start": tmp_path / "first"})
    crew = make_crew(settings)
    assert isinstance(crew.learner, DreamerLearner)
    networks, random = crew.learner.dreamer.model.state_dict(), crew.learner.dreamer.state_dict()["generator"]
    for name, value in first.dreamer.model.state_dict().items():
        assert networks[name].equal(value), name
    assert not random.equal(first.dreamer.state_dict()["generator"])
    anew = make_crew(settings.model_copy(update={"start_behaviour": False})).learner
    blank = make_crew(settings.model_copy(update={"start": None})).learner
    assert isinstance(anew, DreamerLearner)
    assert isinstance(blank, DreamerLearner)
    fresh = blank.dreamer.model.state_dict()
    for name, value in anew.dreamer.model.state_dict().items():
        assert value.equal((networks if name.startswith("world.") else fresh)[name]), name
    assert not networks["behaviour.actor.output.weight"].equal(fresh["behaviour.actor.output.weight"])
    with pytest.raises(ConfigError, match="the run has no checkpoint yet"):
        make_crew(settings.model_copy(update={"start": tmp_path / "second"}))
    with pytest.raises(ConfigError, match="do not fit these settings"):
        make_crew(settings.model_copy(update={"dreamer": {**SMALL, "units": 16}}))
