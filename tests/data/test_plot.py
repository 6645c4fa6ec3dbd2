"""Pictures: a PNG that is one, with what happened in it, and a page that needs nothing else."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.data.flight_log import FlightLog, NoteLevel
from robot_mbrl.data.page import save_page
from robot_mbrl.data.plot import COMMANDED, MEASURED, draw, save_png
from robot_mbrl.data.reader import FlightRecord, read_log
from tests.data.flights import START_NS, flight, header, stop


def logged(folder: Path, count: int = 400) -> FlightRecord:
    """A log of a flight with a stop in it, and a note that would break a careless page."""
    frames = flight(count, period_ns=5_000_000)
    if count:
        frames["state"][:40] = ControlState.ARMED
        stop(frames, 300)
        frames["missed_ticks"][200:] = 2
    log = FlightLog(folder / "flight.mcap", header())
    log.write(frames)
    log.note(START_NS, NoteLevel.ERROR, "<script>alert('no')</script>")
    log.close()
    return read_log(folder / "flight.mcap")


def pixels(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """The picture's colours, (height, width, 3)."""
    with Image.open(path) as image:
        image.verify()
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_the_png_is_a_picture_in_which_both_curves_are_seen(tmp_path: Path) -> None:
    save_png(logged(tmp_path), tmp_path / "a.png")
    picture = pixels(tmp_path / "a.png")
    assert picture.shape[0] > 800
    assert picture.shape[1] > 1200
    for colour in (MEASURED, COMMANDED):
        wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
        assert (np.abs(picture.astype(int) - wanted).max(axis=2) < 8).sum() > 200


def test_every_joint_state_check_and_stop_is_named(tmp_path: Path) -> None:
    figure = draw(logged(tmp_path))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.split()[0] for title in titles[:6]] == list(header().arm.joint_names)
    assert any("measured_position" in title for title in titles)
    words = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert {"armed", "running", "stopped"} <= words
    assert figure.get_suptitle().splitlines()[1].startswith("stopped at 1.50 s by measured_position of elbow_flex")


def test_limits_are_in_view(tmp_path: Path) -> None:
    figure = draw(logged(tmp_path))
    for axes, joint in zip(figure.axes, header().arm.joints, strict=False):
        bottom, top = axes.get_ylim()
        assert bottom < joint.position_limits[0] < joint.position_limits[1] < top


def test_a_spike_of_one_tick_is_drawn_in_a_long_flight() -> None:
    frames = flight(60_000)
    frames["position"][31_234, 3] = 1.4
    figure = draw(FlightRecord(Path("x"), header(), frames, (), complete=True, unreadable=0))
    line = figure.axes[3].lines[0]
    values = np.asarray(line.get_ydata(), float)
    assert values.max() == 1.4
    assert len(values) < 10_000


def test_frames_of_nan_are_drawn(tmp_path: Path) -> None:
    frames = flight(50)
    for name in ("position", "executed_position", "speed_scale"):
        frames[name] = np.nan
    save_png(FlightRecord(Path("x"), header(), frames, (), complete=True, unreadable=0), tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").std() > 1.0


class Links(HTMLParser):
    """Collects what a page would fetch, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what is fetched."""
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in {"src", "href"}]


def test_the_page_fetches_nothing_and_runs_nothing(tmp_path: Path) -> None:
    save_page(logged(tmp_path), tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert len(links.sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in links.sources)
    assert "script" not in links.tags
    assert "&lt;script&gt;" in text
    assert re.search(r"measured_position of elbow_flex: 1.75 against a limit of 1.69", text)
    for source in links.sources:
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
            assert image.width > 1200


def test_a_log_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no frames"):
        save_png(logged(tmp_path, count=0), tmp_path / "a.png")
