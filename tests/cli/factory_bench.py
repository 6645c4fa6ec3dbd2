"""Somebody at a workbench: connects one emulated servo at a time when `setup-motors` asks for it."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.config import BusSettings
from robot_mbrl.contracts.errors import BusTimeout
from robot_mbrl.drivers.bus import open_bus
from tests.cli.program import PROGRAM, Standing, environment

PROMPT = "press Enter. "
ATTEMPTS = 50


def set_up(standing: Standing, home: Path, arguments: Sequence[str], joints: Sequence[str]) -> int:
    """Run `setup-motors` and connect the servo of each of `joints` alone, in turn; returns the exit code."""
    process = subprocess.Popen(
        [str(PROGRAM), *arguments],
        env=environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    connected = ""
    for joint in joints:
        heard = ""
        while not heard.endswith(PROMPT):
            letter = process.stdout.read(1)
            assert letter, f"ended after {heard!r}"
            heard += letter
        assert joint in heard
        if connected:
            standing.process.control.fault({"fault": "disconnect", "servo": connected})
        standing.process.control.fault({"fault": "connect", "servo": joint})
        connected = joint
        await_servo(standing, 1)
        process.stdin.write("\n")
    process.communicate()
    standing.process.control.fault({"fault": "disconnect", "servo": connected})
    return process.returncode


def await_servo(standing: Standing, servo_id: int) -> None:
    """Return when a servo has started and answers."""
    bus = open_bus(standing.port, standing.arm.protocol, standing.arm.baud, MonotonicClock(), BusSettings(margin=0.1))
    try:
        for _ in range(ATTEMPTS):
            try:
                bus.ping(servo_id, retries=0)
            except BusTimeout:
                continue
            return
        raise AssertionError(f"servo {servo_id} does not start")
    finally:
        bus.close()
