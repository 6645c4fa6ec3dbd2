"""The measurement of a pty's delivery time ends, whatever the client does."""

import sys

import pytest

from robot_mbrl.drivers.virtual.pty_latency import delivery_time_ns


def test_what_is_measured_is_a_time_and_not_reported() -> None:
    told: list[str] = []
    assert delivery_time_ns(told.append) > 0
    assert told == []


@pytest.mark.parametrize(
    ("script", "patience", "samples"),
    [
        ("raise SystemExit(1)", 30.0, 0),
        ("import time; time.sleep(60)", 0.2, 0),
        ("import os, struct, time; os.write(1, struct.pack('q', time.monotonic_ns()) * 3); time.sleep(60)", 3.0, 3),
    ],
    ids=["dies", "hangs", "ceases"],
)
def test_a_client_that_does_not_write_is_given_up(script: str, patience: float, samples: int) -> None:
    told: list[str] = []
    assert delivery_time_ns(told.append, (sys.executable, "-I", "-S", "-c", script), patience) == 0
    assert len(told) == 1
    assert f"could not be measured ({samples} of 50 samples" in told[0]
