"""`robot-mbrl log`: what each command says, writes and ends with."""

import json
from pathlib import Path

import pytest

from robot_mbrl.data.flight_log import FlightLog
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.data.reader import read_frames
from tests.cli.program import assert_one_line, run_here
from tests.data.flights import flight, header, judged, planned, stop


def write(path: Path, frames: FrameArray) -> Path:
    """A closed log of `frames`."""
    log = FlightLog(path, header())
    for start in range(0, len(frames), 20):
        log.write(frames[start : start + 20])
        log.flush()
    log.close()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log with a stop."""
    frames = judged(flight(400))
    stop(frames, 300)
    return write(tmp_path / "flight-test-0000.mcap", frames)


def test_info_tells_the_story(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run_here(capsys, "log", "info", str(path))
    assert outcome.code == 0
    assert "400 in 0.40 s, 1000.0 Hz" in outcome.out
    assert "measured_position of elbow_flex: 1.75 against a limit of 1.69" in outcome.out


def test_info_as_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = json.loads(run_here(capsys, "log", "info", str(path), "--json").out)
    assert figures["frames"] == 400
    assert figures["stops"][0]["tick"] == 300
    assert figures["complete"] is True


def test_info_tells_of_a_planners_plans(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In 1 s, 20 plans of 4 steps that expect an arm to stay which is on its way."""
    frames = flight(1000)
    log = FlightLog(tmp_path / "planned.mcap", header())
    log.write(frames)
    log.write_plans(planned(frames))
    log.close()
    outcome = run_here(capsys, "log", "info", str(log.path))
    assert "20 at 20.0 Hz of up to 4 steps" in " ".join(outcome.out.split())
    figures = json.loads(run_here(capsys, "log", "info", str(log.path), "--json").out)["plans"]
    assert (figures["count"], figures["worst_disagreement"]) == (20, 0.4)
    assert figures["error"] > 0.01
    assert json.loads(run_here(capsys, "log", "info", str(path), "--json").out)["plans"] is None


def test_salvage_says_what_was_lost(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    outcome = run_here(capsys, "log", "salvage", str(path))
    assert outcome.code == 0
    saved = path.with_name(f"salvaged-{path.name}")
    assert f"{len(read_frames(saved))} frames" in outcome.out
    assert "lost: " in outcome.out
    assert path.read_bytes() == content[: len(content) // 2]
    assert_one_line(run_here(capsys, "log", "salvage", str(path)), 3, "exists", "--output")


def test_plot_writes_a_png_or_a_page_beside_the_log(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(capsys, "log", "plot", str(path)).out.strip() == str(path.with_suffix(".png"))
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert run_here(capsys, "log", "plot", str(path), "--html").code == 0
    assert path.with_suffix(".html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert_one_line(run_here(capsys, "log", "plot", str(path), "--output", str(path)), 3, "the log itself")


def test_replay_of_an_unchanged_flight_is_identical(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "flight-test-0000.mcap", judged(flight(300)))
    outcome = run_here(capsys, "log", "replay", str(path))
    assert (outcome.code, outcome.out.strip()) == (0, "identical: 300 verdicts of 300 frames")


def test_replay_of_a_changed_flight_names_the_first_difference(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run_here(capsys, "log", "replay", str(path))
    assert outcome.code == 1
    assert "first at tick 299: verdict was 3.0, is now 0.0" in outcome.out
    figures = json.loads(run_here(capsys, "log", "replay", str(path), "--json").out)
    assert figures["first"]["tick"] == 299


@pytest.mark.parametrize("command", ["info", "salvage", "plot", "replay"])
def test_what_is_no_log_is_refused_in_one_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.mcap").write_text("hello")
    assert_one_line(run_here(capsys, "log", command, str(tmp_path / "x.mcap")), 3, "x.mcap", "flight log")
    assert_one_line(run_here(capsys, "log", command, str(tmp_path / "none.mcap")), 3, "none.mcap", "cannot be read")


@pytest.mark.parametrize("command", ["plot", "replay"])
def test_a_log_of_a_flight_that_never_began_has_nothing_to_show(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "flight-test-0000.mcap", flight(0))
    assert_one_line(run_here(capsys, "log", command, str(path)), 3, "no frames")
    assert run_here(capsys, "log", "info", str(path)).code == 0
