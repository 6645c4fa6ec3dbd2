"""Training: the replay ratio, evaluations apart from training, and the same curve after a SIGKILL."""

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from robot_mbrl.contracts.errors import ConfigError, SimulationError
from robot_mbrl.learning.dreamer_learner import DreamerLearner
from robot_mbrl.learning.dreamer_run import DreamerFolder, DreamerRunSettings, Progress
from robot_mbrl.learning.dreamer_training import MOST_SKIPPED, Training, make_crew, open_training
from robot_mbrl.learning.run_files import CURVE
from robot_mbrl.learning.sequence_learner import Latent, Update
from robot_mbrl.learning.sequence_replay import LATENTS_FILE
from tests.learning.dreamer_runs import SMALL, copied_arm, slow_down, write_run
from tests.learning.sequence_doubles import TINY, Leaning, tiny_beginning, tiny_crew


def train(path: Path, settings: DreamerRunSettings = TINY) -> Progress:
    training = Training(DreamerFolder(path), tiny_beginning(settings), tiny_crew(settings))
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


def test_a_folder_that_another_process_trains_in_is_refused_and_left_alone(tmp_path: Path) -> None:
    training = Training(DreamerFolder(tmp_path), tiny_beginning(), tiny_crew())
    longer = tiny_beginning(TINY.model_copy(update={"steps": 9000}))
    with pytest.raises(ConfigError, match="another process trains here"):
        Training(DreamerFolder(tmp_path), longer, tiny_crew())
    assert DreamerFolder(tmp_path).settings() == TINY
    training.close()
    Training(DreamerFolder(tmp_path), longer, tiny_crew()).close()
    assert DreamerFolder(tmp_path).settings().steps == 9000


def test_a_replay_that_the_disk_has_no_room_for_leaves_no_settings_behind(tmp_path: Path) -> None:
    huge = TINY.model_copy(update={"capacity": 10**15})
    with pytest.raises(ConfigError, match=r"needs \d+ bytes, the disk has \d+: give a smaller capacity"):
        Training(DreamerFolder(tmp_path), tiny_beginning(huge), tiny_crew(huge))
    train(tmp_path, TINY.model_copy(update={"steps": 70}))


class Skipping(Leaning):
    """Makes no update while `skips` lasts; `None` is for ever."""

    def __init__(self, skips: int | None) -> None:
        super().__init__()
        self._skips = skips

    def train(self, fields: dict[str, NDArray[Any]]) -> Update:
        """Give latents that must not be kept."""
        update = super().train(fields)
        if self._skips is not None and self.updates > self._skips:
            return update
        broken = Latent(np.full_like(update.latent.deter, np.nan), update.latent.stoch)
        return Update(broken, {"gradient_norm": np.nan}, made=False)


def train_with(path: Path, learner: Leaning) -> Progress:
    crew = dataclasses.replace(tiny_crew(), learner=learner)
    training = Training(DreamerFolder(path), tiny_beginning(), crew)
    try:
        return training.run()
    finally:
        training.close()


def test_a_run_whose_gradients_are_never_finite_ends_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        SimulationError, match=f"of {MOST_SKIPPED} updates in a row were not finite, at update"
    ) as caught:
        train_with(tmp_path, Skipping(None))
    assert "\n" not in str(caught.value)


def test_latents_of_a_skipped_update_are_not_kept(tmp_path: Path) -> None:
    progress = train_with(tmp_path, Skipping(MOST_SKIPPED - 1))
    assert progress.skipped == 0
    latents = np.fromfile(tmp_path / "replay" / LATENTS_FILE, np.dtype([("deter", np.float16, 4), ("stoch", "u1", 2)]))
    assert np.isfinite(latents["deter"]).all()


