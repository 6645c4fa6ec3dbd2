"""The wire time of a cycle, against bytes counted by hand from the protocols' pages."""

import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.runtime.bus_rate import TURNAROUND, check_rate, cycle_time


def test_so101() -> None:
    # Sync read 8 + 6; six answers of 6 + 6; sync write 8 + 6 (1 + 2); read 8; its answer 6 + 9.
    assert cycle_time(load_arm("so101_follower")) == pytest.approx(135 * 10e-6 + 7 * TURNAROUND)


def test_koch() -> None:
    # Sync read 14 + 6; six answers of 11 + 10; sync write 14 + 6 (1 + 4); voltage and temperature: read 14, answer
    # 11 + 3; bus watchdog: read 14, answer 11 + 1.
    assert cycle_time(load_arm("koch_follower")) == pytest.approx(244 * 10e-6 + 8 * TURNAROUND)


def test_a_slower_line_takes_longer() -> None:
    assert cycle_time(load_arm("so101_follower"), 115200) == pytest.approx(1350 / 115200 + 7 * TURNAROUND)


def test_a_rate_beyond_the_line_is_refused_with_the_highest_one_that_it_carries() -> None:
    arm = load_arm("so101_follower")
    check_rate(arm, 490.0)
    with pytest.raises(ConfigError, match=r"rate 500 Hz.*2\.02 ms.*at most 496 Hz"):
        check_rate(arm, 500.0)
    with pytest.raises(ConfigError, match="115200 baud"):
        check_rate(arm, 200.0, 115200)
