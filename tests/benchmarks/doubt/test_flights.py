"""Episodes for the doubt campaign: clear of everything, repeatable to the bit, and shifted from the onset on."""

from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.benchmarks.doubt import flights
from robot_mbrl.benchmarks.doubt.flights import NOMINAL, PROGRAM, SETTINGS, Passing, campaign_arm, fly, fly_all
from robot_mbrl.benchmarks.doubt.motions import CLEARANCE, SPEEDS, MotionDraw
from robot_mbrl.benchmarks.doubt.shifts import SHIFTS
from robot_mbrl.contracts.clock import to_ns
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import ControlState
from robot_mbrl.data.frame_codec import FrameArray
from robot_mbrl.drivers.arms import RAD_PER_TICK, load_arm
from robot_mbrl.policies.joint_space import SMOOTH_STEP_PEAK
from robot_mbrl.runtime.lockstep_flight import LockstepFlight
from robot_mbrl.sim.geometry import MujocoGeometry

ARM = load_arm("so101_follower")
SECONDS = 1.0
"""Of a test's episode."""
ONSET = 0.4


@pytest.fixture(scope="module")
def draw() -> MotionDraw:
    return MotionDraw(ARM)


def test_a_motion_is_clear_of_everything_and_no_faster_than_it_may_be(draw: MotionDraw) -> None:
    geometry = MujocoGeometry(ARM)
    start, trajectory = draw.draw(np.random.default_rng(3), 4.0)
    assert sum(waypoint.duration for waypoint in trajectory.waypoints) >= 4.0
    pose = start
    for waypoint in trajectory.waypoints:
        after = np.array([waypoint.position[name] for name in ARM.joint_names])
        assert SMOOTH_STEP_PEAK * np.abs(after - pose).max() / waypoint.duration <= SPEEDS[1] + 1e-9
        for share in np.linspace(0.0, 1.0, 12):
            assert geometry.clearance(pose + share * (after - pose)).distance > CLEARANCE
        pose = after


def test_a_motion_is_the_generators(draw: MotionDraw) -> None:
    first, again, other = (draw.draw(np.random.default_rng(seed), 2.0) for seed in (3, 3, 4))
    assert first.trajectory == again.trajectory
    assert first.trajectory != other.trajectory


def test_an_episode_is_flown_again_to_the_bit_and_kept(tmp_path: Path) -> None:
    flight = fly(NOMINAL, 1, 0.5)
    assert flight.onset_ns == -1
    assert set(flight.frames["state"].tolist()) == {ControlState.IDLE, ControlState.ARMED, ControlState.RUNNING}
    assert flight.frames.tobytes() == fly(NOMINAL, 1, 0.5).frames.tobytes()
    told: list[int] = []
    (kept,) = fly_all([(NOMINAL, 0)], tmp_path, 1, lambda: told.append(1))
    (found,) = fly_all([(NOMINAL, 0)], tmp_path, 1, lambda: told.append(2))
    assert told == [1]
    assert found.frames.tobytes() == kept.frames.tobytes()


def flown(draw: MotionDraw, kind: str | None) -> FrameArray:
    """A flight in which a shift sets in at `ONSET`; None for none."""
    motion = draw.draw(np.random.default_rng(3), SECONDS)
    arm, truth = campaign_arm()
    flight = LockstepFlight(arm, truth, motion.start, SETTINGS, Passing())

    def shift(time: float) -> None:
        if kind is not None and abs(time - ONSET) < 1e-9:
            SHIFTS[kind](flight, np.random.default_rng(0))

    return flight.fly(motion.policy(flight.space()), SECONDS, shift)


@pytest.fixture(scope="module")
def plain(draw: MotionDraw) -> FrameArray:
    return flown(draw, None)


def test_flights_of_another_program_are_not_mixed_with_these(tmp_path: Path) -> None:
    assert fly_all([], tmp_path, 1) == fly_all([], tmp_path, 1) == []
    (tmp_path / PROGRAM).write_text("0" * 64, encoding="utf-8")
    with pytest.raises(ConfigError, match="holds flights of a program whose files were others: give another folder"):
        fly_all([], tmp_path, 1)


@pytest.mark.parametrize("kind", sorted(SHIFTS))
def test_a_shift_changes_the_flight_from_its_onset_on(draw: MotionDraw, plain: FrameArray, kind: str) -> None:
    shifted = flown(draw, kind)
    begin = int(np.flatnonzero(plain["state"] == ControlState.RUNNING)[0] + round(ONSET * SETTINGS.loop.rate))
    count = min(len(shifted), len(plain))
    moved = np.abs(shifted["position"][:count] - plain["position"][:count])[:, : len(ARM.joints)]
    assert not moved[:begin].any()
    assert moved[begin:].max() > 2.0 * RAD_PER_TICK


def test_a_shifted_episode_tells_its_onset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "ONSETS", (0.2, 0.2001))
    shifted = fly("push", 0, 0.6)
    running = shifted.frames[shifted.frames["state"] == ControlState.RUNNING]
    assert shifted.onset_ns >= running["wake_ns"][0] + to_ns(0.19)
    assert shifted.onset_ns <= running["wake_ns"][-1]
