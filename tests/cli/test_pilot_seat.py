"""The status line of a run."""

import numpy as np
import pytest

from robot_mbrl.cli.pilot_seat import PilotSeat, status_line
from robot_mbrl.contracts.clock import ManualClock
from robot_mbrl.contracts.frame import FRAME_DTYPE, ControlState, Record, empty
from robot_mbrl.contracts.types import VerdictLevel

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
