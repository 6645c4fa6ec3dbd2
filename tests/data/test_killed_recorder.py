"""A recorder that is killed at any moment, or that hits the limit of its file size, keeps what it had flushed."""

import random
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robot_mbrl.data.log_folder import FLIGHT_PATTERN
from robot_mbrl.data.reader import read_frames
from robot_mbrl.data.salvage import salvage, salvaged_path
from tests.data.flights import of_ticks

MOST_LOST = 100
"""Frames of 100 ms at 1 kHz."""


def start(folder: Path, counter: Path, largest_file: int | None = None) -> subprocess.Popen[bytes]:
    """Start a child that records, and wait until it has made its first frames."""
    counter.write_bytes(bytes(8))
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.data.endless_flight", str(folder), str(counter)], stdout=subprocess.PIPE
    )
    if largest_file is not None:
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (largest_file, largest_file))
    while made(counter) == 0:
        assert child.poll() is None
        time.sleep(0.01)
    return child


def made(counter: Path) -> int:
    """How many frames the child has made."""
    return int(struct.unpack("<q", counter.read_bytes())[0])


def kill(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL the child."""
    child.kill()
    child.communicate()


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_recorder_loses_at_most_100_ms(seed: int, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    child = start(tmp_path / "logs", counter)
    time.sleep(random.Random(seed).uniform(0.0, 0.3))
    kill(child)
    [log] = (tmp_path / "logs").glob(FLIGHT_PATTERN)
    report = salvage(log, salvaged_path(log))
    saved = of_ticks(read_frames(report.path))
    assert saved == list(range(len(saved)))
    assert 0 <= made(counter) - len(saved) <= MOST_LOST


def test_a_recorder_whose_files_may_not_grow_goes_on_counting(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    child = start(tmp_path / "logs", counter, largest_file=200_000)
    before = made(counter)
    while made(counter) < before + 20_000:
        assert child.poll() is None
        time.sleep(0.01)
    kill(child)
    logs = sorted((tmp_path / "logs").glob(FLIGHT_PATTERN))
    assert len(logs) > 1
    assert all(log.stat().st_size <= 200_000 for log in logs)
    assert all(len(read_frames(log)) > 0 for log in logs[:-1])
