"""Emulated arms in processes of their own, spoken to over their serial ports with pyserial."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import serial

from robot_mbrl.contracts.errors import ConfigError, PortLost, PortNotFound, SimulationError
from robot_mbrl.drivers.dynamixel import codec as dynamixel
from robot_mbrl.drivers.feetech import codec as feetech
from robot_mbrl.drivers.virtual import faults
from robot_mbrl.drivers.virtual.control import control_path
from robot_mbrl.drivers.virtual.control_client import ControlClient
from robot_mbrl.drivers.virtual.wire_faults import Delay, Drop, Duplicate, Flip, Garbage, TimedFault, Truncate
from robot_mbrl.runtime.real_time import RealTime, RealTimeSettings, only
from robot_mbrl.runtime.virtual_arm import VirtualArmProcess, VirtualArmSettings, serve_virtual_arm

PATIENCE = 30.0
"""How long a test waits for something that must happen [s]; nothing is judged by how long it takes."""
QUIET = 0.3
"""How long a test listens to be sure that nothing comes [s]."""
PING, PONG = feetech.ping(1), feetech.status(1, 0)


def until(holds: Callable[[], bool]) -> None:
    """Wait until `holds()`."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.005)


class Host:
    """A host's end of a serial port."""

    def __init__(self, port: str, baud: int = 1_000_000) -> None:
        self.serial = serial.Serial(port, baud, timeout=PATIENCE)

    def ask(self, data: bytes, size: int) -> bytes:
        self.serial.write(data)
        return self.serial.read(size)

    def listen(self, data: bytes) -> bytes:
        """What comes back until the line has been quiet for a while."""
        self.serial.write(data)
        self.serial.timeout = QUIET
        received = self.serial.read(4096)
        self.serial.timeout = PATIENCE
        return received

    def feetech_position(self, servo_id: int) -> int:
        packets = feetech.Decoder().feed(self.ask(feetech.read(servo_id, 56, 2), 8))
        return int.from_bytes(packets[0].params, "little")

    def dynamixel_position(self, servo_id: int) -> int:
        packets = dynamixel.Decoder().feed(self.ask(dynamixel.read(servo_id, 132, 4), 15))
        return int.from_bytes(packets[0].params, "little", signed=True)


@pytest.fixture(scope="module")
def so101(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualArmProcess]:
    with VirtualArmProcess("so101_follower", link=tmp_path_factory.mktemp("so101") / "port") as process:
        yield process


@pytest.fixture(scope="module")
def koch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualArmProcess]:
    with VirtualArmProcess("koch_follower", link=tmp_path_factory.mktemp("koch") / "port") as process:
        yield process


@pytest.fixture
def host(so101: VirtualArmProcess) -> Iterator[Host]:
    """A Feetech host; the arm is left without wire faults and without torque."""
    host = Host(so101.port)
    yield host
    so101.control.clear()
    host.serial.write(feetech.write(feetech.BROADCAST_ID, 40, b"\x00"))
    # The broadcast is not answered; what is answered after it tells that it has been obeyed.
    until(lambda: host.listen(PING) == PONG)
    host.serial.close()


@pytest.fixture
def dynamixel_host(koch: VirtualArmProcess) -> Iterator[Host]:
    host = Host(koch.port)
    yield host
    host.serial.close()


def at_rest(process: VirtualArmProcess) -> bool:
    return bool(np.max(np.abs(process.control.truth().velocity)) < 1e-2)


# -- an arm on a port ---------------------------------------------------------------------------------------------


def test_link_and_socket_are_there_and_the_socket_is_private(so101: VirtualArmProcess) -> None:
    assert stat.S_ISCHR(os.stat(so101.port).st_mode)
    mode = os.stat(so101.port + ".ctl").st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_the_truth_knows_whose_torque_is_on(host: Host, so101: VirtualArmProcess) -> None:
    """Torque of servo 2 on and off again: `FF FF id len 03 address value checksum`, torque_enable at 40."""
    for value in (1, 0):
        host.ask(bytes([0xFF, 0xFF, 2, 4, 3, 40, value, ~(2 + 4 + 3 + 40 + value) & 0xFF]), 6)
        assert so101.control.truth().torque.tolist() == [False, bool(value), False, False, False, False]


