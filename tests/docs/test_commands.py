"""The documentation's commands do what it says. Each is run as it stands, with flags behind it that make it end soon.

Those that the README has are run by `tests/cli/test_readme.py`, which looks at targets of make too. A deployment is
asked whether it may begin and gets no answer: up to there everything is read and checked that it is told; what follows
is looked at in `tests/cli`.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from robot_mbrl.cli import train_monitor
from robot_mbrl.cli.main import COMMANDS, PROGRAM
from robot_mbrl.cli.reference import Leaf, leaves, reference
from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.calibration import default_path, load_calibration
from robot_mbrl.learning.monitor_model import MonitorModelSettings
from robot_mbrl.policies.ensemble import EnsembleSettings
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess
from tests.cli.program import Outcome, calibrate, run_here
from tests.cli.test_log import write
from tests.data.flights import flight, judged
from tests.docs.pages import PAGES, README, ROOT, commands, inline_commands, python_blocks
from tests.learning import lagging_arm
from tests.learning.tiny_pets import tiny

Capture = pytest.CaptureFixture[str]
HARDWARE = "/dev/ttyACM0"
LOG = "logs/flight-20261121T115000123Z-0000.mcap"

TRAINED = {"robot-mbrl train pets --task reach --run-folder runs/reach-0": "--settings tiny.yaml"}
PLANNER = {
    **TRAINED,
    "robot-mbrl eval runs/reach-0": "--episodes 1",
    "robot-mbrl eval model runs/reach-0 --plot model.png": "--episodes 1 --random",
}
DREAMER = {
    "robot-mbrl train dreamer --settings examples/dreamer_reach.yaml --run-folder runs/dreamer-reach": "--steps 32",
    (
        "robot-mbrl train dreamer --settings examples/dreamer_reach_late.yaml --run-folder runs/dreamer-reach-late"
    ): "--steps 32",
    "robot-mbrl eval dreamer runs/dreamer-reach-late --episodes 100": "--newest --episodes 1",
    "robot-mbrl train dreamer --settings examples/dreamer_dmc.yaml --run-folder runs/dreamer-reacher": "--steps 16",
    "robot-mbrl export runs/dreamer-reach-late bundles/reach": "--newest --parity-steps 20",
    "robot-mbrl eval bundle bundles/reach --on twin --episodes 100": "--episodes 1",
    "robot-mbrl eval bundle bundles/reach --on arm --episodes 100": "--episodes 1",
}
MONITOR = {
    "robot-mbrl calibrate monitor logs/later --train logs/first --ensemble monitor.onnx --episode 10": (
        "--episode 1 --alpha 0.1"
    ),
}
DATA = {f"robot-mbrl log {what}": "" for what in (f"info {LOG}", f"plot {LOG}", f"plot {LOG} --html", f"replay {LOG}")}
SALVAGE = {f"robot-mbrl log salvage {LOG}": ""}
ARM = {
    "robot-mbrl calibrate joints --arm so101_follower --export-lerobot my_arm.json": "",
    "robot-mbrl calibrate joints --port /dev/ttyACM0 --arm so101_follower --import-lerobot my_arm.json": "",
    "robot-mbrl torque off --port /dev/ttyACM0 --arm so101_follower": "--yes",
}
PLANNED = "robot-mbrl deploy --robot twin --policy pets:examples/so101_reach.yaml --policy-rate 20 --seconds 30"
DREAMT = "robot-mbrl deploy --robot twin --policy bundle:bundles/reach --goal 0.2,0.0,0.1 --seconds 20"
BY_TURNS = (
    "robot-mbrl deploy --robot twin --policy pets:examples/so101_reach.yaml --standby bundle:bundles/reach "
    "--goal 0.2,0.0,0.1 --policy-rate 20"
)
DREAMT_ON_THE_ARM = (
    "robot-mbrl deploy --port /tmp/so101 --arm so101_follower --calibration /tmp/so101.yaml "
    "--policy bundle:bundles/reach --goal 0.2,0.0,0.1 --seconds 20"
)
WATCHED = (
    "robot-mbrl deploy --robot twin --policy sine --ensemble monitor.onnx --thresholds thresholds.yaml --seconds 20"
)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the examples in it; nothing outside is found or written."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def execute(capture: Capture, line: str, flags: str = "") -> Outcome:
    """Run a line with further flags, later ones win."""
    program, *arguments = f"{line} {flags}".split()
    assert program == PROGRAM
    return run_here(capture, *arguments)


def execute_all(capture: Capture, lines: dict[str, str]) -> None:
    """Run lines in order, which must all succeed."""
    for line, flags in lines.items():
        outcome = execute(capture, line, flags)
        assert outcome.code == 0, (line, outcome)


def is_asked(capture: Capture, line: str) -> str:
    """Run a deployment as far as its question; returns what it said before."""
    outcome = execute(capture, line)
    assert outcome.code == ConfigError.exit_code
    assert "standard input ended at 'Go? [y/N]'" in outcome.err
    return outcome.out


def test_every_command_is_run() -> None:
    written = {line for page in PAGES for line in commands(page)}
    asked = {PLANNED, DREAMT, DREAMT_ON_THE_ARM, BY_TURNS, WATCHED}
    run = {*PLANNER, *DREAMER, *MONITOR, *DATA, *SALVAGE, *ARM, *asked}
    assert {line for line in written - run if not line.startswith("make ")} <= set(commands(README))
    assert run <= written


def write_tiny_settings(workplace: Path) -> None:
    """Of a planner's run that ends soon."""
    settings = tiny(task="reach", repeat=1, steps=300, evaluate_every=300, evaluation_episodes=1)
    (workplace / "tiny.yaml").write_text(dump_settings(settings), encoding="utf-8")


