"""The campaign: fly, train the monitor's model, calibrate its thresholds, and see what they are worth.

Nominal episodes are drawn apart for training, for the thresholds and for the test of the promise. Everything is kept
in one folder and found there again, so that a campaign that was interrupted goes on where it was.

    python -m robot_mbrl.benchmarks.doubt.campaign --folder doubt [--workers 2] [--json]
"""

import argparse
import itertools
import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from robot_mbrl.benchmarks.doubt.flights import ARM, NOMINAL, SETTINGS, Flight, Job, fly_all
from robot_mbrl.benchmarks.doubt.shifts import SHIFTS
from robot_mbrl.contracts.clock import NANOSECONDS
from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.contracts.monitor_settings import MonitorThresholds
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.learning.detection import wilson_interval
from robot_mbrl.learning.doubt_figures import COVERAGES, ShiftedGroup, coverage, false_stops, standardized_errors
from robot_mbrl.learning.flight_episodes import FlightEpisode, cut_episodes
from robot_mbrl.learning.monitor_calibration import (
    CalibrationSettings,
    ScoredEpisode,
    calibrate_thresholds,
    check_enough,
    score_episode,
)
from robot_mbrl.learning.monitor_model import MonitorModelSettings, train_monitor_model
from robot_mbrl.learning.monitor_report import Calibration, save_report
from robot_mbrl.policies.ensemble_file import model_digest
from robot_mbrl.policies.model_watch import ModelWatch
from robot_mbrl.policies.onnx_ensemble import OnnxEnsemble

ENSEMBLE: Final = "ensemble.onnx"
THRESHOLDS: Final = "thresholds.yaml"
REPORT: Final = "doubt.html"
FIGURES: Final = "doubt.json"
MODEL: Final = MonitorModelSettings(stride=2)

Ticks = Callable[[str, int, int], None]
"""Told what is being done, how many parts of it are done, and how many there are."""


@dataclass(frozen=True, slots=True)
class Size:
    """How many episodes of each kind.

    Attributes:
        train: nominal ones that the model is trained on.
        calibrate: nominal ones that the thresholds are taken from.
        test: nominal ones that the promise is tested on.
        shifted: of each shift.
    """

    train: int = 150
    calibrate: int = 210
    test: int = 500
    shifted: int = 20


def measure(
    folder: Path,
    size: Size,
    settings: CalibrationSettings,
    workers: int,
    progress: Ticks = lambda _what, _done, _total: None,
) -> dict[str, Any]:
    """Run the campaign in `folder` and return its figures, which also lie there, with the report.

    Raises:
        ConfigError: fewer episodes than the promise needs.
        RobotMbrlError: the arm could not be flown.
    """
    check_enough(size.calibrate, settings)
    arm = load_arm(ARM)
    train, calibrate, test, shifted = jobs(size)
    every = [*train, *calibrate, *test, *shifted]
    counter = itertools.count(1)
    flights = fly_all(every, folder / "flights", workers, lambda: progress("flying", next(counter), len(every)))
    flown = [episode for flight in flights for episode in _episodes(flight, len(arm.joints))]
    ensemble_path = folder / ENSEMBLE
    if not ensemble_path.exists():
        epochs = MODEL.ensemble.epochs
        train_monitor_model(
            ensemble_path,
            arm.joint_names,
            flown[: size.train],
            MODEL,
            lambda report: progress("training", report.epoch, epochs),
        )
    ensemble = OnnxEnsemble(ensemble_path)
    watch = ModelWatch(ensemble, arm.joint_names)
    judged = flown[size.train :]
    scored = []
    for number, episode in enumerate(judged, start=1):
        scored.append(score_episode(episode, watch))
        progress("scoring", number, len(judged))
    nominal, rest = scored[: size.calibrate], scored[size.calibrate :]
    thresholds = calibrate_thresholds(nominal, settings, model_digest(ensemble_path))
    (folder / THRESHOLDS).write_text(dump_settings(MonitorThresholds(uncertainty=thresholds)), encoding="utf-8")
    calibration = Calibration(
        arm=f"{ARM}, emulated",
        joint_names=arm.joint_names,
        settings=settings,
        thresholds=thresholds,
        calibrated=nominal,
        tested=rest[: size.test],
        shifted=groups(flights[-len(shifted) :], rest[size.test :]),
        errors=standardized_errors(flown[size.train : size.train + size.calibrate], ensemble),
    )
    save_report(folder / REPORT, calibration)
    figures = _figures(calibration, flights[-len(shifted) :], size)
    (folder / FIGURES).write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return figures