def test_feetech_servos_answer_to_the_byte(host: Host) -> None:
    assert host.ask(bytes.fromhex("FFFF010201FB"), 6) == bytes.fromhex("FFFF010200FC")
    answers = feetech.Decoder().feed(host.ask(feetech.sync_read(3, 2, range(1, 7)), 48))
    assert [(packet.id, packet.params) for packet in answers] == [(i, b"\x09\x03") for i in range(1, 7)]


def test_dynamixel_servos_answer_to_the_byte(dynamixel_host: Host) -> None:
    assert dynamixel_host.ask(bytes.fromhex("FFFFFD00010300 01194E"), 14) == dynamixel.status(1, 0, b"\x24\x04\x2e")


def test_a_feetech_joint_moves_and_its_register_agrees_with_physics(so101: VirtualArmProcess, host: Host) -> None:
    start = host.feetech_position(5)
    host.ask(feetech.write(5, 42, start.to_bytes(2, "little")), 6)
    host.ask(feetech.write(5, 40, b"\x01"), 6)
    host.ask(feetech.write(5, 42, (start + 400).to_bytes(2, "little")), 6)
    until(lambda: abs(so101.control.truth().tick[4] - start - 400) < 40 and at_rest(so101))
    for servo_id in range(1, 7):
        assert host.feetech_position(servo_id) == pytest.approx(so101.control.truth().tick[servo_id - 1], abs=1)


def test_a_dynamixel_joint_moves_and_its_register_agrees_with_physics(
    koch: VirtualArmProcess, dynamixel_host: Host
) -> None:
    start = dynamixel_host.dynamixel_position(5)
    dynamixel_host.ask(dynamixel.write(5, 64, b"\x01"), 11)
    dynamixel_host.ask(dynamixel.write(5, 116, (start + 400).to_bytes(4, "little")), 11)
    until(lambda: abs(koch.control.truth().tick[4] - start - 400) < 40 and at_rest(koch))
    for servo_id in range(1, 7):
        truth = koch.control.truth().tick[servo_id - 1]
        assert dynamixel_host.dynamixel_position(servo_id) == pytest.approx(truth, abs=1)


def test_without_torque_a_lifted_arm_falls(so101: VirtualArmProcess, host: Host) -> None:
    lifted = host.feetech_position(2) + 500
    host.ask(feetech.write(2, 42, lifted.to_bytes(2, "little")), 6)
    host.ask(feetech.write(2, 40, b"\x01"), 6)
    until(lambda: so101.control.truth().tick[1] > lifted - 200 and at_rest(so101))
    held = so101.control.truth().tick[1]
    host.ask(feetech.write(2, 40, b"\x00"), 6)
    until(lambda: so101.control.truth().tick[1] < held - 100)


def test_a_wrong_baud_rate_is_met_with_silence(so101: VirtualArmProcess) -> None:
    wrong = Host(so101.port, 115_200)
    assert wrong.listen(PING) == b""
    wrong.serial.baudrate = 1_000_000
    assert wrong.ask(PING, 6) == PONG
    wrong.serial.close()


