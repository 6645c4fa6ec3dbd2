"""`robot-mbrl train pets` and `robot-mbrl eval`: a run, its figures, and one line for what cannot be."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.learning.pets_training import train_pets
from robot_mbrl.learning.run_folder import RunFolder
from tests.cli.program import Outcome, assert_one_line, run_here
from tests.learning.tiny_pets import tiny

Capture = pytest.CaptureFixture[str]


def test_a_run_is_trained_goes_on_and_is_evaluated(tmp_path: Path, capsys: Capture) -> None:
    settings, folder = tmp_path / "tiny.yaml", tmp_path / "run"
    settings.write_text(dump_settings(tiny()), encoding="utf-8")
    given = ("train", "pets", "--run-folder", str(folder))
    outcome = run_here(capsys, *given, "--settings", str(settings), "--steps", "2000", "--seed", "3")
    assert outcome.code == 0, outcome
    assert outcome.out.startswith(f"{folder}: 2000 steps, evaluation: return ")
    outcome = run_here(capsys, *given, "--steps", "3000")
    assert outcome.code == 0, outcome
    assert RunFolder(folder).settings() == tiny(seed=3, steps=3000)
    assert_one_line(run_here(capsys, *given, "--seed", "4"), 3, str(folder), "other settings (seed)")
    outcome = run_here(capsys, "eval", str(folder), "--episodes", "2", "--json")
    figures = json.loads(outcome.out)
    run, task = figures["runs"][str(folder)], figures["tasks"]["dm_control:reacher-easy"]
    assert (run["steps"], run["seed"], len(run["returns"])) == (3000, 3, 2)
    mean = sum(run["returns"]) / 2
    assert task["return"] == {"estimate": mean, "low": mean, "high": mean}
    assert task["distance"] is None
    recorded = json.loads(run_here(capsys, "eval", str(folder), "--recorded", "--json").out)
    last = [result for result in RunFolder(folder).progress().results if result.phase == "evaluation"][-2:]
    assert recorded["runs"][str(folder)]["returns"] == [result.total_reward for result in last]
    again = run_here(capsys, "eval", "run", str(folder), "--episodes", "2")
    assert again.code == 0
    assert f"{mean:.1f}" in again.out
    assert_one_line(run_here(capsys, "eval", str(folder), "--scripted"), 3, "reacher-easy", "no scripted controller")


def test_the_hand_written_controller_plays_the_same_episodes(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "run"
    train_pets(tiny(task="reach", repeat=1, steps=100, evaluation_episodes=1), folder)
    command = ("eval", "run", str(folder), "--episodes", "2", "--scripted")
    scripted = json.loads(run_here(capsys, *command, "--json").out)["scripted"]["reach"]
    assert scripted["successes"] == [True, True]
    assert max(scripted["distances"]) < 0.02
    outcome = run_here(capsys, *command)
    assert any(line.split()[:2] == ["scripted", "reach"] for line in outcome.out.splitlines())
    assert_one_line(run_here(capsys, *command, "--recorded"), 3, "--recorded with --scripted", "leave one out")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ((), ("no task", "--task")),
        (("--task", "juggle"), ("unknown task 'juggle'", "reach, push")),
        (("--task", "reach", "--arm", "so102"), ("so102", "so101_follower")),
        (("--task", "reach", "--settings", "nowhere.yaml"), ("nowhere.yaml", "cannot be read")),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    tmp_path: Path, capsys: Capture, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    outcome = run_here(capsys, "train", "pets", "--run-folder", str(tmp_path / "run"), *arguments)
    assert_one_line(outcome, 3, *parts)
    assert not (tmp_path / "run").exists()


def test_what_was_not_trained_cannot_be_evaluated(tmp_path: Path, capsys: Capture) -> None:
    assert_one_line(run_here(capsys, "eval", str(tmp_path)), 3, str(tmp_path), "settings.yaml", "training run")


@pytest.mark.parametrize(
    "command", [("train", "pets", "--run-folder", "x", "--task", "reach"), ("eval", "x"), ("eval", "run", "x")]
)
def test_a_robot_computer_is_told_what_to_install(
    command: tuple[str, ...], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    outcome: Outcome = run_here(capsys, *command)
    assert_one_line(outcome, 3, "torch", "pip install 'robot-mbrl[train]'")


@pytest.mark.parametrize("command", ["train", "eval"])
def test_help_does_not_wait_for_torch(command: str) -> None:
    told = f"from robot_mbrl.cli.main import run; run(['{command}', '--help'])"
    code = f"import sys; {told}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