def test_the_planners_page(workplace: Path, capsys: Capture) -> None:
    write_tiny_settings(workplace)
    execute_all(capsys, PLANNER)
    assert (workplace / "model.png").read_bytes().startswith(b"\x89PNG")
    assert "policy pets:examples/so101_reach.yaml moves the arm, 20 actions" in is_asked(capsys, PLANNED)


def test_dreamers_page(workplace: Path, capsys: Capture) -> None:
    write_tiny_settings(workplace)
    execute_all(capsys, DREAMER | TRAINED)
    assert (workplace / "bundles" / "reach" / "policy.onnx").exists()
    assert "policy bundle:bundles/reach moves the arm, 20 actions" in is_asked(capsys, DREAMT)
    assert "policy pets:examples/so101_reach.yaml moves the arm, 20 actions" in is_asked(capsys, BY_TURNS)
    with VirtualArmProcess("so101_follower", link=workplace / "so101") as process:
        calibrate(process, "so101_follower", workplace / "so101.yaml")
        line = DREAMT_ON_THE_ARM.replace("/tmp/so101", str(workplace / "so101"))
        assert "policy bundle:bundles/reach moves the arm, 20 actions" in is_asked(capsys, line)


def test_the_thresholds_of_doubt(workplace: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """With flights of a made-up arm, and a model that is small enough for a test."""
    for folder, seeds, seconds in (("first", range(7), 10.0), ("later", range(50, 69), 1.1)):
        (workplace / "logs" / folder).mkdir(parents=True)
        for seed in seeds:
            frames = lagging_arm.flight(seed, seconds)
            lagging_arm.write_log(workplace / "logs" / folder / f"flight-{seed}.mcap", frames)
    nets = EnsembleSettings(members=2, elites=2, hidden=(8,), weight_decay=(0.0, 0.0), epochs=2)
    monkeypatch.setattr(train_monitor, "MonitorModelSettings", lambda: MonitorModelSettings(stride=20, ensemble=nets))
    execute_all(capsys, MONITOR)
    assert (workplace / "monitor.html").exists()
    assert "policy sine moves the arm" in is_asked(capsys, WATCHED)


def test_the_page_about_data(workplace: Path, capsys: Capture) -> None:
    (workplace / "logs").mkdir()
    log = write(workplace / LOG, judged(flight(300)))
    execute_all(capsys, DATA)
    (example,) = python_blocks(ROOT / "docs" / "data.md")
    done = subprocess.run([sys.executable, "-c", example], cwd=workplace, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "(300, 6)" in done.stdout
    log.write_bytes(log.read_bytes()[:-1000])
    execute_all(capsys, SALVAGE)


def test_commands_for_an_arm_of_ones_own(workplace: Path, capsys: Capture) -> None:
    with VirtualArmProcess("so101_follower", link=workplace / "port") as process:
        default = workplace / "data" / "robot_mbrl" / "calibration" / "so101_follower.yaml"
        default.parent.mkdir(parents=True)
        standing = calibrate(process, "so101_follower", default)
        assert default == default_path(standing.arm)
        before = load_calibration(default, standing.arm)
        execute_all(capsys, {line.replace(HARDWARE, standing.port): flags for line, flags in ARM.items()})
        assert not any(standing.torque())
    ranges = {name: (joint.range_min, joint.range_max) for name, joint in before.joints.items()}
    after = load_calibration(default, standing.arm)
    assert {name: (joint.range_min, joint.range_max) for name, joint in after.joints.items()} == ranges


# -- what stands in sentences, and the page that is made -----------------------------------------------------------

LEAVES = list(leaves())
OPTIONS = {leaf.path: {option for parameter in leaf.command.params for option in parameter.opts} for leaf in LEAVES}
OF_ALL = {"--help", "--version", "--install-completion", "--yes"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_sentences_exist_with_their_options(page: Path) -> None:
    for command in inline_commands(page):
        words = command.split()[1:]
        given = {word for word in words if word.startswith("--")}
        name = next((word for word in words if not word.startswith("--") and not word.isupper()), None)
        assert name is None or name in COMMANDS, command
        near = [path for path in OPTIONS if path == tuple(words[: len(path)])]
        near = near or [path for path in OPTIONS if path[0] == name]
        assert given <= OF_ALL.union(*(OPTIONS[path] for path in near)), command


def test_the_page_of_commands_has_every_command_and_option() -> None:
    page = reference()
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == [leaf.name for leaf in LEAVES]
    for path, options in OPTIONS.items():
        assert all(option in page for option in options), path
    assert "\b" not in page


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.name)
def test_every_example_of_a_commands_help_parses(leaf: Leaf) -> None:
    assert leaf.examples
    for example in leaf.examples:
        words = example.split()[1:]
        rest = words[sum(word == part for word, part in zip(words, leaf.path, strict=False)) :]
        leaf.command.make_context(leaf.name, rest)
