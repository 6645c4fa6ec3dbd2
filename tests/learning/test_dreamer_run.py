"""The run's folder: whole checkpoints only, settings that stay, and a curve that reads back."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from robot_mbrl.contracts.config import load_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.dreamer_learner import resolved_settings
from robot_mbrl.learning.dreamer_run import DreamerFolder, DreamerRunSettings, Evaluation, Progress
from robot_mbrl.learning.run_files import table
from tests.learning.sequence_doubles import TINY

ROOT = Path(__file__).resolve().parents[2]


def test_a_folder_keeps_its_settings_but_may_be_given_more_steps(tmp_path: Path) -> None:
    folder = DreamerFolder(tmp_path / "run")
    folder.begin(TINY)
    longer = TINY.model_copy(update={"steps": 5000})
    folder.begin(longer)
    assert folder.settings() == longer
    with pytest.raises(ConfigError, match=r"other settings \(seed, batch\)"):
        folder.begin(TINY.model_copy(update={"seed": 9, "batch": 2}))
    with pytest.raises(ConfigError, match="give the folder of a training run"):
        DreamerFolder(tmp_path).settings()


def test_the_newest_whole_checkpoint_counts(tmp_path: Path) -> None:
    folder = DreamerFolder(tmp_path)
    folder.begin(TINY)
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
    with pytest.raises(ConfigError, match="remove this checkpoint"):
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
