"""How `bench loop` reads cyclictest, counts what the machine imposes, and draws."""

from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.benchmarks import cyclictest, loop_histogram, loop_timing
from robot_mbrl.benchmarks.loop_timing import Window
from robot_mbrl.contracts.errors import ConfigError

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


def test_the_machine_imposes_what_a_late_wake_up_costs() -> None:
    """Of a tick of 1000 µs with 400 µs of work, 600 can be lost: 601 late costs a tick, 3601 late costs four."""
    windows = [
        Window(np.full(500, 3.0), np.full(500, 400.0), 4, 500),
        Window(np.ones(500), np.full(500, 400.0), 1, 400),
    ]
    theirs = np.array([5.0] * 92 + [600.0, 601.0, 3601.0])
    found = loop_timing.figures(windows, theirs, 1000.0, 100.0)
    assert (found["ticks"], found["missed_ticks"], found["running_ticks"]) == (1000, 5, 900)
    assert found["lateness_us"]["p100"] == 3.0
    assert found["cyclictest"]["imposed_ticks"] == 1 + 4
    assert found["missed_allowed"] == pytest.approx(1000 * (0.05 + 1e-5))


def test_without_cyclictest_there_is_nothing_to_compare_with() -> None:
    found = loop_timing.figures([Window(np.ones(10), np.ones(10), 0, 10)], None, 200.0)
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
