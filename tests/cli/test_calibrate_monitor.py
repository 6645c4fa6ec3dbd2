"""`robot-mbrl calibrate monitor`: logs in, thresholds that `deploy` accepts and a report out; what it refuses."""

import hashlib
import re
from pathlib import Path

import pytest
import yaml

from robot_mbrl.cli.main import run as run_program
from robot_mbrl.contracts.config import load_settings
from robot_mbrl.contracts.monitor_settings import MonitorThresholds
from robot_mbrl.learning.monitor_report import DETECTION_HEADS
from robot_mbrl.runtime.monitor_setup import build_monitor, build_watch
from robot_mbrl.runtime.settings import DeploySettings, TwinSettings
from tests.cli.program import assert_one_line, run_here
from tests.learning.lagging_arm import ARM, LAG, flight, write_log, write_model

ONSET_TICK = 400
"""At which the arm of the flights `late` grows slow: 2 s after they began."""


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of logs: 19 nominal flights, 5 more, 5 of a slower arm, 5 of one that grows slow; and a model."""
    folder = tmp_path_factory.mktemp("flights")
    for name, seeds, lag in (("nominal", range(19), LAG), ("test", range(50, 55), LAG), ("slow", range(60, 65), 0.2)):
        (folder / name).mkdir()
        for seed in seeds:
            write_log(folder / name / f"flight-{name}-{seed}.mcap", flight(seed, 1.0, lag))
    (folder / "copy").mkdir()
    write_log(folder / "copy" / "flight-1.mcap", flight(7, 1.0), flight="flight-nominal-7")
    (folder / "late").mkdir()
    for seed in range(70, 75):
        frames, slow = flight(seed, 3.0), flight(seed, 3.0, 0.2)
        frames[ONSET_TICK:] = slow[ONSET_TICK:]
        write_log(folder / "late" / f"flight-late-{seed}.mcap", frames)
    write_model(folder / "model.onnx")
    return folder


def outputs(folder: Path) -> tuple[str, ...]:
    return "--thresholds", str(folder / "thresholds.yaml"), "--report", str(folder / "report.html")


def test_logs_become_thresholds_that_a_deployment_accepts_and_a_report(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = logs / "model.onnx"
    outcome = run_here(
        capsys,
        *("calibrate", "monitor", str(logs / "nominal"), "--ensemble", str(model), "--alpha", "0.1"),
        *("--test", str(logs / "test"), "--shifted", str(logs / "slow"), *outputs(tmp_path)),
    )
    assert outcome.code == 0, outcome
    found = load_settings(tmp_path / "thresholds.yaml", MonitorThresholds)
    assert found.uncertainty.required
    assert found.uncertainty.model == hashlib.sha256(model.read_bytes()).hexdigest()
    safety = yaml.safe_load((tmp_path / "thresholds.yaml").read_text(encoding="utf-8"))
    assert {"disagreement", "residual"} <= set(build_monitor(ARM, None, safety).check_names)
    assert build_watch(ARM, DeploySettings(robot=TwinSettings(), ensemble=model, safety=safety)) is not None
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert report.count("data:image/png;base64,") == 4
    assert 'src="http' not in report
    assert "from 19 episodes of 19 flights, of up to 1.0 s" in found.sources["uncertainty"]
    assert "warning" not in outcome.out
    for told in (
        "at most 10.00% of nominal episodes",
        "19 nominal ones of 19 flights",
        "tested on others",
        "velocity of gripper",
        "<td>slow</td>",
    ):
        assert told in report


def test_pieces_of_few_flights_are_said_to_be_alike(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("calibrate", "monitor", str(logs / "test"), "--ensemble", str(logs / "model.onnx"), "--alpha", "0.2")
    outcome = run_here(capsys, *command, "--episode", "0.3", *outputs(tmp_path))
    assert outcome.code == 0, outcome
    assert "warning: the 15 episodes are of 5 flights" in outcome.out
    assert "give 9 of them" in outcome.out


@pytest.mark.parametrize(("onset", "least", "most"), [("0", 0, 40), ("2", 100, 100)])
def test_shifted_flights_are_cut_as_nominal_ones_and_judged_where_the_shift_set_in(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], onset: str, least: int, most: int
) -> None:
    """In pieces of 0.9 s the arm is itself in the first, where one in ten is stopped, and grows slow in the third."""
    outcome = run_here(
        capsys,
        *("calibrate", "monitor", str(logs / "nominal"), "--ensemble", str(logs / "model.onnx"), "--alpha", "0.1"),
        *("--episode", "0.9", "--shifted", str(logs / "late"), "--onset", onset, *outputs(tmp_path)),
    )
    assert outcome.code == 0, outcome
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    row = re.search(r"<td>late</td>(.*?)</tr>", report, re.DOTALL)
    assert row is not None
    cells = dict(zip(DETECTION_HEADS[1:], re.findall(r"<td>(.*?)</td>", row[1]), strict=True))
    assert cells["episodes"] == "5"
    assert least <= int(cells["stopped"].rstrip("%")) <= most
    assert cells["stopped before the onset"] == "0"


def test_deploy_refuses_thresholds_of_another_ensemble(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"uncertainty": {"model": "0" * 64, "residual": {"stop": 3.0}}}
    path = tmp_path / "thresholds.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = ("deploy", "--robot", "twin", "--ensemble", str(logs / "model.onnx"), "--thresholds", str(path), "--yes")
    assert_one_line(run_here(capsys, *command), 3, "model.onnx", "thresholds were taken with 000000000000")
    path.write_text("residual: {stop: 3.0}", encoding="utf-8")
    assert_one_line(run_here(capsys, *command), 3, "thresholds.yaml", "unknown key residual", "uncertainty is missing")


@pytest.mark.parametrize(
    ("changed", "parts"),
    [
        (("--alpha", "0.01"), ("19 nominal episodes", "needs 199, 180 more are missing")),
        (("--alpha", "2"), ("alpha = 2.0",)),
        (("--ensemble", "none.onnx"), ("none.onnx: no such ensemble", "--train")),
        (("--episode", "5"), ("no episode of 5 s",)),
        (("--episode", "0"), ("--episode 0: give a length above 0 s",)),
        (("--episode", "nan"), ("--episode nan: give a length above 0 s",)),
        (("--episode", "inf"), ("--episode inf: give a length above 0 s",)),
        (("--onset", "inf"), ("--onset inf: give a time of 0 s or more",)),
        (("--train", "{logs}/nominal"), ("cannot serve to train and to calibrate",)),
        (
            ("--train", "{logs}/nominal/flight-nominal-7.mcap"),
            ("flight flight-nominal-7 cannot serve to train and to",),
        ),
        (("--train", "{logs}/copy/flight-1.mcap"), ("flight flight-nominal-7 cannot serve to train and to calibrate",)),
        (("--test", "{logs}/copy"), ("cannot serve to calibrate and to test",)),
        (("--shifted", "{logs}/copy"), ("cannot serve to calibrate and to be shifted",)),
        (("--train", "{logs}/test"), ("5.0 s of motion in 5 episodes", "60 s are needed")),
        (("--test", "{logs}/none"), ("none: cannot be read",)),
        (("--shifted", "{logs}/slow", "--onset", "5"), ("episode 1: ended after 1.0 s, before 5 s",)),
        (("--report", "{logs}/none/report.html"), ("none/report.html", "give a path that can be written")),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changed: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    given = dict(zip(("--alpha", "--ensemble"), ("0.1", str(logs / "model.onnx")), strict=True))
    given |= dict(zip(outputs(tmp_path)[::2], outputs(tmp_path)[1::2], strict=True))
    given |= {name: value.format(logs=logs) for name, value in zip(changed[::2], changed[1::2], strict=True)}
    flags = [part for pair in given.items() for part in pair]
    assert_one_line(run_here(capsys, "calibrate", "monitor", str(logs / "nominal"), *flags), 3, *parts)


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_program(["calibrate", "monitor", "--help"]) == 0
    assert "robot-mbrl calibrate monitor logs/later --train logs/first" in capsys.readouterr().out
