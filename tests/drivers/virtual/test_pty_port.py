"""The pty, its link, and the speed that a client sets on it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import serial

from robot_mbrl.contracts.errors import PortBusy, PortError
from robot_mbrl.drivers.virtual.pty_port import PtyPort


@pytest.fixture
def port(tmp_path: Path) -> Iterator[PtyPort]:
    port = PtyPort(tmp_path / "arm", 1_000_000)
    port.plug()
    yield port
    port.unplug()


def test_bytes_pass_unchanged_both_ways(port: PtyPort) -> None:
    every_byte = bytes(range(256))
    with serial.Serial(str(port.link), 1_000_000, timeout=5) as client:
        client.write(every_byte)
        received = b""
        while len(received) < 256:
            received += port.read()
        assert received == every_byte
        port.write(every_byte)
        assert client.read(256) == every_byte
    assert port.read() == b""


@pytest.mark.parametrize("baud", [57_600, 115_200, 1_000_000, 4_000_000, 250_000, 76_800])
def test_the_client_s_speed_is_seen_also_when_it_has_no_constant(port: PtyPort, baud: int) -> None:
    with serial.Serial(str(port.link), baud):
        assert port.baud() == baud


def test_a_client_that_sets_no_speed_finds_the_arm_s(port: PtyPort) -> None:
    assert port.baud() == 1_000_000


def test_clients_may_come_and_go(port: PtyPort) -> None:
    for _ in range(3):
        with serial.Serial(str(port.link), 1_000_000, timeout=5) as client:
            port.write(b"hello")
            assert client.read(5) == b"hello"


def test_unplugging_hangs_the_client_up_and_takes_the_link_away(port: PtyPort) -> None:
    with serial.Serial(str(port.link), 1_000_000, timeout=5) as client:
        port.unplug()
        assert not port.link.is_symlink()
        with pytest.raises(serial.SerialException):
            client.read(1)
    port.plug()
    assert stat.S_ISCHR(port.link.stat().st_mode)


def test_a_client_that_does_not_read_loses_bytes_and_stops_nobody(port: PtyPort) -> None:
    with serial.Serial(str(port.link), 1_000_000):
        for _ in range(1000):
            port.write(bytes(1000))
    assert port.overflows > 0


def test_a_dead_link_is_replaced_and_anything_else_is_left_alone(tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    dead.symlink_to("/dev/pts/99999")
    port = PtyPort(dead, 1_000_000)
    port.plug()
    assert os.path.exists(dead)
    port.unplug()
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(PortBusy, match="is not the link of a virtual arm"):
        PtyPort(file, 1_000_000).plug()
    assert file.read_text(encoding="utf-8") == "mine"


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="give a path in a folder that exists"):
        PtyPort(tmp_path / "no" / "arm", 1_000_000).plug()
    assert list(tmp_path.iterdir()) == []