TINY_DREAMER = DreamerRunSettings(
    task="reach",
    steps=120,
    environments=2,
    demonstrations=16,
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


def train_dreamer(path: Path, steps: int = TINY_DREAMER.steps) -> None:
    """Begin or go on with the run in `path`, up to `steps` actions."""
    training = open_training(path, TINY_DREAMER.model_copy(update={"steps": steps}))
    training.run()
    training.close()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny Dreamer to its end, with its checkpoint."""
    path = tmp_path_factory.mktemp("dreamer")
    train_dreamer(path)
    return path


@pytest.fixture(scope="module")
def dreamer_curve(trained: Path) -> str:
    return (trained / CURVE).read_text()


def test_a_dreamer_on_the_twin_resumes_to_the_same_curve(tmp_path: Path, dreamer_curve: str) -> None:
    train_dreamer(tmp_path, 50)
    train_dreamer(tmp_path)
    assert (tmp_path / CURVE).read_text() == dreamer_curve
    assert len(DreamerFolder(tmp_path).progress().evaluations) == 2


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
    with pytest.raises(ConfigError, match="is of a Dreamer with units 12 and not 16"):
        make_crew(settings.model_copy(update={"dreamer": {**SMALL, "units": 16}}))
    with pytest.raises(ConfigError, match="is of a Dreamer with vector 24 and not "):
        make_crew(settings.model_copy(update={"task": "push"}))
    make_crew(settings.model_copy(update={"dreamer": {**SMALL, "horizon": 50.0, "learning_rate": 1e-3}}))


def test_a_run_goes_on_without_the_one_it_started_from(tmp_path: Path) -> None:
    write_run(tmp_path / "first")
    settings = TINY_DREAMER.model_copy(update={"dreamer": SMALL, "start": tmp_path / "first", "steps": 4})
    open_training(tmp_path / "run", settings).close()
    shutil.rmtree(tmp_path / "first")
    training = open_training(tmp_path / "run", settings)
    assert training.run().actions >= 4
    training.close()


def test_a_run_that_ends_among_its_demonstrations_gets_the_same_ones_again(tmp_path: Path) -> None:
    changed = {"demonstrations": 300, "checkpoint_every": 20, "steps": 320}
    settings = TINY_DREAMER.model_copy(update=changed)

    def run(name: str, last: int) -> bytes:
        training = open_training(tmp_path / name, settings)

        def told(progress: Progress) -> None:
            if progress.actions >= last:
                raise InterruptedError

        with contextlib.closing(training), contextlib.suppress(InterruptedError):
            training.run(told)
        return (tmp_path / name / "replay" / "steps.bin").read_bytes()

    whole = run("straight", 320)
    assert run("interrupted", 250) != whole
    assert DreamerFolder(tmp_path / "interrupted").progress().actions == 0
    shorter = open_training(tmp_path / "interrupted", settings.model_copy(update={"steps": 100}))
    with contextlib.closing(shorter):
        assert shorter.run().actions == 100
    assert DreamerFolder(tmp_path / "interrupted").progress().actions == 0
    assert run("interrupted", 320) == whole


KILLED = """
import os, signal, sys
from pathlib import Path
from robot_mbrl.learning.dreamer_training import open_training
from tests.learning.test_dreamer_training import TINY_DREAMER

def end(progress):
    if progress.actions >= 70:
        os.kill(os.getpid(), signal.SIGKILL)

open_training(Path(sys.argv[1]), TINY_DREAMER).run(end)
"""


def test_a_dreamer_killed_between_checkpoints_resumes_to_the_same_curve(tmp_path: Path, dreamer_curve: str) -> None:
    root = Path(__file__).resolve().parents[2]
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert DreamerFolder(tmp_path).progress().actions == 40
    train_dreamer(tmp_path)
    assert (tmp_path / CURVE).read_text() == dreamer_curve


def test_a_run_of_an_arm_that_was_defined_anew_does_not_go_on(tmp_path: Path) -> None:
    arm = copied_arm(tmp_path)
    settings = TINY_DREAMER.model_copy(update={"arm": str(arm), "steps": 4})
    open_training(tmp_path / "run", settings).close()
    slow_down(arm)
    with pytest.raises(ConfigError, match="was trained with action_scale"):
        open_training(tmp_path / "run", settings)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _edit(path: Path, change: Callable[[dict[str, NDArray[Any]]], object]) -> None:
    with safe_open(path, framework="np") as file:
        names, metadata = file.keys(), file.metadata()
        tensors = {name: file.get_tensor(name) for name in names}
    change(tensors)
    save_file(tensors, path, metadata)


def _lose(name: str) -> Callable[[Path], None]:
    return lambda path: _edit(path, lambda tensors: tensors.pop(name))


def _spoil(path: Path) -> None:
    _edit(path, lambda tensors: tensors["model.world.reward.output.bias"].fill(np.nan))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("collector.safetensors", _cut, "collector.safetensors: cannot be read as safetensors"),
        ("replay.json", _cut, "replay.json: not JSON, or cut short"),
        ("replay.json", lambda path: path.write_text("{}"), "replay.json: must hold counts, fresh, random"),
        ("learner.safetensors", _cut, "learner.safetensors: cannot be read as safetensors"),
        ("learner.safetensors", _lose("optimizer.squares"), "learner.safetensors: optimizer without squares"),
        ("learner.safetensors", _lose("generator"), "learner.safetensors: Dreamer without the state of its chance"),
        ("learner.safetensors", _spoil, "model.world.reward.output.bias holds numbers that are not finite"),
    ],
)
def test_a_damaged_checkpoint_is_one_line(
    trained: Path, tmp_path: Path, name: str, change: Callable[[Path], None], words: str
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    (damaged,) = (tmp_path / "run").glob(f"checkpoints/*/{name}")
    change(damaged)
    with pytest.raises(ConfigError, match=re.escape(words)):
        train_dreamer(tmp_path / "run")


def test_a_replay_without_its_checkpoint_is_no_beginning(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(ConfigError, match=r"rows in its replay and no checkpoint to go on from: copy the run folder"):
        train_dreamer(tmp_path / "run")


def test_a_resumed_run_keeps_all_points_of_its_board(tmp_path: Path) -> None:
    train_dreamer(tmp_path, 60)
    train_dreamer(tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("evaluation/mean_return")] == [60, 120]
