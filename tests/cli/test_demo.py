"""`robot-mbrl demo`: whatever ends it, nothing is left running; what it cannot use is told before anything starts.

A whole demonstration takes minutes and is what `make demo` runs.
"""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from robot_mbrl.cli import extras
from robot_mbrl.cli.demo_screen import BAR, SCRIPTED, TerminalScreen, bar, doubt_lines
from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.frame import FRAME_DTYPE, empty
from robot_mbrl.contracts.monitor_settings import Grades, UncertaintySettings
from tests.cli.demonstration import Demo, WindowedDemo
from tests.cli.program import PATIENCE, assert_one_line, run_here


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for each test, with a path that is short enough for a socket."""
    return tmp_path_factory.mktemp("demo")


def test_ctrl_c_while_the_arm_flies_leaves_nothing_behind(folder: Path) -> None:
    with Demo(folder) as demo:
        demo.await_word("the arm is running")
        demo.process.send_signal(signal.SIGINT)
        assert demo.process.wait(PATIENCE) == 128 + signal.SIGINT, demo.said()
        assert demo.said().splitlines()[-1] == "error: interrupted"
        assert demo.left_behind() == []
        assert list((demo.folder / "demo" / "logs" / "explore").glob("flight-*.mcap")), (
            "the log of what was flown stays"
        )


def test_a_closed_terminal_before_the_arm_is_calibrated_leaves_nothing_behind(folder: Path) -> None:
    with Demo(folder) as demo:
        demo.await_word("scan: IDs 1 to 6 answer")
        demo.process.send_signal(signal.SIGHUP)
        assert demo.process.wait(PATIENCE) == 128 + signal.SIGHUP, demo.said()
        assert demo.left_behind() == []


def test_a_closed_window_while_the_arm_flies_ends_it_in_good_order(folder: Path) -> None:
    """The signal comes, and nothing more can be written: that must not keep the processes from being ended."""
    with WindowedDemo(folder) as demo:
        demo.await_word("the arm is running")
        assert demo.said().count(SCRIPTED) == 1
        demo.close_window()
        assert demo.process.wait(PATIENCE) == 128 + signal.SIGHUP
        assert demo.left_behind() == []


def test_the_emulated_arm_does_not_outlive_a_killed_demonstration(folder: Path) -> None:
    with Demo(folder) as demo:
        demo.await_word("scan: IDs 1 to 6 answer")
        demo.process.kill()
        demo.process.wait()
        deadline = time.monotonic() + PATIENCE
        while any("virtual_arm" in line for line in demo.left_behind()):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_second_demonstration_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(f"\0robot-mbrl-demo-{os.getuid()}")
        outcome = run_here(capsys, "demo", "--folder", str(folder / "second"))
    assert_one_line(outcome, 3, "another demonstration is running", "Ctrl-C")
    assert not (folder / "second").exists()


def test_a_folder_that_is_not_empty_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "kept.txt").write_text("mine", encoding="utf-8")
    outcome = run_here(capsys, "demo", "--folder", str(folder))
    assert_one_line(outcome, 3, str(folder), "is not empty", "new folder")


def test_a_folder_that_cannot_be_made_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "file").write_text("", encoding="utf-8")
    outcome = run_here(capsys, "demo", "--folder", str(folder / "file" / "demo"))
    assert_one_line(outcome, 3, "file/demo", "--folder")


def test_without_the_training_libraries_the_remedy_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "TRAINING", ("no_such_library",))
    assert_one_line(run_here(capsys, "demo"), 3, "demo needs no_such_library", "pip install 'robot-mbrl[train]'")


def test_what_real_time_lacks_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    screen = TerminalScreen(ManualClock())
    for line in ("real time: no SCHED_FIFO: a remedy", "ready", "real time: no SCHED_FIFO: a remedy", "ready"):
        screen.tell(line)
    assert capsys.readouterr().out.split("\n") == ["   real time: no SCHED_FIFO: a remedy", "   ready", "   ready", ""]


def test_a_bar_is_full_where_the_arm_stops() -> None:
    assert bar(0.0) == f"[{'.' * BAR}]"
    assert bar(0.25).count("#") == BAR // 4
    assert bar(1.0) == bar(7.0) == f"[{'#' * BAR}]"


def test_doubt_is_shown_in_terms_of_its_threshold() -> None:
    frame = empty(FRAME_DTYPE)
    frame["disagreement"], thresholds = (
        1.5,
        UncertaintySettings(disagreement=Grades(stop=3.0), residual=Grades(stop=2.0)),
    )
    first, second = doubt_lines(frame, thresholds)
    assert first.endswith("1.5, stops above 3")
    assert first.count("#") == BAR // 2
    assert second.endswith("-, stops above 2"), "nothing is known yet"
    assert doubt_lines(frame, None) == []
