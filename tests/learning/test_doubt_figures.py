"""What thresholds are worth, counted by hand on episodes whose scores are known."""

import math
from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.contracts.monitor_settings import Grades, UncertaintySettings
from robot_mbrl.learning.doubt_figures import (
    COVERAGES,
    Detection,
    ShiftedGroup,
    coverage,
    detect,
    false_stops,
    ratios,
    standardized_errors,
)
from robot_mbrl.learning.flight_episodes import cut_episodes
from robot_mbrl.learning.monitor_calibration import ScoredEpisode
from robot_mbrl.policies.onnx_ensemble import OnnxEnsemble
from tests.learning.lagging_arm import JOINTS, VARIANCE, flight, write_model

TICK_NS = 10_000_000
THRESHOLDS = UncertaintySettings(
    disagreement=Grades(stop=0.5, persistence=0.02), residual=Grades(stop=2.0, persistence=0.02)
)


def scored(residual: list[float], disagreement: float = 0.1) -> ScoredEpisode:
    stamps = np.arange(len(residual), dtype=np.int64) * TICK_NS
    return ScoredEpisode("", "", stamps, np.full(len(residual), disagreement), np.array(residual))


QUIET = scored([1.0] * 10)
LOUD = scored([1.0] * 4 + [3.0] * 6)
"""Above its threshold from 40 ms on, and so stopped at 60 ms."""


def test_stops_are_counted_from_the_onset_and_those_before_it_apart() -> None:
    group = ShiftedGroup("slip", [LOUD, LOUD, QUIET], [3 * TICK_NS, 7 * TICK_NS, 0])
    found = detect(group, [QUIET, QUIET], THRESHOLDS)
    assert (found.episodes, found.early, found.stopped) == (3, 1, 1)
    assert found.delays == pytest.approx((0.03,))
    assert found.stop_rate == 0.5
    assert math.isinf(found.median_delay)
    # Two of three episodes score above every nominal one, the third the same.
    assert found.auroc["residual"] == pytest.approx((2 + 0.5) / 3)
    assert found.auroc["disagreement"] == 0.5
    assert found.auroc["either"] == pytest.approx((2 + 0.5) / 3)
    assert false_stops([QUIET, LOUD], THRESHOLDS) == 1


def test_scores_are_told_in_terms_of_their_thresholds() -> None:
    assert ratios([QUIET, LOUD, scored([1.0] * 10, 0.6)], THRESHOLDS) == pytest.approx([0.5, 1.5, 1.2])
    assert ratios([LOUD], THRESHOLDS, ("disagreement",)) == pytest.approx([0.2])
    with pytest.raises(ConfigError, match="no stop for disagreement"):
        ratios([QUIET], UncertaintySettings(residual=Grades(stop=1.0)))


@pytest.mark.parametrize(
    ("delays", "episodes", "early", "median"),
    [
        ((0.3, 0.1, 0.2), 3, 0, 0.2),
        ((0.3, 0.1), 2, 0, 0.2),
        ((0.3, 0.1), 3, 0, 0.3),
        ((0.3, 0.1), 3, 1, 0.2),
        ((0.3, 0.1), 5, 0, math.inf),
        ((), 2, 0, math.inf),
    ],
)
def test_the_median_counts_what_was_never_stopped(
    delays: tuple[float, ...], episodes: int, early: int, median: float
) -> None:
    found = Detection("", episodes, {}, early, len(delays), delays)
    assert found.median_delay == pytest.approx(median)


def test_the_coverages_are_the_gaussians() -> None:
    for share, deviations in COVERAGES.items():
        assert math.erf(deviations / math.sqrt(2.0)) == pytest.approx(share, abs=1e-12)
    errors = np.array([[0.1, 3.0], [-0.5, 0.2], [0.7, -0.6], [-2.0, 0.0]])
    assert coverage(errors, COVERAGES[0.5]).tolist() == [0.5, 0.75]


def test_errors_are_counted_in_predicted_deviations(tmp_path: Path) -> None:
    ensemble = OnnxEnsemble(write_model(tmp_path / "model.onnx"))
    (episode,) = cut_episodes(flight(0, 2.0), JOINTS, "flight")
    errors = standardized_errors([episode, episode], ensemble, stride=7)
    assert errors.shape == (2 * len(range(0, 390, 7)), 2 * JOINTS)
    first = ensemble.step(np.hstack([episode.position[0], episode.velocity[0]]), episode.held[10])
    off = (episode.position[10, 0] - first.mean[0]) / math.sqrt(VARIANCE)
    assert errors[0, 0] == pytest.approx(off, rel=1e-3, abs=1e-3)