# -- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "sees"),
    [
        (Drop(count=1), lambda data: data == b""),
        (Drop(count=1, direction="to_servo"), lambda data: data == b""),
        (Flip(count=1), lambda data: len(data) == 6 and data != PONG),
        (Truncate(count=1), lambda data: data == PONG[:-1]),
        (Duplicate(count=1), lambda data: data == PONG + PONG),
        (Garbage(count=1, size=3), lambda data: len(data) == 9 and data.endswith(PONG)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_wire_fault_hits_one_packet(
    so101: VirtualArmProcess, host: Host, fault: TimedFault, sees: Callable[[bytes], bool]
) -> None:
    hits = so101.control.status()["faults_hit"]
    so101.control.fault(fault)
    assert sees(host.listen(PING))
    assert so101.control.status()["faults_hit"] == hits + 1
    assert host.ask(PING, 6) == PONG


def test_a_delayed_answer_comes_late_but_comes(so101: VirtualArmProcess, host: Host) -> None:
    so101.control.fault(Delay(seconds=0.2, count=1))
    sent = time.monotonic()
    assert host.ask(PING, 6) == PONG
    assert time.monotonic() - sent >= 0.2


def test_a_silent_servo_and_back(so101: VirtualArmProcess, host: Host) -> None:
    so101.control.fault({"fault": "silent", "servo": "shoulder_pan", "duration": 1.0})
    assert host.listen(PING) == b""
    until(lambda: host.listen(PING) == PONG)


def test_a_doubled_id_is_not_readable(so101: VirtualArmProcess, host: Host) -> None:
    so101.control.fault(faults.DuplicateIdFault(servo="elbow_flex", of="shoulder_pan", duration=2.0))
    garbled = host.listen(PING)
    assert garbled not in (b"", PONG)
    assert feetech.Decoder().feed(garbled) == []
    until(lambda: host.listen(PING) == PONG)


def test_overload_and_overheat_are_in_the_status_byte(so101: VirtualArmProcess, host: Host) -> None:
    so101.control.fault(faults.Overload(servo="wrist_flex"))
    assert host.ask(feetech.ping(4), 6) == feetech.status(4, feetech.StatusBit.OVERLOAD)
    host.ask(feetech.write(4, 40, b"\x00"), 6)
    so101.control.fault(faults.Overheat(servo="wrist_flex", temperature=120.0))
    until(lambda: host.ask(feetech.ping(4), 6) == feetech.status(4, feetech.StatusBit.OVERHEAT))
    so101.control.fault(faults.Overheat(servo="wrist_flex", temperature=30.0))
    until(lambda: host.ask(feetech.ping(4), 6) == feetech.status(4, 0))


@pytest.mark.usefixtures("host")
def test_a_stuck_joint_does_not_follow_and_a_push_moves_a_loose_one(so101: VirtualArmProcess) -> None:
    before = so101.control.truth().position[4]
    so101.control.fault(faults.Stuck(servo="wrist_roll"))
    so101.control.fault(faults.Push(servo="wrist_roll", torque=1.0, duration=0.2))
    pushed_until = so101.control.truth().time + 0.3
    until(lambda: so101.control.truth().time > pushed_until)
    assert so101.control.truth().position[4] == pytest.approx(before, abs=2e-3)
    so101.control.fault(faults.Stuck(servo="wrist_roll", duration=0.01))
    until(lambda: at_rest(so101))
    so101.control.fault(faults.Push(servo="wrist_roll", torque=1.0, duration=0.2))
    until(lambda: bool(so101.control.truth().position[4] > before + 0.1))


def test_a_brown_out_restarts_the_servos(so101: VirtualArmProcess, host: Host) -> None:
    host.ask(feetech.write(1, 48, (300).to_bytes(2, "little")), 6)
    so101.control.fault(faults.BrownOut())
    until(lambda: not any(servo["powered"] for servo in so101.control.status()["servos"]))
    assert host.listen(PING) == b""
    so101.control.fault(faults.BrownOut(voltage=7.4))
    until(lambda: host.listen(PING) == PONG)
    assert host.ask(feetech.read(1, 48, 2), 8) == feetech.status(1, 0, (1000).to_bytes(2, "little"))


def test_unplug_and_replug(so101: VirtualArmProcess) -> None:
    with serial.Serial(so101.port, 1_000_000, timeout=PATIENCE) as client:
        so101.control.fault(faults.Unplug())
        assert not os.path.lexists(so101.port)
        with pytest.raises(serial.SerialException):
            client.read(1)
    so101.control.fault(faults.Replug())
    host = Host(so101.port)
    assert host.ask(PING, 6) == PONG
    host.serial.close()


def test_payload_and_friction_are_taken(so101: VirtualArmProcess) -> None:
    so101.control.fault(faults.Payload(mass=0.1, duration=0.1))
    so101.control.fault(faults.Friction(servo="elbow_flex", scale=2.0, duration=0.1))


@pytest.mark.parametrize(
    ("request_line", "complaint"),
    [
        (b"{", "not JSON"),
        (b"[]", "either the key fault or the key command"),
        (b'{"fault": "earthquake"}', "earthquake"),
        (b'{"fault": "stuck", "servo": "knee"}', "no servo 'knee'"),
        (b'{"command": "dance"}', "dance"),
    ],
)
def test_wrong_requests_are_refused_in_words(so101: VirtualArmProcess, request_line: bytes, complaint: str) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(PATIENCE)
        caller.connect(so101.port + ".ctl")
        caller.sendall(request_line + b"\n")
        answer = json.loads(caller.makefile("rb").readline())
    assert answer["ok"] is False
    assert complaint in answer["error"]


# -- life and death -----------------------------------------------------------------------------------------------


def test_the_end_takes_link_and_socket_away(tmp_path: Path) -> None:
    process = VirtualArmProcess(link=tmp_path / "port", state=tmp_path / "servos.json", paced=False).start()
    with pytest.raises(SimulationError, match="an emulated arm is running there"):
        VirtualArmProcess(link=tmp_path / "port").start()
    host = Host(process.port)
    host.ask(feetech.write(1, 55, b"\x00"), 6)
    host.ask(feetech.write(1, 21, b"\x10"), 6)
    host.serial.close()
    assert process.stop() == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["servos.json"]
    with pytest.raises(PortNotFound, match="no emulated arm listens"):
        ControlClient(control_path(tmp_path / "port"))
    with VirtualArmProcess(link=tmp_path / "port", state=tmp_path / "servos.json") as again:
        host = Host(again.port)
        assert host.ask(feetech.read(1, 21, 1), 7) == feetech.status(1, 0, b"\x10")
        host.serial.close()


def test_what_a_killed_arm_leaves_is_cleared_away_and_its_client_told(tmp_path: Path) -> None:
    process = VirtualArmProcess(link=tmp_path / "port").start()
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(PortLost):
        until(lambda: process.control.status() is None)
    assert process.stop() == -signal.SIGKILL
    assert os.path.lexists(tmp_path / "port")
    with VirtualArmProcess(link=tmp_path / "port") as again:
        host = Host(again.port)
        assert host.ask(PING, 6) == PONG
        host.serial.close()


def test_servos_from_the_box_are_connected_one_at_a_time(tmp_path: Path) -> None:
    with VirtualArmProcess("koch_follower", link=tmp_path / "port", factory=True, connected=("6",)) as process:
        host = Host(process.port, 57_600)
        assert host.ask(dynamixel.ping(1), 14) == dynamixel.status(1, 0, b"\xb0\x04\x34")
        process.control.fault(faults.Disconnect(servo="gripper"))
        assert host.listen(dynamixel.ping(1)) == b""
        process.control.fault(faults.Connect(servo="shoulder_pan"))
        until(lambda: host.listen(dynamixel.ping(1)) == dynamixel.status(1, 0, b"\x24\x04\x2e"))
        host.serial.close()


def test_a_scenario_and_a_seed(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text("events: [{fault: drop, servo: shoulder_pan, count: 1}]\n", encoding="utf-8")
    with VirtualArmProcess(link=tmp_path / "port", scenario=scenario, seed=4) as process:
        host = Host(process.port)
        assert host.listen(PING) == b""
        assert host.ask(PING, 6) == PONG
        truth = process.control.truth()
        # A drawn arm is mounted a little off: the tick of its joint is not the nominal map's.
        nominal = 2048 + truth.position * 4096 / (2 * np.pi)
        assert not np.allclose(truth.tick, nominal, atol=0.5)
        assert host.feetech_position(3) == pytest.approx(truth.tick[2], abs=1)
        host.serial.close()


def test_it_comes_before_ordinary_processes_when_asked_to(tmp_path: Path) -> None:
    with RealTime(RealTimeSettings(priority=7), only("SCHED_FIFO")) as claim:
        if claim.warnings:
            pytest.skip(claim.warnings[0])
    with VirtualArmProcess(link=tmp_path / "port", priority=7) as process:
        assert os.sched_getscheduler(process.pid) & os.SCHED_FIFO
        assert os.sched_getparam(process.pid).sched_priority == 7


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"arm": "so102"}, "unknown arm 'so102'"),
        ({"truth": Path("no.yaml"), "seed": 1}, "give one of them"),
        ({"connected": ("knee",)}, "give those"),
        ({"scenario": Path("no-such-scenario.yaml")}, "no-such-scenario.yaml"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_opened(
    tmp_path: Path, settings: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        serve_virtual_arm(
            VirtualArmSettings.model_validate({"link": tmp_path / "port", **settings}), announce=print, report=print
        )
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key speed"):
        VirtualArmProcess(link=tmp_path / "port", speed=2)


def test_the_command_announces_itself_and_ends_well_on_ctrl_c(tmp_path: Path) -> None:
    link = tmp_path / "port"
    command = "import sys; from robot_mbrl.cli.main import run; sys.exit(run(sys.argv[1:]))"
    with subprocess.Popen(
        [sys.executable, "-c", command, "virtual-arm", "--arm", "so101_leader", "--link", str(link), "--unpaced"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"virtual arm so101_leader (feetech, 6 servos, 1000000 baud) on {link}")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    assert list(tmp_path.iterdir()) == []