def jobs(size: Size) -> tuple[list[Job], list[Job], list[Job], list[Job]]:
    """Nominal episodes to train on, to calibrate with and to test on, no seed twice; and shifted ones."""
    edges = (0, size.train, size.train + size.calibrate, size.train + size.calibrate + size.test)
    train, calibrate, test = (
        [(NOMINAL, seed) for seed in range(begin, end)] for begin, end in itertools.pairwise(edges)
    )
    return train, calibrate, test, [(kind, seed) for kind in SHIFTS for seed in range(size.shifted)]


def _episodes(flight: Flight, joints: int) -> list[FlightEpisode]:
    """The one episode of a flight."""
    return list(cut_episodes(flight.frames, joints, f"{flight.kind} {flight.seed}"))[:1]


def groups(flights: Sequence[Flight], scored: Sequence[ScoredEpisode]) -> list[ShiftedGroup]:
    """The shifted episodes by kind; one whose shift never set in is no shifted episode."""
    groups = []
    for kind in SHIFTS:
        pairs = [
            (episode, flight.onset_ns)
            for flight, episode in zip(flights, scored, strict=True)
            if flight.kind == kind and flight.onset_ns >= 0
        ]
        groups.append(ShiftedGroup(kind, [episode for episode, _ in pairs], [onset for _, onset in pairs]))
    return groups


def _figures(calibration: Calibration, shifted: Sequence[Flight], size: Size) -> dict[str, Any]:
    count = false_stops(calibration.tested, calibration.thresholds)
    kinds = {}
    for found in calibration.detections():
        flights = [flight for flight in shifted if flight.kind == found.name and flight.onset_ns >= 0]
        kinds[found.name] = {
            "episodes": found.episodes,
            "auroc": found.auroc,
            "stopped_by_doubt": found.stop_rate,
            "interval": wilson_interval(found.stopped, found.episodes - found.early),
            "stopped_before_onset": found.early,
            "median_delay": found.median_delay if math.isfinite(found.median_delay) else None,
            **without_model(flights),
        }
    return {
        "rate": SETTINGS.loop.rate,
        "size": asdict(size),
        "alpha": calibration.settings.alpha,
        "persistence": calibration.settings.persistence,
        "thresholds": calibration.thresholds.model_dump(mode="json"),
        "false_stops": count,
        "false_stop_rate": count / max(size.test, 1),
        "false_stop_interval": wilson_interval(count, size.test),
        "coverage": {f"{share:g}": float(coverage(calibration.errors, z).mean()) for share, z in COVERAGES.items()},
        "shifts": kinds,
    }


def without_model(flights: Sequence[Flight]) -> dict[str, Any]:
    """What the arm's own checks make of the same flights."""
    delays = sorted(
        (flight.checked_ns - flight.onset_ns) / NANOSECONDS
        for flight in flights
        if flight.checked_ns >= flight.onset_ns
    )
    return {
        "stopped_by_other_checks": len(delays) / max(len(flights), 1),
        "median_delay_of_those": statistics.median(delays) if delays else None,
        "other_checks": sorted({flight.check for flight in flights if flight.check}),
    }


def table(figures: dict[str, Any]) -> str:
    """`measure`'s figures as lines of text."""
    low, high = figures["false_stop_interval"]
    size = figures["size"]
    lines = [
        f"{figures['false_stops']} of {size['test']} nominal episodes stopped: {figures['false_stop_rate']:.2%} "
        f"(95 %: {low:.2%} to {high:.2%}), promised at most {figures['alpha']:.2%} from {size['calibrate']} episodes",
        "predicted variance: "
        + ", ".join(f"{float(share):.0%} interval holds {held:.1%}" for share, held in figures["coverage"].items()),
        f"{'shift':24} {'n':>4} {'AUROC':>6} {'stopped':>8} {'95 % interval':>15} {'delay':>8}   other checks",
    ]
    for name, row in figures["shifts"].items():
        low, high = row["interval"]
        other = f"{row['stopped_by_other_checks']:.0%}"
        if row["median_delay_of_those"] is not None:
            other += f" after {_milliseconds(row['median_delay_of_those'])}, by {', '.join(row['other_checks'])}"
        lines.append(
            f"{name:24} {row['episodes']:4} {row['auroc']['either']:6.3f} {row['stopped_by_doubt']:8.0%} "
            f"{f'{low:.0%} to {high:.0%}':>15} {_milliseconds(row['median_delay']):>8}   {other}"
        )
    return "\n".join(lines)


def _milliseconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds * 1e3:.0f} ms"


def main() -> None:
    """Print the table or, with `--json`, the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=Path("doubt"), help="where everything is kept")
    parser.add_argument("--workers", type=int, default=2, help="processes that fly")
    parser.add_argument("--test", type=int, default=Size().test, help="nominal episodes to test the promise on")
    parser.add_argument("--shifted", type=int, default=Size().shifted, help="episodes of each shift")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size = Size(test=arguments.test, shifted=arguments.shifted)
    figures = measure(arguments.folder, size, CalibrationSettings(), arguments.workers)
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
