"""Episodes out of logs: where they begin and end, and which logs are refused, in one line."""

from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.contracts.types import VerdictLevel
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.learning.flight_episodes import cut_episodes, piece_at, read_episodes
from tests.learning.lagging_arm import JOINTS, flight, write_log


def states(frames: FrameArray, *stretches: tuple[ControlState, int, int]) -> FrameArray:
    for state, begin, end in stretches:
        frames["state"][begin:end] = state
    return frames


def test_an_episode_lasts_from_a_run_to_its_end_holds_included() -> None:
    frames = states(
        flight(0),
        (ControlState.ARMED, 0, 50),
        (ControlState.HOLDING, 100, 120),
        (ControlState.SLOWED, 120, 130),
        (ControlState.ARMED, 200, 250),
        (ControlState.IDLE, 390, 400),
    )
    first, second = cut_episodes(frames, JOINTS, "flight")
    assert len(first.wake_ns) == 150
    assert np.flatnonzero(~first.following).tolist() == list(range(50, 70))
    assert first.seconds == pytest.approx(149 / 200)
    assert len(second.wake_ns) == 140
    assert second.source == "flight, episode 2"
    assert (second.position == frames["position"][250:390, :JOINTS]).all()


def test_a_long_episode_is_cut_into_pieces_of_one_length(tmp_path: Path) -> None:
    names, episodes = read_episodes([write_log(tmp_path / "flight-1.mcap", flight(0, 2.2))], longest=0.5)
    assert names == load_arm("so101_follower").joint_names
    assert [len(episode.wake_ns) for episode in episodes] == [100] * 4
    assert episodes[1].wake_ns[0] - episodes[0].wake_ns[-1] == 5_000_000


def test_the_piece_that_holds_a_moment(tmp_path: Path) -> None:
    _, (episode,) = read_episodes([write_log(tmp_path / "flight-1.mcap", flight(0, 2.2))])
    for moment, begin, ticks in ((0.0, 0.0, 100), (0.5, 0.5, 100), (1.4, 1.0, 100), (2.1, 2.0, 40)):
        piece = piece_at(episode, moment, 0.5)
        assert (piece.wake_ns[0] - episode.wake_ns[0]) * 1e-9 == pytest.approx(begin)
        assert len(piece.wake_ns) == len(piece.position) == ticks
    assert piece.source.endswith("flight-1.mcap, episode 1, piece 5")
    assert piece_at(episode, 1.4, None) is episode
    for length in (0.5, None):
        with pytest.raises(ConfigError, match=r"flight-1\.mcap, episode 1: ended after 2\.2 s, before 3 s: leave"):
            piece_at(episode, 3.0, length)


def test_a_part_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    log = write_log(tmp_path / "flight-1.mcap", flight(0))
    copy = write_log(tmp_path / "copies" / "flight-other.mcap", flight(0), flight="flight-1")
    with pytest.raises(ConfigError, match=r"flight-1\.mcap: part 0 of flight 'flight-1', as .*: give it once"):
        read_episodes([tmp_path, log])
    with pytest.raises(ConfigError, match=r"flight-other\.mcap: part 0 of flight 'flight-1', as .*flight-1\.mcap is"):
        read_episodes([log, copy])
    nameless = write_log(tmp_path / "flight-2.mcap", flight(1), flight="")
    with pytest.raises(ConfigError, match="part 0 of flight ''"):
        read_episodes([nameless, tmp_path / "copies" / ".." / "flight-2.mcap"])


def test_an_episode_knows_its_flight_by_the_name_in_the_log(tmp_path: Path) -> None:
    log = write_log(tmp_path / "flight-1.mcap", flight(0, 2.2), flight="first")
    _, episodes = read_episodes([log], longest=1.0)
    assert [episode.flight for episode in episodes] == ["first", "first"]
    assert [episode.flight for episode in cut_episodes(flight(0), JOINTS, "made up")] == ["made up"]


def test_parts_of_a_flight_are_one_flight_and_incidents_are_left_out(tmp_path: Path) -> None:
    frames = flight(0)
    write_log(tmp_path / "flight-b.mcap", frames[200:], flight="f", part=1)
    write_log(tmp_path / "flight-a.mcap", frames[:200], flight="f", part=0)
    incident = write_log(tmp_path / "incident-a.mcap", frames[:200], flight="f", kind="incident")
    _, episodes = read_episodes([tmp_path])
    assert [len(episode.wake_ns) for episode in episodes] == [400]
    with pytest.raises(ConfigError, match=r"incident-a\.mcap: an incident, which repeats"):
        read_episodes([incident])


def test_flights_of_another_arm_are_refused(tmp_path: Path) -> None:
    ours = write_log(tmp_path / "flight-1.mcap", flight(0))
    theirs = write_log(tmp_path / "flight-2.mcap", flight(0), arm=mirrored())
    with pytest.raises(ConfigError, match=r"flight-2.mcap: a flight of gripper, .*, wanted is shoulder_pan, .*: leave"):
        read_episodes([ours, theirs])
    with pytest.raises(ConfigError, match=r"flight-1.mcap: a flight of shoulder_pan.*, wanted is a, b"):
        read_episodes([ours], ("a", "b"))


def mirrored() -> object:
    """The arm with its joints the other way round."""
    arm = load_arm("so101_follower")
    return arm.model_copy(update={"joints": arm.joints[::-1]})


@pytest.mark.parametrize("field", ["position", "velocity", "goal_position", "requested_position"])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, field: str) -> None:
    frames = flight(0)
    frames[field][7, 3] = np.nan
    with pytest.raises(ConfigError, match=r"flight-1.mcap, episode 1: \w+ of joint 3 is nan in tick 7: leave it out"):
        read_episodes([write_log(tmp_path / "flight-1.mcap", frames)])


def test_while_the_arm_is_held_nothing_needs_to_be_asked_for(tmp_path: Path) -> None:
    frames = states(flight(0), (ControlState.HOLDING, 100, 120))
    frames["requested_position"][100:120] = np.nan
    assert len(read_episodes([write_log(tmp_path / "flight-1.mcap", frames)])[1]) == 1


def test_a_flight_that_the_monitor_stopped_is_not_nominal(tmp_path: Path) -> None:
    frames = flight(0)
    frames["verdict"][300] = VerdictLevel.STOP
    frames["reason"][300], frames["value"][300], frames["limit"][300] = 3, 2.0, 1.0
    path = write_log(tmp_path / "flight-1.mcap", frames)
    with pytest.raises(ConfigError, match=r"the monitor stopped the arm \(.* 2 against a limit of 1\): not a nominal"):
        read_episodes([path])
    assert len(read_episodes([path], nominal=False)[1]) == 1


def test_logs_without_an_episode_are_refused(tmp_path: Path) -> None:
    idle = states(flight(0), (ControlState.IDLE, 0, 400))
    with pytest.raises(ConfigError, match="no episode in which a policy moved the arm"):
        read_episodes([write_log(tmp_path / "flight-1.mcap", idle)])
    with pytest.raises(ConfigError, match="no path: no episode"):
        read_episodes([])
    with pytest.raises(ConfigError, match="no episode of 9 s"):
        read_episodes([write_log(tmp_path / "flight-2.mcap", flight(0))], longest=9.0)
