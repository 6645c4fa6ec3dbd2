"""Replay: the logged frames give the logged verdicts again, to the bit, and whatever was changed is found."""

from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import Record
from robot_mbrl.contracts.types import Verdict, VerdictLevel
from robot_mbrl.data.flight_log import FlightLog
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.data.replay import WARM_UP, build_monitor, flight_of, replay
from robot_mbrl.runtime import monitor_setup as setup
from robot_mbrl.safety.monitor import Monitor
from robot_mbrl.sim.geometry import MujocoGeometry
from tests.data.flights import ARM, CHECK_NAMES, flight, header, judged


@pytest.fixture(scope="module")
def frames() -> FrameArray:
    """10 s at 200 Hz with verdicts of several kinds: a servo grows hot, and then the arm is pushed."""
    frames = flight(2000, period_ns=5_000_000)
    frames["temperature"][400:, 2] = np.linspace(31.0, 64.0, 1600)
    frames["position"][1900:, 1] += np.linspace(0.0, 0.5, 100)
    return judged(frames)


def written(folder: Path, frames: FrameArray) -> FrameArray:
    """`frames` after the way through a file."""
    log = FlightLog(folder / "flight-test-0000.mcap", header())
    log.write(frames)
    log.close()
    return flight_of(folder / "flight-test-0000.mcap")[1]


def test_the_flight_has_verdicts_worth_replaying(frames: FrameArray) -> None:
    assert {*frames["verdict"].tolist()} >= {VerdictLevel.PASS, VerdictLevel.SLOW, VerdictLevel.STOP}


def test_a_logged_flight_gives_identical_verdicts(frames: FrameArray, tmp_path: Path) -> None:
    result = replay(written(tmp_path, frames), build_monitor(header()), from_start=True)
    assert (result.judged, result.compared, result.differing, result.first) == (2000, 2000, 0, None)


@pytest.mark.parametrize(
    ("field", "change"),
    [("verdict", 1), ("reason", 1), ("reason_joint", 1), ("value", "bit"), ("limit", "bit"), ("speed_scale", "bit")],
)
def test_a_changed_verdict_is_found_where_it_is(field: str, change: int | str, frames: FrameArray) -> None:
    changed = frames.copy()
    if change == "bit":
        changed[field].view(np.uint64)[1500] ^= 1
    else:
        changed[field][1500] += change
    result = replay(changed, build_monitor(header()), from_start=True)
    assert result.differing == 1
    assert result.first is not None
    assert (result.first.tick, result.first.field) == (1500, field)


def test_a_changed_measurement_is_found_by_its_verdict(frames: FrameArray) -> None:
    changed = frames.copy()
    changed["temperature"][1700, 2] += 1e-9
    result = replay(changed, build_monitor(header()), from_start=True)
    assert result.first is not None
    assert (result.first.tick, result.first.field) == (1700, "value")


class Parrot(Monitor):
    """Says what it reads."""

    def judge(self, frame: Record) -> Verdict:
        """Repeat the verdict in the frame."""
        return Verdict(VerdictLevel(frame["verdict"][0]), check=int(frame["reason"][0]))


def test_a_monitor_that_repeats_what_the_log_says_is_not_believed(frames: FrameArray) -> None:
    assert replay(frames, Parrot(header().monitor, None), from_start=True).differing > 0


def test_other_limits_give_another_verdict(frames: FrameArray) -> None:
    settings = header().monitor
    hot = settings.health.model_copy(
        update={"temperature": settings.health.temperature.model_copy(update={"slow": 50})}
    )
    changed = header(monitor=settings.model_copy(update={"health": hot}))
    assert replay(frames, build_monitor(changed), from_start=True).differing > 0


def test_a_log_that_begins_in_mid_flight_is_compared_by_level_after_the_warm_up(frames: FrameArray) -> None:
    result = replay(frames[450:], build_monitor(header()), from_start=False)
    assert result.differing == 0
    assert result.compared == result.judged - round(WARM_UP / 0.005)
    changed = frames[450:].copy()
    changed["verdict"][-1] = VerdictLevel.PASS
    assert replay(changed, build_monitor(header()), from_start=False).differing == 1


def test_frames_that_are_missing_are_counted(frames: FrameArray) -> None:
    holed = np.concatenate([frames[:300], frames[303:]])
    assert replay(holed, build_monitor(header()), from_start=True).lost == 3


def test_all_parts_of_a_flight_are_replayed_from_its_start(frames: FrameArray, tmp_path: Path) -> None:
    for part in range(3):
        log = FlightLog(tmp_path / f"flight-test-{part:04d}.mcap", header(part=part))
        log.write(frames[part * 600 : (part + 1) * 600])
        log.close()
    _, joined = flight_of(tmp_path / "flight-test-0002.mcap")
    assert joined.tobytes() == frames[:1800].tobytes()


def test_a_monitor_with_geometry_is_built_again_from_the_header(tmp_path: Path) -> None:
    geometry = MujocoGeometry(ARM)
    frames = flight(600, period_ns=5_000_000)
    for name in ("position", "goal_position", "requested_position"):
        frames[name][300:, 1] += np.linspace(0.0, 1.2, 300)
    frames = judged(frames, geometry)
    made = header(geometry=True, check_names=setup.build_monitor(ARM, geometry).check_names)
    places = {made.check_names.index(name) for name in made.check_names if name not in CHECK_NAMES}
    assert places & {*frames["reason"].tolist()}
    log = FlightLog(tmp_path / "flight-test-0000.mcap", made)
    log.write(frames)
    log.close()
    found, read = flight_of(tmp_path / "flight-test-0000.mcap")
    assert replay(read, build_monitor(found), from_start=True).differing == 0


def test_a_log_of_other_checks_is_refused() -> None:
    with pytest.raises(ConfigError, match="phase_of_the_moon"):
        build_monitor(header(check_names=(*header().check_names, "phase_of_the_moon")))
