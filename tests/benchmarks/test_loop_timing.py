"""How `bench loop` reads cyclictest, counts what the machine imposes, and draws."""

import uuid
from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.benchmarks import cyclictest, loop_histogram, loop_timing
from robot_mbrl.benchmarks.loop_timing import Floor, Pilot, Window, reach
from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.frame import ControlState, Request
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.channels import Session
from robot_mbrl.runtime.control_process import build_loop, open_robot
from robot_mbrl.runtime.settings import DeploySettings, LoopSettings, TwinSettings

PRINTED = """# /dev/cpu_dma_latency set to 0us
# Histogram
000000 000000
000012 000002
000013 000003
000049 000000
# Total: 000000005
# Min Latencies: 00012
# Avg Latencies: 00300
# Max Latencies: 61160
# Histogram Overflows: 00002
# Histogram Overflow at cycle number:
# Thread 0: 00086 00150
"""


def test_cyclictests_histogram_is_read_whole() -> None:
    assert cyclictest.parse(PRINTED).tolist() == [12, 12, 13, 13, 13, cyclictest.LONGEST, 61160]


def test_output_without_overflows_is_an_error() -> None:
    with pytest.raises(ConfigError, match="Histogram Overflows"):
        cyclictest.parse("000001 000002\n")


def test_what_may_be_missed_is_what_the_machine_imposes_and_one_in_a_hundred_thousand() -> None:
    windows = [
        Window(np.full(500, 3.0), np.full(500, 400.0), 4, 500),
        Window(np.ones(500), np.full(500, 400.0), 1, 400),
    ]
    floor = [Floor(np.array([5.0, 7.0]), np.full(20, 700.0), 0.5), Floor(np.array([6.0]), np.zeros(5), 0.5)]
    found = loop_timing.figures(windows, floor, 1000.0)
    assert (found["ticks"], found["missed_ticks"], found["running_ticks"]) == (1000, 5, 900)
    assert (found["lateness_us"]["p100"], found["cyclictest"]["lateness_us"]["p100"]) == (3.0, 7.0)
    assert found["cyclictest"]["imposed_ticks"] == pytest.approx(10.0, abs=0.2)
    assert found["missed_allowed"] == pytest.approx(10.0 + 0.01, abs=0.2)


def test_windows_that_follow_each_other_do_not_walk_the_joint_to_its_limit() -> None:
    start = 0.0
    for seconds in np.random.default_rng(0).uniform(0.5, 20.0, 100):
        angles = [loop_timing.swing(start, time) for time in np.linspace(0.0, seconds, 200)]
        assert angles[0] == start
        assert max(map(abs, angles)) <= loop_timing.SWING
        start = angles[-1]


def test_without_cyclictest_there_is_nothing_to_compare_with() -> None:
    found = loop_timing.figures([Window(np.ones(10), np.ones(10), 0, 10)], [], 200.0)
    assert found["cyclictest"] is None
    text = loop_timing.table({"arm": {**found, "refused": ["no spoon"], "histogram": "bars"}})
    assert "missed ticks   0 of 10" in text
    assert "no spoon" in text
    assert "cyclictest" not in text


def test_every_wake_up_is_in_one_bin() -> None:
    lateness = np.array([-1.0, 0.0, 0.9, 1.0, 19.9, 20.0, 1e6])
    counts = loop_histogram.counts(lateness)
    assert counts.sum() == len(lateness)
    assert counts[0] == 3
    assert counts[-1] == 1


def test_a_single_late_wake_up_is_seen_beside_a_million() -> None:
    lateness = np.concatenate([np.zeros(1_000_000), [30_000.0]])
    lines = loop_histogram.text("title", {"ours": lateness}).splitlines()
    assert lines[0] == "title"
    assert lines[-1].split() == ["20000..50000", "1", "#" * 2]
    assert lines[2].count("#") == 30


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    path = tmp_path / "loop.png"
    loop_histogram.draw(
        path, {"one": {"ours": np.arange(100.0)}, "two": {"ours": np.ones(3), "cyclictest": np.ones(5)}}
    )
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_loop_that_was_stopped_is_reset_before_it_is_measured() -> None:
    settings = DeploySettings(session=uuid.uuid4().hex, robot=TwinSettings(), loop=LoopSettings(rate=100.0))
    arm, clock = load_arm(settings.robot.arm), ManualClock()
    robot, _ = open_robot(settings, arm, clock)
    robot.connect()
    with Session(settings.session) as session:
        loop = build_loop(settings, robot, arm, session, clock)
        pilot = Pilot(session, robot.goal_position, settings.loop.policy_rate, clock)
        reach(loop, pilot, Request.ARM, ControlState.ARMED)
        reach(loop, pilot, Request.RUN, ControlState.RUNNING)
        reach(loop, pilot, Request.STOP, ControlState.STOPPED)
        reach(loop, pilot, Request.RUN, ControlState.RUNNING)
        clock.advance(2.0 * settings.loop.missed_limit)
        loop.tick()
        assert loop.state is ControlState.FAULT
        reach(loop, pilot, Request.RUN, ControlState.RUNNING)
        loop.leave()
        loop.run()
    robot.close()
