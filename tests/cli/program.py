"""The real program in a process of its own, and what a refusal must look like."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from robot_mbrl.cli import main
from robot_mbrl.commissioning.servo_search import UNHURRIED
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.drivers.arm_checks import install_calibration
from robot_mbrl.drivers.arms import RAD_PER_TICK, ArmDefinition, load_arm
from robot_mbrl.drivers.bus import ServoBus, open_bus
from robot_mbrl.drivers.calibration import nominal_calibration, save_calibration
from robot_mbrl.drivers.dialects import arm_servos
from robot_mbrl.drivers.torque import read_torque
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess

PROGRAM = Path(sys.executable).with_name("robot-mbrl")
PATIENCE = 120.0
"""A command that takes longer hangs [s]; no test waits that long for a healthy one."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(home: Path) -> dict[str, str]:
    """An environment in which nothing outside `home` is found or written."""
    kept = {name: value for name, value in os.environ.items() if name not in {"XDG_DATA_HOME", "FORCE_COLOR"}}
    return {**kept, "HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "COLUMNS": "120"}


def run(home: Path, *arguments: str, answers: str = "") -> Outcome:
    """Run `robot-mbrl` with `answers` on its standard input."""
    done = subprocess.run(
        [str(PROGRAM), *arguments],
        input=answers,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(home),
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def run_here(capture: pytest.CaptureFixture[str], *arguments: str) -> Outcome:
    """Run the program's own entry in this process, which saves its start."""
    capture.readouterr()
    code = main.run(list(arguments))
    streams = capture.readouterr()
    return Outcome(code, streams.out, streams.err)


def assert_one_line(outcome: Outcome, code: int, *parts: str) -> None:
    """The command ended with `code` and one line on standard error that holds all `parts`."""
    assert outcome.code == code, outcome
    lines = outcome.err.splitlines()
    assert len(lines) == 1, outcome
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]


@dataclass(frozen=True)
class Standing:
    """An emulated arm that runs, its definition and a calibration file that matches its servos."""

    process: VirtualArmProcess
    arm: ArmDefinition
    calibration: Path

    @property
    def port(self) -> str:
        """What to open."""
        return self.process.port

    def bus(self) -> ServoBus:
        """The arm's bus; the caller closes it."""
        return open_bus(self.port, self.arm.protocol, self.arm.baud, MonotonicClock(), UNHURRIED)

    def torque(self) -> list[bool]:
        """Which servos have torque."""
        bus = self.bus()
        try:
            return read_torque(bus, arm_servos(self.arm))
        finally:
            bus.close()

    def flags(self) -> tuple[str, ...]:
        """Options that name this arm."""
        return ("--port", self.port, "--arm", self.arm.name, "--calibration", str(self.calibration))


def calibrate(process: VirtualArmProcess, name: str, path: Path) -> Standing:
    """Give an emulated arm the nominal calibration, in its servos and in the file `path`."""
    standing = Standing(process, load_arm(name), path)
    calibration = nominal_calibration(standing.arm)
    bus = standing.bus()
    try:
        install_calibration(bus, standing.arm, calibration)
    finally:
        bus.close()
    save_calibration(path, calibration)
    return standing


class Untouched:
    """Watches that an emulated arm neither moves nor changes its torque, by its control socket and not by its bus.

    Use as a context manager.
    """

    def __init__(self, standing: Standing) -> None:
        self._standing = standing

    def __enter__(self) -> None:
        self._before = self._standing.process.control.truth()

    def __exit__(self, *_: object) -> None:
        after = self._standing.process.control.truth()
        assert np.abs(after.position - self._before.position).max() <= RAD_PER_TICK
        assert after.torque.tolist() == self._before.torque.tolist()
