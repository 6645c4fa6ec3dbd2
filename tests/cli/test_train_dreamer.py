"""`robot-mbrl train dreamer`: from settings to a run that goes on, and one line for what cannot be."""

import json
from pathlib import Path

import pytest

from robot_mbrl.contracts.config import dump_settings, load_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.learning.dreamer_learner import resolved_settings
from robot_mbrl.learning.dreamer_run import DREAMER, DreamerFolder, DreamerRunSettings
from robot_mbrl.learning.dreamer_training import beginning_of
from robot_mbrl.learning.task_identity import TASK
from robot_mbrl.policies.dreamer_settings import DreamerSettings
from tests.cli.program import assert_one_line, run_here

TINY = DreamerRunSettings(
    task="gymnasium:Pendulum-v1",
    steps=20,
    environments=1,
    prefill=10,
    replay_ratio=1.0,
    batch=1,
    length=4,
    capacity=100,
    evaluate_every=1000,
    checkpoint_every=1000,
    evaluation_episodes=1,
    dreamer={"deter": 8, "hidden": 4, "latents": 2, "classes": 4, "blocks": 2, "units": 4, "imagination": 2},
)


def test_a_run_is_begun_from_a_file_and_goes_on_without_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, run = tmp_path / "tiny.yaml", tmp_path / "run"
    settings.write_text(dump_settings(TINY), encoding="utf-8")
    outcome = run_here(capsys, "train", "dreamer", "--run-folder", str(run), "--settings", str(settings))
    assert outcome.code == 0, outcome
    assert f"{run}: 20 actions, 2 updates" in outcome.out
    outcome = run_here(capsys, "train", "dreamer", "--run-folder", str(run), "--steps", "24")
    assert outcome.code == 0, outcome
    assert "24 actions, 3 updates" in outcome.out
    assert DreamerFolder(run).settings() == TINY.model_copy(update={"steps": 24})
    assert load_settings(run / DREAMER, DreamerSettings) == resolved_settings("1M", TINY.dreamer)
    assert_one_line(
        run_here(capsys, "eval", "dreamer", str(run)), ConfigError.exit_code, "has no evaluation yet", "--newest"
    )
    outcome = run_here(capsys, "eval", "dreamer", str(run), "--newest", "--episodes", "2", "--json")
    figures = json.loads(outcome.out)
    assert figures["episodes"] == len(figures["returns"]) == 2
    assert figures["mean_return"] == pytest.approx(sum(figures["returns"]) / 2)
    assert figures["success"] is None
    (run / TASK).unlink()
    assert_one_line(run_here(capsys, "eval", "dreamer", str(run), "--newest"), ConfigError.exit_code, TASK, "which arm")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ((), ("needs a task", "--task")),
        (("--task", "juggle"), ("unknown task 'juggle'", "reach, push")),
        (("--task", "reach", "--size", "3T"), ("unknown Dreamer size '3T'", "1M, 12M, 25M")),
        (("--task", "reach", "--device", "banana"), ("device 'banana'", "give cpu")),
        (("--task", "reach", "--device", "cuda:99"), ("device 'cuda:99'", "give cpu")),
        (("--task", "dm_control:cartpole-swingdown"), ("no task 'swingdown'",)),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    outcome = run_here(capsys, "train", "dreamer", "--run-folder", str(tmp_path / "run"), *arguments)
    assert_one_line(outcome, ConfigError.exit_code, *parts)
    assert not (tmp_path / "run").exists(), "the command, corrected, meets an empty folder"


def test_a_folder_with_another_run_and_wrong_settings_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, settings = tmp_path / "run", tmp_path / "wrong.yaml"
    DreamerFolder(run).begin(beginning_of(TINY))
    outcome = run_here(capsys, "train", "dreamer", "--run-folder", str(run), "--seed", "8")
    assert_one_line(outcome, ConfigError.exit_code, "other settings (seed)", "another folder")
    settings.write_text("task: reach\nbatches: 3\n", encoding="utf-8")
    outcome = run_here(capsys, "train", "dreamer", "--run-folder", str(tmp_path / "new"), "--settings", str(settings))
    assert_one_line(outcome, ConfigError.exit_code, "unknown key batches")
    settings.write_text("task: reach\ndreamer: {depth: 2, widht: 3}\n", encoding="utf-8")
    outcome = run_here(capsys, "train", "dreamer", "--run-folder", str(tmp_path / "new"), "--settings", str(settings))
    assert_one_line(outcome, ConfigError.exit_code, "unknown key widht")
