"""EEPROM in a file."""

from pathlib import Path

import pytest

from robot_mbrl.contracts.errors import ConfigError
from robot_mbrl.drivers.feetech import codec
from robot_mbrl.drivers.virtual.eeprom_store import EepromStore
from robot_mbrl.drivers.virtual.pty_port import PtyPort
from robot_mbrl.drivers.virtual.server import VirtualArmServer
from tests.drivers.virtual.workbench import Workbench


def test_what_was_written_unlocked_is_there_in_the_next_run(tmp_path: Path) -> None:
    store = EepromStore(tmp_path / "servos.json")
    before = Workbench("so101_follower", servos=2)
    assert not store.load(before.arm.servos)
    before.ask(codec.write(1, 55, b"\x00"))
    before.ask(codec.write(1, 5, b"\x09"))
    before.ask(codec.write(2, 21, b"\x10"))
    assert before.servo(0).eeprom_dirty
    store.save(before.arm.servos)
    assert not before.servo(0).eeprom_dirty
    after = Workbench("so101_follower", servos=2)
    assert store.load(after.arm.servos)
    assert after.ask(codec.ping(9)) == codec.status(9, 0)
    # The second servo's EEPROM was locked.
    assert after.servo(1).get("p_coefficient") == 32


def test_a_file_that_cannot_be_written_is_reported_once_and_the_arm_lives_on(tmp_path: Path) -> None:
    blocked = tmp_path / "no_folder"
    blocked.write_text("", encoding="utf-8")
    bench = Workbench("so101_follower", servos=1)
    told: list[str] = []
    port = PtyPort(tmp_path / "port", 1_000_000)
    store = EepromStore(blocked / "servos.json")
    server = VirtualArmServer(bench.arm, port, tmp_path / "port.ctl", store=store, report=told.append)
    bench.servo(0).eeprom_dirty = True
    turns = iter(range(10))
    server.run(lambda: next(turns, None) is None)
    server.close()
    complaints = [line for line in told if "EEPROM" in line]
    assert len(complaints) == 1
    assert complaints[0].startswith(f"{blocked / 'servos.json'}: the servos' EEPROM cannot be saved")
    assert bench.servo(0).eeprom_dirty
    assert not (tmp_path / "port").exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "Invalid JSON"),
        ('{"shoulder_pan": "00"}', "this arm has shoulder_pan, shoulder_lift"),
        ('{"shoulder_pan": "00", "shoulder_lift": "00"}', "1 bytes are not the EEPROM"),
        ('{"shoulder_pan": "zz", "shoulder_lift": "zz"}', "remove the file"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "servos.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=complaint):
        EepromStore(path).load(Workbench("so101_follower", servos=2).arm.servos)
