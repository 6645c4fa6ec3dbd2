"""The campaign's bookkeeping: which episodes serve to what, and how its figures read."""

from typing import Any

import numpy as np

from robot_mbrl.benchmarks.doubt.campaign import Size, groups, jobs, table, without_model
from robot_mbrl.benchmarks.doubt.flights import NOMINAL, Flight
from robot_mbrl.benchmarks.doubt.shifts import SHIFTS
from robot_mbrl.data.reader import no_frames
from robot_mbrl.learning.monitor_calibration import ScoredEpisode


def flight(kind: str, seed: int, onset: float = 1.0, checked: float | None = None) -> Flight:
    stop = -1 if checked is None else round(checked * 1e9)
    return Flight(kind, seed, no_frames(), round(onset * 1e9), stop, "" if checked is None else "tracking_error")


def test_no_nominal_episode_serves_twice() -> None:
    train, calibrate, test, shifted = jobs(Size(train=3, calibrate=2, test=4, shifted=2))
    assert [len(part) for part in (train, calibrate, test, shifted)] == [3, 2, 4, 2 * len(SHIFTS)]
    assert len({*train, *calibrate, *test}) == 9
    assert all(kind == NOMINAL for kind, _ in (*train, *calibrate, *test))


def test_an_episode_whose_shift_never_set_in_is_no_shifted_episode() -> None:
    flights = [flight("push", 0), flight("push", 1, onset=-1e-9), flight("stuck joint", 0)]
    nothing = np.array([], np.int64)
    episodes = [ScoredEpisode(str(number), "", nothing, np.array([]), np.array([])) for number in range(3)]
    found = {group.name: [episode.source for episode in group.episodes] for group in groups(flights, episodes)}
    assert found["push"] == ["0"]
    assert found["stuck joint"] == ["2"]
    assert found["backlash x4"] == []


def test_the_arms_own_checks_count_from_the_onset() -> None:
    flights = [flight("push", 0, 1.0, 1.3), flight("push", 1, 1.0, 1.1), flight("push", 2, 1.0), flight("push", 3)]
    found = without_model(flights)
    assert found["stopped_by_other_checks"] == 0.5
    assert found["other_checks"] == ["tracking_error"]
    assert abs(found["median_delay_of_those"] - 0.2) < 1e-9


def test_the_table_tells_what_was_promised_and_what_came_of_it() -> None:
    row: dict[str, Any] = {
        "episodes": 20,
        "auroc": {"either": 0.987, "disagreement": 0.5, "residual": 0.98},
        "stopped_by_doubt": 0.95,
        "interval": (0.76, 0.99),
        "stopped_before_onset": 0,
        "median_delay": 0.168,
        "stopped_by_other_checks": 0.0,
        "median_delay_of_those": None,
        "other_checks": [],
    }
    figures: dict[str, Any] = {
        "size": {"test": 500, "calibrate": 210},
        "alpha": 0.01,
        "false_stops": 4,
        "false_stop_rate": 0.008,
        "false_stop_interval": (0.003, 0.02),
        "coverage": {"0.5": 0.55},
        "shifts": {"push": row, "payload 50 g": row | {"median_delay": None}},
    }
    lines = table(figures).splitlines()
    assert (
        "4 of 500 nominal episodes stopped: 0.80% (95 %: 0.30% to 2.00%), promised at most 1.00% from 210" in lines[0]
    )
    assert "50% interval holds 55.0%" in lines[1]
    assert lines[3].split() == ["push", "20", "0.987", "95%", "76%", "to", "99%", "168", "ms", "0%"]
    assert "never" in lines[4]
