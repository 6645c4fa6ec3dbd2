"""The report tells what the logs say: of flights with known ends, stops and times."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.demo import report
from robot_mbrl.demo.journal import Event
from robot_mbrl.demo.models import PlannerFit, calibrate_doubt
from robot_mbrl.demo.pace import FAST
from robot_mbrl.demo.report import FLIGHTS, JOURNAL, PICTURES, REPORT, Findings, write_report
from robot_mbrl.learning.flight_episodes import cut_episodes
from robot_mbrl.policies.tour import Leg, TourSettings, load_tour
from robot_mbrl.sim.geometry import MujocoGeometry
from tests.data.flights import CHECK_NAMES
from tests.demo.silent_screen import SilentScreen
from tests.learning.lagging_arm import ARM, JOINTS, flight, write_log, write_model

CHECKS = (*CHECK_NAMES, "disagreement", "residual")
"""Those of doubt are there where it has thresholds."""
DWELL = 1.0
RATE = 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A demonstration: one target reached, one missed, then a push that doubt stops."""
    frames = flight(seed=5, seconds=3.5)
    frames["speed_scale"] = 1.0
    stop = 3 * RATE
    frames["verdict"][stop - 1], frames["reason"][stop - 1] = VerdictLevel.STOP, CHECKS.index("residual")
    frames["reason_joint"] = -1
    frames["value"][stop - 1], frames["limit"][stop - 1] = 9.0, 2.0
    frames["state"][stop:] = ControlState.STOPPED
    end = MujocoGeometry(ARM).tool_position(frames["position"][RATE - 1, :JOINTS]).tolist()
    legs = (
        Leg(policy="pets:planner.yaml", seconds=DWELL, goal=(end[0], end[1], end[2])),
        Leg(policy="bundle:reach", seconds=DWELL, goal=(end[0], end[1], end[2] + 0.5)),
    )
    for name in FLIGHTS:
        logs = tmp_path / "logs" / name
        logs.mkdir(parents=True)
        write_log(logs / "flight-test-0000.mcap", frames, settings={}, check_names=CHECKS)
    (tmp_path / "reach.yaml").write_text(dump_settings(TourSettings(legs=legs)), encoding="utf-8")
    begin_ns = int(frames["wake_ns"][0])
    events = [
        Event(stamp_ns=begin_ns, kind="stage", text="it begins"),
        Event(stamp_ns=int(frames["wake_ns"][stop]) - 250_000_000, kind="disturbance", text="a <push>"),
    ]
    text = "".join(event.model_dump_json() + "\n" for event in events)
    (tmp_path / JOURNAL).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def findings(folder: Path) -> Findings:
    episodes = [found for seed in range(20) for found in cut_episodes(flight(seed, 0.5), JOINTS, str(seed))]
    model = write_model(folder / "monitor.onnx")
    calibration = calibrate_doubt(model, folder / "thresholds.yaml", ARM.joint_names, episodes, FAST, SilentScreen())
    errors = np.linspace(0.01, 0.02, 12)
    return Findings(
        arm=ARM,
        seed=3,
        pace=FAST,
        fit=PlannerFit(2.0 * errors, errors, 4.0 * errors, rows=1234, kept=True),
        calibration=calibration,
        bundle=True,
    )


def test_tells_what_was_reached_and_what_stopped_the_arm_and_draws_it(
    folder: Path, findings: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "render_arm", lambda *_: "no screen")
    told = write_report(folder, findings)
    assert told[0].startswith("planner: 1 of 1 targets")
    assert told[1].startswith("Dreamer: 0 of 1 targets")
    assert told[2].startswith("a <push>: stopped after 250 ms by residual: 9 against a limit of 2")
    page = (folder / REPORT).read_text(encoding="utf-8")
    assert "a &lt;push&gt;" in page
    assert "No picture of the arm itself: no screen" in page
    assert "1234 steps" in page
    assert "at most 10%" in page
    assert "doubt ended 0 of 2 undisturbed legs, and something else 0" in page
    assert f"torch {version('torch')}" in page
    assert "http" not in page, "the page needs nothing else"
    sizes = {}
    for path in (folder / PICTURES).glob("*.png"):
        with Image.open(path) as picture:
            sizes[path.stem] = picture.size
    assert set(sizes) == {"paths", "targets", "doubt", "growth", "scores", "reliability", "joints", "timing"}
    assert min(min(size) for size in sizes.values()) > 200


def test_a_leg_that_doubt_ended_is_told_apart_from_one_that_something_else_ended(
    folder: Path, findings: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop comes after 3 s, in the second leg of 1.6 s."""
    monkeypatch.setattr(report, "render_arm", lambda *_: "no screen")
    tour = load_tour(folder / "reach.yaml")
    legs = tuple(leg.model_copy(update={"seconds": 1.6}) for leg in tour.legs)
    (folder / "reach.yaml").write_text(dump_settings(TourSettings(legs=legs)), encoding="utf-8")
    write_report(folder, findings)
    assert "doubt ended 1 of 2 undisturbed legs, and something else 0" in (folder / REPORT).read_text(encoding="utf-8")


def test_a_missing_log_is_told(folder: Path, findings: Findings) -> None:
    (folder / "logs" / "reach" / "flight-test-0000.mcap").unlink()
    with pytest.raises(ConfigError, match="no flight log"):
        write_report(folder, findings)
