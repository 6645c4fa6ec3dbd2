"""The run's folder: whole checkpoints only, settings that stay, and a curve that reads back."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from robot_mbrl.contracts.config import load_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.dreamer_learner import resolved_settings
from robot_mbrl.learning.dreamer_run import COMPUTE, Compute, DreamerFolder, DreamerRunSettings, Evaluation, Progress
from robot_mbrl.learning.run_files import table
from robot_mbrl.learning.task_identity import TASK, TaskIdentity, read_identity
from robot_mbrl.policies.dreamer_settings import DreamerSettings
from tests.learning.sequence_doubles import TINY, tiny_beginning

ROOT = Path(__file__).resolve().parents[2]


def test_a_folder_keeps_its_settings_but_may_be_given_more_steps(tmp_path: Path) -> None:
    folder = DreamerFolder(tmp_path / "run")
    folder.begin(tiny_beginning())
    longer = TINY.model_copy(update={"steps": 5000})
    folder.begin(tiny_beginning(longer))
    assert folder.settings() == longer
    with pytest.raises(ConfigError, match=r"other settings \(seed, batch\)"):
        folder.begin(tiny_beginning(TINY.model_copy(update={"seed": 9, "batch": 2})))
    with pytest.raises(ConfigError, match="give the folder of a training run"):
        DreamerFolder(tmp_path).settings()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dreamer": DreamerSettings(entropy=0.5)}, r"other settings \(entropy\): give those of its dreamer.yaml"),
        ({"identity": TaskIdentity(task="counting", repeat=2)}, "was trained with repeat 1, here it is 2"),
        ({"compute": Compute(device="cuda", precision="float32")}, "was trained on cpu in float32, here .* on cuda in"),
        ({"compute": Compute(device="cpu", precision="bfloat16")}, "go on where it began, or begin a new run"),
    ],
)
def test_a_run_goes_on_as_it_began_or_not_at_all(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    folder, longer = DreamerFolder(tmp_path), TINY.model_copy(update={"steps": 5000})
    folder.begin(tiny_beginning())
    with pytest.raises(ConfigError, match=words) as caught:
        folder.begin(dataclasses.replace(tiny_beginning(longer), **changes))
    assert "\n" not in str(caught.value)
    assert folder.settings() == TINY, "nothing was written"


def test_a_run_of_before_there_were_identities_gets_one_when_it_goes_on(tmp_path: Path) -> None:
    folder = DreamerFolder(tmp_path)
    folder.begin(tiny_beginning())
    for name in (TASK, COMPUTE):
        (tmp_path / name).unlink()
    folder.begin(tiny_beginning())
    assert read_identity(tmp_path) == TaskIdentity(task="counting", repeat=1)
    assert (tmp_path / COMPUTE).exists()


def test_the_newest_whole_checkpoint_counts(tmp_path: Path) -> None:
    folder = DreamerFolder(tmp_path)
    folder.begin(tiny_beginning())
    assert folder.checkpoint() is None
    assert folder.progress() == Progress()

    def fail(place: Path) -> None:
        (place / "half").write_text("of it", encoding="utf-8")
        raise KeyboardInterrupt

    folder.commit(Progress(actions=900, updates=7), lambda place: (place / "a").touch())
    with pytest.raises(KeyboardInterrupt):
        folder.commit(Progress(actions=1000), fail)
    assert folder.progress() == Progress(actions=900, updates=7)
    folder.commit(Progress(actions=100_000, updates=8), lambda place: (place / "b").touch())
    newest = folder.checkpoint()
    assert newest is not None
    assert [path.name for path in newest.parent.iterdir()] == [newest.name]
    assert (newest / "b").exists()
    (newest / "progress.json").write_text('{"actions": "many"}', encoding="utf-8")
    with pytest.raises(ConfigError, match="copy the run folder again"):
        folder.progress()


def test_the_curve_has_a_line_for_each_evaluation() -> None:
    row = Evaluation(
        actions=20,
        environment_steps=40,
        updates=5,
        training_episodes=0,
        training_return=None,
        mean_return=1.25,
        success=0.5,
        distance=None,
    )
    lines = table(Evaluation, [row]).splitlines()
    assert lines[0].startswith("actions,environment_steps,updates")
    assert lines[1] == "20,40,5,0,,1.25,0.5,"
    assert Progress(evaluations=(row, row.model_copy(update={"mean_return": 3.5}))).best == 3.5


def test_the_example_is_a_run_with_a_learner() -> None:
    settings = load_settings(ROOT / "examples" / "dreamer_reach.yaml", DreamerRunSettings)
    assert settings.task == "reach"
    assert resolved_settings(settings.size, settings.dreamer).deter == 128


def test_a_replay_too_small_for_its_sequences_is_refused() -> None:
    with pytest.raises(ValidationError, match="capacity 100 is below 8 sequences, 520"):
        DreamerRunSettings(task="reach", capacity=100)
