"""The recorder's benchmark: small runs give figures that add up."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.benchmarks.frame_feeder import motion
from robot_mbrl.benchmarks.recorder_cost import RATE, kill_once, measure_cost, processor_seconds, table


def test_processor_time_is_what_this_process_used() -> None:
    before, began = processor_seconds(os.getpid()), time.process_time()
    while time.process_time() - began < 0.1:
        pass
    assert processor_seconds(os.getpid()) - before == pytest.approx(time.process_time() - began, abs=0.03)


def test_a_short_run_and_a_kill_give_figures(tmp_path: Path) -> None:
    cost = measure_cost(tmp_path / "cost", 0.5)
    assert cost["sent"] > 0
    assert cost["lost"] == 0
    assert cost["share_of_tick"] == pytest.approx(cost["send_p50"] * RATE)
    loss = kill_once(tmp_path / "kill", 1, 0.3)
    assert loss >= 0.0
    kills = {"trials": 1, "lost_p50": loss, "lost_max": loss, "over_bound": 0}
    assert f"{cost['sent']} sent, 0 lost" in table({"cost": cost, "kills": kills})
    assert not list(Path("/dev/shm").glob(f"*bench-recorder-{os.getpid()}-*"))


def test_the_fed_frames_are_not_all_the_same() -> None:
    frames = motion(np.random.default_rng(0))
    assert len({frame.tobytes() for frame in frames}) == len(frames)
