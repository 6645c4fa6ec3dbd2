"""An emulated arm with a calibration, and what tests ask of its truth."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from robot_mbrl.contracts.config import BusSettings, RobotSettings
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess
from tests.cli.program import Standing, calibrate

PATIENCE = 60.0
"""How long a test waits for something that must happen [s]; nothing is judged by how long it takes."""
AT_REST = 0.05
"""[rad/s]; a joint that is slower rests."""


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until `holds()`."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"did not happen: {what}"
        time.sleep(0.01)


@contextmanager
def standing_arm(folder: Path, arm: str = "so101_follower") -> Iterator[Standing]:
    """A calibrated arm, limp on its stops."""
    with VirtualArmProcess(arm, link=folder / "port") as process:
        yield calibrate(process, arm, folder / "calibration.yaml")


def robot_settings(standing: Standing) -> RobotSettings:
    """The arm as a driver is told of it; patient, as tests share their computer with others."""
    return RobotSettings(
        arm=standing.arm.name,
        port=standing.port,
        calibration=standing.calibration,
        bus=BusSettings(margin=0.02),
        watchdog=0.0,
    )


def speed(standing: Standing) -> float:
    """Of the fastest joint, in the physics [rad/s]."""
    return float(np.abs(standing.process.control.truth().velocity).max())


def moves(standing: Standing) -> bool:
    """Whether a joint moves."""
    return speed(standing) > AT_REST


def stays_at_rest(standing: Standing) -> None:
    """Come to rest, and stay there for half a second of the arm's own time."""
    until(lambda: not moves(standing), "the arm rests")
    rested = standing.process.control.truth()
    until(lambda: standing.process.control.truth().time > rested.time + 0.5, "the arm's time goes on")
    assert np.abs(standing.process.control.truth().position - rested.position).max() < 0.02
