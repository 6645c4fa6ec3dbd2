"""All that a user can get wrong: one line that names the thing, the value and the remedy; nothing moves or changes."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from robot_mbrl.contracts.config import dump_settings
from robot_mbrl.drivers.arms import load_arm
from robot_mbrl.drivers.calibration import nominal_calibration
from robot_mbrl.drivers.feetech.sts3215 import STS3215
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess
from tests.cli.program import Outcome, Standing, Untouched, assert_one_line, calibrate, environment, run, run_here

NOBODY = 65534
AS_NOBODY = f"""
import os, sys
from robot_mbrl.cli import main, scan
if os.getuid() == 0:
    os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
sys.exit(main.run(sys.argv[1:]))
"""
"""The program under a user without rights; imported first, as that user may not even read the program."""

MOVE = ("--joint", "shoulder_pan", "--to", "0.2", "--yes")


Capture = pytest.CaptureFixture[str]


def move(standing: Standing, capture: Capture, *flags: str) -> Outcome:
    """Try to move a joint of `standing`; later flags win over earlier ones."""
    return run_here(capture, "move", *standing.flags(), *MOVE, *flags)


def scan(standing: Standing, capture: Capture, ids: str) -> Outcome:
    """Look for some IDs, patiently."""
    return run_here(capture, "scan", "--port", standing.port, "--protocol", "feetech", "--ids", ids, "--margin", "0.1")


@contextmanager
def altered(folder: Path, joint: str, address: int, data: bytes) -> Iterator[Standing]:
    """An SO-101 that was calibrated and one of whose servos then got other permanent memory."""
    link, state, calibration = folder / "port", folder / "eeprom.json", folder / "calibration.yaml"
    with VirtualArmProcess("so101_follower", link=link, state=state) as process:
        calibrate(process, "so101_follower", calibration)
    memory = json.loads(state.read_text(encoding="utf-8"))
    changed = bytearray.fromhex(memory[joint])
    changed[address : address + len(data)] = data
    state.write_text(json.dumps({**memory, joint: changed.hex()}), encoding="utf-8")
    with VirtualArmProcess("so101_follower", link=link, state=state) as process:
        yield Standing(process, load_arm("so101_follower"), calibration)


# -- the port ---------------------------------------------------------------------------------------------------


def test_no_such_port(capsys: Capture, so101: Standing) -> None:
    with Untouched(so101):
        assert_one_line(move(so101, capsys, "--port", "/dev/ttyNONE"), 5, "/dev/ttyNONE", "does not exist", "cable")


def test_no_permission(tmp_path: Path) -> None:
    controller, device = pty.openpty()
    name = os.ttyname(device)
    os.chmod(name, 0o600 if os.getuid() == 0 else 0)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, "scan", "--port", name],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        check=False,
    )
    os.close(controller)
    os.close(device)
    assert_one_line(Outcome(done.returncode, done.stdout, done.stderr), 5, name, "may not be opened", "dialout")


def test_port_held_by_another_process(so101: Standing, tmp_path: Path) -> None:
    with Untouched(so101):
        bus = so101.bus()
        try:
            outcome = run(tmp_path, "move", *so101.flags(), *MOVE)
        finally:
            bus.close()
    assert_one_line(outcome, 5, so101.port, "another process", "fuser")


def test_not_a_serial_port(capsys: Capture, so101: Standing) -> None:
    assert_one_line(move(so101, capsys, "--port", "/dev/null"), 5, "/dev/null", "not a serial port")


# -- the servos -------------------------------------------------------------------------------------------------


def test_wrong_baud_rate(capsys: Capture, so101: Standing, tmp_path: Path) -> None:
    slow = tmp_path / "slow.yaml"
    slow.write_text(dump_settings(so101.arm.model_copy(update={"baud": 115200})), encoding="utf-8")
    with Untouched(so101):
        assert_one_line(move(so101, capsys, "--arm", str(slow)), 6, so101.port, "baud")


def test_nobody_answers_a_scan(capsys: Capture, so101: Standing) -> None:
    with Untouched(so101):
        outcome = scan(so101, capsys, "100-105")
    assert_one_line(outcome, 6, "no servo answers", "100 to 105", "check power", "--baud all")


def test_a_servo_is_missing(capsys: Capture, so101: Standing) -> None:
    with Untouched(so101):
        so101.process.control.fault({"fault": "drop", "servo": "elbow_flex"})
        outcome = move(so101, capsys)
        so101.process.control.clear()
    assert_one_line(outcome, 6, "elbow_flex (ID 3)", "cable", "robot-mbrl scan")


def test_two_servos_with_one_id(capsys: Capture, tmp_path: Path) -> None:
    with altered(tmp_path, "wrist_roll", STS3215["id"].address, b"\x04") as arm:
        bus = arm.bus()
        bus.write_register(arm.arm.joints[0].id, STS3215["torque_enable"], 1)
        bus.close()
        with Untouched(arm):
            assert_one_line(move(arm, capsys), 6, "wrist_flex (ID 4)", "share", "setup-motors")
        assert arm.process.control.truth().torque.tolist() == [True, False, False, False, False, False]
        assert_one_line(scan(arm, capsys, "1-6"), 6, arm.port, "ID 4", "two servos share it")


def test_wrong_firmware(capsys: Capture, tmp_path: Path) -> None:
    with altered(tmp_path, "wrist_roll", STS3215["firmware_major_version"].address, b"\x09") as arm, Untouched(arm):
        assert_one_line(move(arm, capsys), 6, "wrist_roll (ID 5)", "firmware 9", "update")


def test_unknown_model(capsys: Capture, tmp_path: Path) -> None:
    number = (999).to_bytes(2, "little")
    with altered(tmp_path, "gripper", STS3215["model_number"].address, number) as arm, Untouched(arm):
        assert_one_line(move(arm, capsys), 6, "gripper (ID 6)", "999", "777", "swap")
        assert_one_line(scan(arm, capsys, "6"), 6, "ID 6", "999", "sts3215 (777)")
        doctor = run_here(capsys, "doctor", *arm.flags(), "--json")
    assert doctor.code == 1
    failed = [check["name"] for check in json.loads(doctor.out)["checks"] if check["status"] == "fail"]
    assert failed == ["gripper (ID 6)"]


# -- files ------------------------------------------------------------------------------------------------------


def test_no_calibration(capsys: Capture, so101: Standing, tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    with Untouched(so101):
        outcome = move(so101, capsys, "--calibration", str(missing))
    assert_one_line(outcome, 4, "so101_follower", str(missing), "calibrate joints")


def edited(standing: Standing, path: Path, **fields: Any) -> str:
    """A copy of the calibration with other values for shoulder_pan."""
    content = yaml.safe_load(standing.calibration.read_text(encoding="utf-8"))
    content["joints"]["shoulder_pan"].update(fields)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("fields", "code", "parts"),
    [
        ({"homing_offset": 17}, 4, ["shoulder_pan (ID 1)", "homing_offset is 0", "17", "calibrate joints"]),
        ({"id": 5}, 4, ["shoulder_pan has ID 5", "says 1", "calibrate again"]),
        ({"colour": "red"}, 3, ["joints.shoulder_pan.colour", "unknown key"]),
        ({"sign": 2}, 3, ["joints.shoulder_pan.sign", "2"]),
        ({"id": 900}, 3, ["joints.shoulder_pan.id", "900", "252"]),
    ],
)
def test_a_calibration_that_does_not_fit(
    capsys: Capture, so101: Standing, tmp_path: Path, fields: dict[str, Any], code: int, parts: list[str]
) -> None:
    path = edited(so101, tmp_path / "edited.yaml", **fields)
    with Untouched(so101):
        assert_one_line(move(so101, capsys, "--calibration", path), code, *parts)


def test_an_unknown_key_in_an_arm_definition(capsys: Capture, so101: Standing, tmp_path: Path) -> None:
    path = tmp_path / "arm.yaml"
    path.write_text(dump_settings(so101.arm) + "legs: 4\n", encoding="utf-8")
    with Untouched(so101):
        assert_one_line(move(so101, capsys, "--arm", str(path)), 3, str(path), "unknown key legs", "spelling")


def test_a_calibration_of_another_arm(capsys: Capture, so101: Standing, tmp_path: Path) -> None:
    path = tmp_path / "koch.yaml"
    path.write_text(dump_settings(nominal_calibration(load_arm("koch_follower"))), encoding="utf-8")
    with Untouched(so101):
        assert_one_line(move(so101, capsys, "--calibration", str(path)), 4, "koch_follower", "so101_follower")


# -- values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "code", "parts"),
    [
        (["--to", "9"], 8, ["shoulder_pan", "9.0", "1.91986"]),
        (["--to", "nan"], 8, ["shoulder_pan", "nan"]),
        (["--speed", "100"], 8, ["shoulder_pan", "100", "4.9"]),
        (["--speed", "0"], 3, ["speed 0"]),
        (["--joint", "knee"], 3, ["knee", "elbow_flex"]),
    ],
)
def test_a_move_that_must_not_be(
    capsys: Capture, so101: Standing, flags: list[str], code: int, parts: list[str]
) -> None:
    with Untouched(so101):
        assert_one_line(move(so101, capsys, *flags), code, *parts)


def test_a_no_leaves_the_arm_alone(so101: Standing, tmp_path: Path) -> None:
    with Untouched(so101):
        outcome = run(tmp_path, "move", *so101.flags(), *MOVE[:-1], answers="n\n")
        assert_one_line(outcome, 8, "shoulder_pan", "--yes")
        assert "moves to 0.200 rad" in outcome.out


def test_no_answer_leaves_the_arm_alone(so101: Standing, tmp_path: Path) -> None:
    with Untouched(so101):
        assert_one_line(run(tmp_path, "move", *so101.flags(), *MOVE[:-1]), 3, "standard input ended")
