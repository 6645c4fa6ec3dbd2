"""The status line of a run, and a terminal that is paused or stuck."""

import os
import pty
import select
import subprocess
import sys
import termios
from collections.abc import Iterator

import numpy as np
import pytest

from robot_mbrl.cli.pilot_seat import PilotSeat, status_line
from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, Record, empty
from robot_mbrl.contracts.types import VerdictLevel

PATIENCE = 60.0
"""How long a test waits for what must happen [s]."""
SEATED = """
import fcntl, sys, termios
from robot_mbrl.cli.pilot_seat import PilotSeat
from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.frame import FRAME_DTYPE, empty

def say(line):
    print(line, file=sys.stderr, flush=True)

fcntl.ioctl(0, termios.TIOCSCTTY, 0)
clock, keys = ManualClock(10**10), ""
with PilotSeat((), (), clock) as seat:
    say("seated")
    for _ in range(2000):
        clock.advance(1.0)
        seat.show(empty(FRAME_DTYPE))
    seat.tell("stopped")
    say("shown")
    while " " not in keys:
        keys += seat.pressed()
    say(repr(keys))
"""
"""Shows more than a terminal takes that nobody reads, then tells which keys it hears."""

CHECKS = ("joint_position", "tracking_error")
JOINTS = ("pan", "lift")


def frame() -> Record:
    record = empty(FRAME_DTYPE)
    record["joints"] = 2
    record["state"] = ControlState.RUNNING
    record["verdict"] = VerdictLevel.PASS
    record["speed_scale"] = 1.0
    record["velocity"][0, :2] = [0.25, -0.5]
    record["wake_ns"], record["deadline_ns"] = 1_000_120_000, 1_000_000_000
    record["missed_ticks"] = 3
    return record


def test_tells_state_speed_lateness_and_doubt() -> None:
    record = frame()
    line = status_line(record, CHECKS, JOINTS)
    for part in ("running", "pass", "scale 1.00", "disagreement -", "0.50 rad/s", "late 120 us", "missed 3"):
        assert part in line
    record["disagreement"] = 0.0421
    assert "disagreement 0.0421" in status_line(record, CHECKS, JOINTS)


def test_a_verdict_comes_with_its_check_joint_value_and_limit() -> None:
    record = frame()
    record["state"], record["verdict"] = ControlState.SLOWED, VerdictLevel.SLOW
    record["reason"], record["reason_joint"] = 1, 1
    record["value"], record["limit"] = 0.15, 0.12
    assert "slow (tracking_error lift: 0.15 against 0.12)" in status_line(record, CHECKS, JOINTS)
    record["reason"], record["reason_joint"] = 7, -1
    assert "slow (check 7: 0.15 against 0.12)" in status_line(record, CHECKS, JOINTS)


def test_before_the_first_estimate_there_is_no_speed() -> None:
    record = frame()
    record["velocity"] = np.nan
    assert "fastest joint 0.00 rad/s" in status_line(record, CHECKS, JOINTS)


def test_without_a_terminal_there_is_no_line_and_nobody_to_press_keys(capsys: pytest.CaptureFixture[str]) -> None:
    with PilotSeat(CHECKS, JOINTS, ManualClock(start_ns=10**10)) as seat:
        seat.show(frame())
        seat.tell("one line")
        assert not seat.present
        assert seat.pressed() == ""
    assert capsys.readouterr().out == "one line\n"


# -- a terminal that is paused or stuck ----------------------------------------------------------------------------


class Terminal:
    """A pseudoterminal with a pilot at it, whose output nobody reads before `leave`."""

    def __init__(self) -> None:
        self.screen, self.seat = pty.openpty()
        self.before = termios.tcgetattr(self.seat)
        self.process = subprocess.Popen(
            [sys.executable, "-c", SEATED],
            stdin=self.seat,
            stdout=self.seat,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )

    def line(self) -> str:
        """What the pilot says next, not by way of the terminal."""
        assert self.process.stderr is not None
        assert select.select([self.process.stderr], (), (), PATIENCE)[0], "the pilot is held up"
        return self.process.stderr.readline().decode().strip()

    def press(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.screen, keys)

    def leave(self) -> bytes:
        """Read all that there is, until the pilot has left."""
        output = b""
        while self.process.poll() is None or select.select([self.screen], (), (), 0.0)[0]:
            if select.select([self.screen], (), (), 0.01)[0]:
                output += os.read(self.screen, 1 << 16)
        return output

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        os.close(self.screen)
        os.close(self.seat)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    opened = Terminal()
    yield opened
    opened.close()


def test_keys_are_heard_while_the_terminal_takes_nothing(terminal: Terminal) -> None:
    assert terminal.line() == "seated"
    assert terminal.line() == "shown"
    terminal.press(b"q ")
    assert terminal.line() == "'q '"
    assert b"stopped\r\n" in terminal.leave(), "it waited until somebody looked"


def test_a_terminal_cannot_be_paused_until_the_pilot_leaves(terminal: Terminal) -> None:
    assert terminal.line() == "seated"
    assert not termios.tcgetattr(terminal.seat)[0] & termios.IXON
    terminal.press(b"\x13 ")
    assert terminal.line() == "shown"
    assert terminal.line() == "'\\x13 '"
    assert b"speed scale" in terminal.leave()
    assert termios.tcgetattr(terminal.seat) == terminal.before
    assert terminal.before[0] & termios.IXON
