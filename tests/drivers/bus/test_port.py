"""The serial port on real pseudo-terminals: locking, losing, reading by deadline."""

import os
import pty
import subprocess
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from robot_mbrl.contracts.clock import MonotonicClock, to_ns
from robot_mbrl.contracts.errors import ConfigError, PortBusy, PortError, PortLost, PortNotFound, PortPermission
from robot_mbrl.drivers.bus import SerialTransport

CLOCK = MonotonicClock()
BAUD = 1_000_000


@dataclass
class Line:
    """A pty: `far` is the servos' end, None once it is pulled out."""

    far: int | None
    path: str

    def feed(self, data: bytes) -> None:
        assert self.far is not None
        os.write(self.far, data)

    def take(self) -> bytes:
        assert self.far is not None
        return os.read(self.far, 4096)

    def unplug(self) -> None:
        if self.far is not None:
            os.close(self.far)
        self.far = None


@pytest.fixture
def line() -> Iterator[Line]:
    far, near = pty.openpty()
    tty.setraw(near)
    line = Line(far, os.ttyname(near))
    os.close(near)
    yield line
    line.unplug()


def deadline(seconds: float) -> int:
    return CLOCK.now_ns() + to_ns(seconds)


def test_bytes_go_both_ways_unchanged(line: Line) -> None:
    port = SerialTransport(line.path, BAUD, CLOCK)
    everything = bytes(range(256))
    port.write(everything)
    received = b""
    while len(received) < 256:
        received += line.take()
    assert received == everything
    line.feed(everything)
    answer = b""
    while len(answer) < 256:
        answer += port.read(deadline(5.0))
    assert answer == everything
    port.close()


def test_a_port_without_a_low_latency_mode_says_so(line: Line) -> None:
    port = SerialTransport(line.path, BAUD, CLOCK, low_latency=True)
    assert not port.low_latency
    port.close()


def test_a_read_without_bytes_waits_until_the_deadline_and_not_much_less(line: Line) -> None:
    port = SerialTransport(line.path, BAUD, CLOCK)
    end = deadline(0.02)
    assert port.read(end) == b""
    assert CLOCK.now_ns() >= end
    port.close()


def test_discarding_counts_what_waited(line: Line) -> None:
    port = SerialTransport(line.path, BAUD, CLOCK)
    line.feed(b"stale")
    assert port.read(deadline(5.0)) == b"stale"
    line.feed(b"stale again")
    first = port.read(deadline(5.0))
    line.feed(b"more")
    while (count := port.discard()) == 0:
        pass
    assert first == b"stale again"
    assert count == 4
    assert port.discard() == 0
    port.close()


def test_the_speed_is_set_and_the_line_is_raw(line: Line) -> None:
    port = SerialTransport(line.path, BAUD, CLOCK)
    assert line.far is not None
    settings = termios.tcgetattr(line.far)
    assert settings[4] == settings[5] == termios.B1000000
    port.close()


def test_a_port_that_does_not_exist_is_named() -> None:
    with pytest.raises(PortNotFound, match=r"port /dev/ttyNONE9 does not exist: check the cable"):
        SerialTransport("/dev/ttyNONE9", BAUD, CLOCK)


def test_a_file_is_no_port(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(PortError, match="not a serial port"):
        SerialTransport(str(path), BAUD, CLOCK)


def test_a_baud_rate_that_cannot_be_is_refused(line: Line) -> None:
    with pytest.raises(ConfigError, match="cannot do -5 baud"):
        SerialTransport(line.path, -5, CLOCK)


OPEN_AND_REPORT = """
import sys
from robot_mbrl.contracts.clock import MonotonicClock
from robot_mbrl.contracts.errors import RobotMbrlError
from robot_mbrl.drivers.bus import SerialTransport
try:
    port = SerialTransport(sys.argv[1], 1_000_000, MonotonicClock())
except RobotMbrlError as error:
    print(type(error).__name__, error)
else:
    print("opened")
    port.close()
"""


def open_elsewhere(path: str) -> str:
    """What another process meets when it opens `path`."""
    command = [sys.executable, "-c", OPEN_AND_REPORT, path]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_two_processes_cannot_hold_one_port(line: Line) -> None:
    port = SerialTransport(line.path, BAUD, CLOCK)
    assert open_elsewhere(line.path).startswith(f"PortBusy port {line.path} is held by another process")
    port.close()
    assert open_elsewhere(line.path) == "opened\n"


def test_the_same_process_cannot_open_it_twice_either(line: Line) -> None:
    port = SerialTransport(line.path, BAUD, CLOCK)
    with pytest.raises(PortBusy):
        SerialTransport(line.path, BAUD, CLOCK)
    port.close()
    port.close()


def test_a_port_of_somebody_else_is_refused_with_the_remedy(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may open everything, so the kernel's answer for another user is put in its place."""
    monkeypatch.setattr(os, "access", lambda *_args: False)
    with pytest.raises(PortPermission, match="dialout"):
        SerialTransport(line.path, BAUD, CLOCK)


def test_a_pulled_plug_is_told_when_reading(line: Line) -> None:
    port = SerialTransport(line.path, BAUD, CLOCK)
    line.unplug()
    with pytest.raises(PortLost, match=r"went away .* plug it in again"):
        port.read(deadline(1.0))
    port.close()


def test_a_pulled_plug_is_told_when_writing(line: Line) -> None:
    port = SerialTransport(line.path, BAUD, CLOCK)
    line.unplug()
    with pytest.raises(PortLost):
        port.write(b"x" * 100)
    port.close()


def test_a_pulled_plug_is_told_when_discarding(line: Line) -> None:
    port = SerialTransport(line.path, BAUD, CLOCK)
    line.unplug()
    with pytest.raises(PortLost):
        port.discard()
    port.close()


def test_a_closed_port_touches_no_file_that_got_its_number(line: Line, tmp_path: Path) -> None:
    port = SerialTransport(line.path, BAUD, CLOCK)
    port.close()
    innocent = tmp_path / "innocent"
    descriptors = [os.open(innocent, os.O_RDWR | os.O_CREAT) for _ in range(4)]
    uses: list[Callable[[], object]] = [lambda: port.write(b"x"), lambda: port.read(deadline(1.0)), port.discard]
    for use in uses:
        with pytest.raises(PortLost, match=f"{line.path} is closed: open it again"):
            use()
    for descriptor in descriptors:
        os.close(descriptor)
    assert innocent.read_bytes() == b""


def test_a_device_that_takes_no_bytes_is_given_up_after_a_second(line: Line) -> None:
    port = SerialTransport(line.path, 4_000_000, CLOCK)
    with pytest.raises(PortLost, match=r"did not take 200000 bytes within 1\.5 s: plug it in again"):
        port.write(bytes(200_000))
    port.close()


def test_throwing_away_ends_on_a_line_that_is_never_quiet(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    port = SerialTransport(line.path, BAUD, CLOCK)
    monkeypatch.setattr(os, "read", lambda _fd, size: bytes(size))
    line.feed(b"noise")
    assert port.discard() > 0
    port.close()
