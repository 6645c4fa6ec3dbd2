"""The command tree: help that is quick and complete, usage errors in one line, exit codes as documented."""

import subprocess
import sys

import pytest

from robot_mbrl.cli.main import COMMANDS, SYNOPSIS, run
from robot_mbrl.contracts import errors
from tests.cli.program import assert_one_line, run_here


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_what_it_does_and_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert COMMANDS[name].example in text
    assert len(text.split("\n\n")[1].split()) >= 5


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_parses(name: str) -> None:
    program, *words = COMMANDS[name].example.split()
    assert program == "robot-mbrl"
    assert words[0] == name
    assert run([*words, "--help"]) == 0


@pytest.mark.parametrize(
    "name", ["scan", "doctor", "setup-motors", "calibrate", "move", "torque", "virtual-arm", "twin"]
)
def test_help_says_what_happens_to_the_arm(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    run([*name.split(), *(["joints"] if name == "calibrate" else []), "--help"])
    text = " ".join(capsys.readouterr().out.split()).lower()
    assert any(
        word in text
        for word in ("moves nothing", "neither moves", "nothing moves", "moves the arm", "fall", "no hardware")
    )


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    listed = capsys.readouterr().out.partition("\nCommands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "] == [*COMMANDS]


def test_the_list_of_commands_is_printed_without_waiting_for_the_physics() -> None:
    code = "import sys; from robot_mbrl.cli.main import run; run(['--help']); sys.exit('mujoco' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_every_exit_code_of_the_error_tree_is_documented() -> None:
    documented = {int(word) for word in SYNOPSIS.split() if word.isdecimal()}
    codes = {getattr(errors, name).exit_code for name in errors.__all__}
    assert codes <= documented


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nope"], ["nope", "robot-mbrl --help"]),
        (["scan"], ["--port", "robot-mbrl scan --help"]),
        (["scan", "--port", "x", "--protocol", "foo"], ["foo", "feetech"]),
        (["move", "--port", "x", "--arm", "y", "--joint", "z", "--to", "high"], ["--to", "number"]),
        (["torque", "maybe", "--port", "x", "--arm", "y"], ["maybe", "'on'"]),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert_one_line(run_here(capsys, *arguments), 2, *parts)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["scan", "--port", "x", "--ids", "9-1"], ["9-1", "0 to 252"]),
        (["scan", "--port", "x", "--baud", "fast"], ["fast", "1000000"]),
        (["doctor", "--port", "x"], ["--port and --arm"]),
        (["calibrate", "joints", "--arm", "so101_follower"], ["--port"]),
        (["move", "--port", "x", "--arm", "so102", "--joint", "z", "--to", "0"], ["so102", "so101_follower"]),
        (["setup-motors", "--port", "x", "--arm", "so101_follower", "--joint", "knee"], ["knee", "elbow_flex"]),
        (["twin", "--seconds", "-1"], ["-1"]),
        (["bench", "bus", "--seconds", "0"], ["0"]),
    ],
)
def test_wrong_values_are_refused_before_anything_is_opened(
    arguments: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 3
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert all(part in text for part in parts)
